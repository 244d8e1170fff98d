// SPDX-License-Identifier: Apache-2.0

package hostvm

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// controlPrefix begins the names of control folders.
const controlPrefix = "ukprobe-hostvm-"

// controlFolder makes a control folder in parent, locked by this process, and
// removes those that killed processes have left there.
func controlFolder(parent string) (path string, remove func(), err error) {
	path, err = os.MkdirTemp(parent, controlPrefix)
	if err != nil {
		return "", nil, err
	}
	unlock, err := lockFolder(path)
	if err != nil {
		_ = os.RemoveAll(path)
		return "", nil, err
	}
	sweep(parent)
	return path, func() {
		_ = os.RemoveAll(path)
		unlock()
	}, nil
}

// sweep removes the control folders in parent that nobody has locked. Young
// ones are left alone: their owner may be about to lock them.
func sweep(parent string) {
	const youngest = time.Minute
	paths, _ := filepath.Glob(filepath.Join(parent, controlPrefix+"*"))
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil || time.Since(info.ModTime()) < youngest {
			continue
		}
		if unlock, err := lockFolder(path); err == nil {
			_ = os.RemoveAll(path)
			unlock()
		}
	}
}

// lockFolder locks a folder for this process; a lock held elsewhere is an
// error.
func lockFolder(path string) (unlock func(), err error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { _ = unix.Close(fd) }, nil
}
