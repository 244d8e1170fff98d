// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"fmt"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// AwaitProcess returns as soon as a process is in the group itself, or once stop says so; came
// tells which. It never sleeps: it is for waits of less than a millisecond. ready is called
// when it begins to look.
func (g *Group) AwaitProcess(ready func(), stop func() bool) (came bool, err error) {
	path := filepath.Join(g.Path, "cgroup.procs")
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	ready()
	if err != nil {
		return false, fmt.Errorf("open %s: %w", path, err)
	}
	defer unix.Close(fd)
	for first := make([]byte, 1); !stop(); runtime.Gosched() {
		n, err := unix.Pread(fd, first, 0)
		if err != nil && err != unix.EINTR {
			return false, fmt.Errorf("read %s: %w", path, err)
		}
		if n > 0 {
			return true, nil
		}
	}
	return false, nil
}
