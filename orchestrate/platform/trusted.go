// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// trusted says whether a program that nobody named may be started: images lie in all
// kinds of folders, and ukprobe mostly runs as root. Nobody else may be able to change
// the program, nor to put another into its place or into that of a folder above it. It
// returns the program's path without links, which is the one to start. If there is no
// such program the error wraps os.ErrNotExist.
func trusted(path string) (string, error) {
	dir, err := filepath.Abs(filepath.Dir(path))
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return "", err
	}
	found := filepath.Join(dir, filepath.Base(path))
	st, err := os.Lstat(found)
	if err != nil {
		return "", err
	}
	switch mode := st.Mode(); {
	case mode&fs.ModeSymlink != 0:
		return "", fmt.Errorf("%s lies beside the image and is a link, and what it points to can be another file at each start: put the program itself there, or remove it and use PATH", found)
	case !mode.IsRegular() || mode&0o111 == 0:
		return "", fmt.Errorf("%s lies beside the image and is no program: make it one (chmod +x), or remove it", found)
	case !ownerOnly(st):
		return "", fmt.Errorf("%s lies beside the image, and others can change it: it has to belong to root or to who runs ukprobe, and be writable by nobody else; or remove it and use PATH", found)
	}
	for ; ; dir = filepath.Dir(dir) {
		st, err := os.Lstat(dir)
		if err != nil {
			return "", err
		}
		if !ownerOnly(st) {
			return "", fmt.Errorf("%s lies beside the image, and others can put another there, for they can write to %s: chmod go-w it, or use PATH", found, dir)
		}
		if dir == filepath.Dir(dir) {
			return found, nil
		}
	}
}

// ownerOnly tells whether a file can be changed by root and this user only, and
// nothing in a folder be replaced by others: in one with the sticky bit that takes the
// entry's own owner, who is looked at too.
func ownerOnly(st fs.FileInfo) bool {
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok || sys.Uid != 0 && int(sys.Uid) != os.Geteuid() {
		return false
	}
	return st.Mode()&0o022 == 0 || st.IsDir() && st.Mode()&fs.ModeSticky != 0
}
