// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/ukprobe/ukprobe/guests/internal/cache"
)

// tree is the content of a root file system before it is written anywhere:
// absolute paths and what is there. Everything in it belongs to root.
type tree map[string]node

// node is a folder, a regular file or a character device.
type node struct {
	mode         fs.FileMode // type and permissions
	data         []byte      // of a regular file
	major, minor uint32      // of a device
}

// folder adds a folder and those above it.
func (t tree) folder(name string) {
	for name = path.Clean(name); name != "/"; name = path.Dir(name) {
		t[name] = node{mode: fs.ModeDir | 0o755}
	}
}

// file adds a regular file and the folders above it.
func (t tree) file(name string, data []byte, perm fs.FileMode) {
	t.folder(path.Dir(name))
	t[path.Clean(name)] = node{mode: perm, data: data}
}

// copy adds the host's file src under the path name.
func (t tree) copy(name, src string, perm fs.FileMode) error {
	data, err := os.ReadFile(src)
	if err != nil {
		return err
	}
	t.file(name, data, perm)
	return nil
}

// device adds a character device that everybody may read and write.
func (t tree) device(name string, major, minor uint32) {
	t.folder(path.Dir(name))
	t[path.Clean(name)] = node{mode: fs.ModeDevice | fs.ModeCharDevice | 0o666, major: major, minor: minor}
}

// names returns the paths, each folder before what is in it.
func (t tree) names() []string {
	return slices.Sorted(maps.Keys(t))
}

// size returns the bytes of the regular files.
func (t tree) size() int64 {
	var sum int64
	for _, n := range t {
		sum += int64(len(n.data))
	}
	return sum
}

// writeTo makes the tree below the folder dir, which is made too.
func (t tree) writeTo(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	return t.writeInto(dir)
}

// writeInto makes the tree below the existing folder dir.
func (t tree) writeInto(dir string) error {
	for _, name := range t.names() {
		n, dest := t[name], filepath.Join(dir, name)
		if err := n.writeTo(dest); err != nil {
			return err
		}
		// The umask took its part of the mode.
		if err := os.Chmod(dest, n.mode.Perm()); err != nil {
			return err
		}
	}
	return nil
}

func (n node) writeTo(dest string) error {
	switch n.mode.Type() {
	case fs.ModeDir:
		return os.Mkdir(dest, n.mode.Perm())
	case fs.ModeDevice | fs.ModeCharDevice:
		err := unix.Mknod(dest, unix.S_IFCHR|uint32(n.mode.Perm()), int(unix.Mkdev(n.major, n.minor)))
		if errors.Is(err, unix.EPERM) {
			return fmt.Errorf("mknod %s: %w: run as root, outside a user namespace", dest, err)
		}
		if err != nil {
			return fmt.Errorf("mknod %s: %w", dest, err)
		}
		return nil
	default:
		return cache.WriteFile(dest, n.data, n.mode.Perm())
	}
}
