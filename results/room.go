// SPDX-License-Identifier: Apache-2.0

package results

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
	"modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"
)

// explainIn is [explain] of a store in dir. Where the file system has no room left, SQLite
// has many words for it: it could not open, map or lengthen a file.
func explainIn(err error, dir string) error {
	var e *sqlite.Error
	if !errors.Is(err, syscall.ENOSPC) && errors.As(err, &e) && noRoom(dir) != "" {
		switch e.Code() & 0xff {
		case codes.SQLITE_CANTOPEN, codes.SQLITE_IOERR:
			return fmt.Errorf("%w (%s)", syscall.ENOSPC, printable(err.Error()))
		}
	}
	return explain(err)
}

// noRoom says what a folder's file system is short of, "" if of nothing.
func noRoom(dir string) string {
	const least = 64 << 10 // bytes: a log's index alone takes 32 KiB
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) != nil {
		return ""
	}
	free := st.Bavail
	if os.Geteuid() == 0 {
		free = st.Bfree
	}
	switch {
	case st.Files > 0 && st.Ffree == 0: // some file systems do not count them
		return "its file system has no inodes left: remove files"
	case free*uint64(st.Bsize) < least:
		return "its file system is full"
	}
	return ""
}

// makeRoom is what to do about an error in dir for want of room there; of another one it is
// otherwise.
func makeRoom(err error, dir, otherwise string) string {
	if !errors.Is(err, syscall.ENOSPC) {
		return otherwise
	}
	if why := noRoom(dir); why != "" {
		return "make room (" + why + ")"
	}
	return "make room"
}
