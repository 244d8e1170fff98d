// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// What would differ from build to build is fixed: the file system's name and the
// seed of its folders' hashes, and all times (a second after the epoch, since
// e2fsprogs takes 0 for none).
const (
	ext2UUID = "756b7072-6f62-4500-8000-6c7570696e65"
	ext2Time = "1"
)

// ext2Size is the size of the file system in blocks of 1 KiB: what is in it, a
// quarter of that for its tables, and room for what the app writes. It is a hole in
// the file.
func (t tree) ext2Size() int64 {
	const room = 32 << 10
	return t.size()/1024*5/4 + room
}

// writeExt2 writes the tree to a new file as an ext2 file system in which all belongs
// to root, whoever builds it. It needs e2fsprogs.
func (t tree) writeExt2(ctx context.Context, dest string) (err error) {
	stage, err := os.MkdirTemp(filepath.Dir(filepath.Dir(dest)), "stage-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(stage)) }()
	if err := t.writeInto(stage); err != nil {
		return err
	}
	// An empty configuration: /etc/mke2fs.conf is the machine's.
	_, err = e2fs(ctx, "", "mke2fs", "-q", "-F", "-t", "ext2", "-b", "4096", "-I", "128", "-m", "0",
		"-O", "none,filetype,sparse_super,large_file",
		"-U", ext2UUID, "-E", "hash_seed="+ext2UUID+",root_owner=0:0,lazy_itable_init=0,nodiscard",
		"-d", stage, dest, strconv.FormatInt(t.ext2Size(), 10)+"k")
	if err != nil {
		return err
	}
	var script strings.Builder
	for _, name := range append(t.names(), "/", "/lost+found") {
		for _, field := range []string{"uid 0", "gid 0", "atime @" + ext2Time, "ctime @" + ext2Time, "mtime @" + ext2Time} {
			fmt.Fprintf(&script, "set_inode_field %q %s\n", name, field)
		}
	}
	said, err := e2fs(ctx, script.String(), "debugfs", "-w", "-f", "-", dest)
	// It says its version, ends with 0 whatever happens, and names what it could not do.
	if lines := strings.Split(strings.TrimSpace(said), "\n"); err == nil && len(lines) > 1 {
		err = fmt.Errorf("debugfs -w %s: %s", dest, lines[1])
	}
	return err
}

// e2fs runs a program of e2fsprogs and returns what it says on standard error.
func e2fs(ctx context.Context, input, program string, args ...string) (string, error) {
	path, err := exec.LookPath(program)
	if err != nil { // a user's PATH is without
		path, err = exec.LookPath("/usr/sbin/" + program)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w: apt-get install e2fsprogs", program, err)
	}
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdin, cmd.Stderr = strings.NewReader(input), &said
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "MKE2FS_CONFIG=/dev/null", "E2FSPROGS_FAKE_TIME=" + ext2Time}
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", program, err, strings.TrimSpace(said.String()))
	}
	return said.String(), nil
}
