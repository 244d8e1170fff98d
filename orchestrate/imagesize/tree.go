// SPDX-License-Identifier: Apache-2.0

package imagesize

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/cavaliergopher/cpio"

	"github.com/ukprobe/ukprobe/internal/regular"
)

// tree is a folder that archives are unpacked into. No name in an archive leads out of
// it, and nothing but folders, files and links is made there.
type tree struct {
	ctx  context.Context
	root *os.Root
}

func openTree(ctx context.Context, dir string) (*tree, error) {
	root, err := os.OpenRoot(dir)
	return &tree{ctx, root}, err
}

// clean is a name in an archive as one below the root; "" for the root itself.
func clean(name string) string { return strings.TrimPrefix(path.Clean("/"+name), "/") }

// put makes a file. What was there before, of an archive unpacked earlier, goes.
func (t *tree) put(name string, r io.Reader) error {
	if name = clean(name); name == "" {
		return nil
	}
	if err := t.room(name); err != nil {
		return err
	}
	f, err := t.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, regular.NewReader(t.ctx, r))
	return errors.Join(err, f.Close())
}

// room makes the folders above a name, and removes what has the name.
func (t *tree) room(name string) error {
	if dir := path.Dir(name); dir != "." {
		if err := t.root.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	return t.root.RemoveAll(name)
}

// link makes a symbolic link. Its target is written so that it stays below the root.
func (t *tree) link(name, target string) error {
	if name = clean(name); name == "" {
		return nil
	}
	if err := t.room(name); err != nil {
		return err
	}
	return t.root.Symlink(relative(name, target), name)
}

// relative is a link's target as seen from the link, without ever leaving the root.
func relative(name, target string) string {
	from := path.Dir("/" + name)
	if !path.IsAbs(target) {
		target = path.Join(from, target)
	}
	target = path.Clean(target)
	up := strings.Repeat("../", strings.Count(strings.TrimSuffix(from, "/"), "/"))
	if out := up + strings.TrimPrefix(target, "/"); out != "" {
		return out
	}
	return "."
}

// hard makes another name of a file.
func (t *tree) hard(name, other string) error {
	if name, other = clean(name), clean(other); name == "" || name == other {
		return nil
	}
	if err := t.room(name); err != nil {
		return err
	}
	return t.root.Link(other, name)
}

// folder makes a folder, unless a link to one is there.
func (t *tree) folder(name string) error {
	if name = clean(name); name == "" {
		return nil
	}
	if st, err := t.root.Stat(name); err == nil && st.IsDir() {
		return nil
	}
	if st, err := t.root.Lstat(name); err == nil && !st.IsDir() {
		if err := t.root.Remove(name); err != nil {
			return err
		}
	}
	return t.root.MkdirAll(name, 0o700)
}

// Whiteouts of an OCI layer (layer.md of the image specification): a file of a lower
// layer that is gone, and a folder of which nothing lower is seen.
const (
	whiteout = ".wh."
	opaque   = ".wh..wh..opq"
)

// layer unpacks a container's layer over those below it.
func (t *tree) layer(r io.Reader) error {
	in := tar.NewReader(r)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = t.entry(h, in)
		}
		if err != nil {
			return fmt.Errorf("layer: %w", err)
		}
	}
}

func (t *tree) entry(h *tar.Header, r io.Reader) error {
	dir, base := path.Split(clean(h.Name))
	switch {
	case base == opaque:
		return t.empty(clean(dir))
	case strings.HasPrefix(base, whiteout):
		if gone := clean(dir + strings.TrimPrefix(base, whiteout)); gone != "" {
			return t.root.RemoveAll(gone)
		}
		return nil
	}
	switch h.Typeflag {
	case tar.TypeReg:
		return t.put(h.Name, r)
	case tar.TypeDir:
		return t.folder(h.Name)
	case tar.TypeSymlink:
		return t.link(h.Name, h.Linkname)
	case tar.TypeLink:
		return t.hard(h.Name, h.Linkname)
	}
	return nil // devices and pipes take no room
}

// empty removes all that is in a folder.
func (t *tree) empty(dir string) error {
	if dir == "" {
		dir = "."
	}
	list, err := fs.ReadDir(t.root.FS(), dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range list {
		if err := t.root.RemoveAll(path.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return err
}

// tarFiles unpacks an archive of plain files, such as one of `docker save`.
func (t *tree) tarFiles(r io.Reader) error { return t.layer(r) }

// errNoArchive says that something is no initramfs.
var errNoArchive = errors.New("not a cpio archive")

// initramfs unpacks what the kernel takes for an initramfs: cpio archives one after
// another, each plain or compressed (Documentation/driver-api/early-userspace/
// buffer-format.rst). It returns how the last one was compressed, "" if it was not.
func (t *tree) initramfs(r *bufio.Reader) (packed string, err error) {
	for found := false; ; found = true {
		if err := skipZeros(r); errors.Is(err, io.EOF) && found {
			return packed, nil
		} else if err != nil {
			return packed, err
		}
		if magic, _ := r.Peek(5); string(magic) == "07070" {
			if err := t.cpio(r); err != nil {
				return packed, err
			}
			continue
		}
		in, how, err := unpacked(t.ctx, r)
		if errors.Is(err, errNotPacked) {
			return packed, fmt.Errorf("%w, and %w", errNoArchive, err)
		}
		if err != nil {
			return how, err
		}
		packed = how
		inside := bufio.NewReader(in)
		if magic, _ := inside.Peek(5); string(magic) != "07070" {
			return packed, errors.Join(fmt.Errorf("compressed with %s: %w", how, errNoArchive), in.Close())
		}
		err = t.cpio(inside)
		if err == nil {
			_, err = io.Copy(io.Discard, inside)
		}
		if err = errors.Join(err, in.Close()); err != nil {
			return packed, err
		}
	}
}

// skipZeros skips what fills up between archives.
func skipZeros(r *bufio.Reader) error {
	for {
		b, err := r.ReadByte()
		if err != nil {
			return err
		}
		if b != 0 {
			return r.UnreadByte()
		}
	}
}

// cpio unpacks one archive.
func (t *tree) cpio(r io.Reader) error {
	in := cpio.NewReader(r)
	waiting := map[int64][]string{} // names of a file whose content comes with a later one
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = t.cpioEntry(h, in, waiting)
		}
		if err != nil {
			return fmt.Errorf("cpio: %w", err)
		}
	}
	for _, names := range waiting { // whose content was empty
		for _, n := range names {
			if err := t.put(n, strings.NewReader("")); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *tree) cpioEntry(h *cpio.Header, r io.Reader, waiting map[int64][]string) error {
	const kind = cpio.FileMode(0o170000)
	switch h.Mode & kind {
	case cpio.TypeDir:
		return t.folder(h.Name)
	case cpio.TypeSymlink:
		return t.link(h.Name, h.Linkname)
	case cpio.TypeReg:
		if h.Links > 1 && h.Size == 0 {
			waiting[h.Inode] = append(waiting[h.Inode], h.Name)
			return nil
		}
		if err := t.put(h.Name, r); err != nil {
			return err
		}
		if h.Links > 1 {
			for _, n := range waiting[h.Inode] {
				if err := t.hard(n, h.Name); err != nil {
					return err
				}
			}
			delete(waiting, h.Inode)
		}
	}
	return nil
}
