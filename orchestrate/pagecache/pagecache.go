// SPDX-License-Identifier: Apache-2.0

// Package pagecache tells how much of some files the host's page cache holds, has it
// hold all of them, or nothing. It touches those files only: never the caches of others,
// as /proc/sys/vm/drop_caches would.
//
// It does not know which files a guest reads, nor what is cached elsewhere: a file
// system's own blocks (inodes, directories, maps of a file's blocks) stay in memory.
package pagecache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// State is how much of some files is in memory.
type State struct {
	Bytes    int64 // of all of them
	Resident int64 // of these, in the page cache
}

// Percent is the share that is in memory; of no bytes all is, and means nothing.
func (s State) Percent() float64 {
	if s.Bytes == 0 {
		return 100
	}
	return 100 * float64(s.Resident) / float64(s.Bytes)
}

// Set is regular files.
type Set struct{ paths []string }

// Of makes a set of files and of all that is in folders. What is neither is left out; a
// file with several names is in it once.
func Of(paths []string) (Set, error) {
	var s Set
	seen := map[[2]uint64]bool{}
	for _, path := range paths {
		if to, err := filepath.EvalSymlinks(path); err == nil {
			path = to // the walk would not follow it
		}
		err := filepath.WalkDir(path, func(path string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() {
				return err
			}
			info, err := e.Info()
			if err != nil {
				return err
			}
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				key := [2]uint64{st.Dev, st.Ino}
				if seen[key] {
					return nil
				}
				seen[key] = true
			}
			s.paths = append(s.paths, path)
			return nil
		})
		if err != nil {
			return Set{}, err
		}
	}
	return s, nil
}

// Paths are the files of the set.
func (s Set) Paths() []string { return s.paths }

// each opens one file after another.
func (s Set) each(ctx context.Context, do func(f *os.File, size int64) error) error {
	for _, path := range s.paths {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := onFile(path, do); err != nil {
			return err
		}
	}
	return nil
}

func onFile(path string, do func(f *os.File, size int64) error) error {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOATIME, 0)
	if errors.Is(err, os.ErrPermission) { // only the owner may do without the access time
		f, err = os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	return do(f, st.Size())
}

// Look reads how much is in memory. It brings nothing there.
func (s Set) Look(ctx context.Context) (State, error) {
	var out State
	err := s.each(ctx, func(f *os.File, size int64) error {
		n, err := resident(f, size)
		out.Bytes += size
		out.Resident += n
		return err
	})
	if err != nil {
		return State{}, fmt.Errorf("look into the page cache: %w", err)
	}
	return out, nil
}

// window is how much of a file is looked at together: whole pages.
const window = 1 << 30

// resident is how many bytes of a file are in memory, by mincore(2): a mapping is made
// and never touched.
func resident(f *os.File, size int64) (int64, error) {
	page := int64(os.Getpagesize())
	var in int64
	for at := int64(0); at < size; at += window {
		n := min(window, size-at)
		m, err := unix.Mmap(int(f.Fd()), at, int(n), unix.PROT_READ, unix.MAP_SHARED)
		if err != nil {
			return 0, fmt.Errorf("map %s: %w", f.Name(), err)
		}
		pages := make([]byte, (n+page-1)/page)
		_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&m[0])), uintptr(n), uintptr(unsafe.Pointer(&pages[0])))
		err = unix.Munmap(m)
		if errno != 0 {
			return 0, fmt.Errorf("mincore %s: %w", f.Name(), errno)
		}
		if err != nil {
			return 0, fmt.Errorf("unmap %s: %w", f.Name(), err)
		}
		for i, p := range pages {
			if p&1 != 0 {
				in += min(page, n-int64(i)*page)
			}
		}
	}
	return in, nil
}

// Warm reads all files completely, and tells how much is in memory then.
func (s Set) Warm(ctx context.Context) (State, error) {
	buf := make([]byte, 1<<20)
	err := s.each(ctx, func(f *os.File, _ int64) error {
		for ctx.Err() == nil {
			_, err := f.Read(buf)
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
		}
		return ctx.Err()
	})
	if err != nil {
		return State{}, fmt.Errorf("read into the page cache: %w", err)
	}
	return s.Look(ctx)
}

// What is just being written, or on a list of one CPU's, is not dropped at once.
const (
	dropTries = 5
	dropPause = 20 * time.Millisecond
)

// Cool has the kernel forget all files (posix_fadvise, POSIX_FADV_DONTNEED), after it has
// written what had not been written, and tells how much is in memory all the same: what
// somebody has mapped or locked stays.
func (s Set) Cool(ctx context.Context) (State, error) {
	for try := 1; ; try++ {
		err := s.each(ctx, func(f *os.File, _ int64) error {
			if err := f.Sync(); err != nil {
				return err
			}
			if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
				return fmt.Errorf("fadvise %s: %w", f.Name(), err)
			}
			return nil
		})
		if err != nil {
			return State{}, fmt.Errorf("drop from the page cache: %w", err)
		}
		left, err := s.Look(ctx)
		if err != nil || left.Resident == 0 || try == dropTries {
			return left, err
		}
		time.Sleep(dropPause)
	}
}

// ErrInMemory says that files are on a file system that is the page cache.
var ErrInMemory = errors.New("is on a file system in memory, and nothing of it can be cold")

// memoryNames are the file systems that are in memory only (statfs(2)).
var memoryNames = map[uint32]string{
	unix.TMPFS_MAGIC: "tmpfs", unix.RAMFS_MAGIC: "ramfs", unix.HUGETLBFS_MAGIC: "hugetlbfs",
}

// Coolable returns an error wrapping ErrInMemory if a path's file can never be cold.
func Coolable(path string) error {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return fmt.Errorf("statfs %s: %w", path, err)
	}
	if name, ok := memoryNames[uint32(st.Type)]; ok {
		return fmt.Errorf("%s %w (%s)", path, ErrInMemory, name)
	}
	return nil
}
