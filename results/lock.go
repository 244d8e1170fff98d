// SPDX-License-Identifier: Apache-2.0

package results

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/ukprobe/ukprobe/internal/lockfile"
)

// lockDir locks a folder against other writers; closing what it returns ends the lock,
// as the end of the process does. Who holds it is told by /proc/locks, so that there is
// no file to be left behind.
func lockDir(dir string) (*os.File, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("results: open the run's directory: %w", err)
	}
	if err := syscall.Flock(int(d.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer d.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, beingWritten(dir)
		}
		return nil, fmt.Errorf("results: lock %s: %w", dir, err)
	}
	return d, nil
}

// beingWritten says who writes into a folder, if that can be told.
func beingWritten(dir string) error {
	who := ""
	if pid, command := lockfile.Holder(dir); pid != 0 {
		who = fmt.Sprintf(" (pid %d: %s)", pid, command)
	}
	return fmt.Errorf("results: another ukprobe is writing its run into %s%s: wait for it or choose another directory", dir, who)
}

// askHolder is who holds a folder's lock; tests have their own.
var askHolder = lockfile.Holder

// steady reads, again if somebody has begun or ended to write into the folder meanwhile:
// what was read and who writes it belong together.
func steady(dir string, read func() error) (pid int, command string, err error) {
	const tries = 5
	pid, command = askHolder(dir)
	for range tries {
		if err := read(); err != nil {
			return 0, "", err
		}
		before := pid
		if pid, command = askHolder(dir); pid == before {
			break
		}
	}
	return pid, command, nil
}

// statusNow is a run's status as everybody is told it. Stored as running is one that is
// being written, and one whose writer was killed: writer is the process that wrote it last
// (0: that is not kept), holder the one that holds the folder's lock now (0: nobody does).
func statusNow(stored string, writer, holder int) string {
	if stored == RunRunning && (holder == 0 || writer != 0 && writer != holder) {
		return RunKilled
	}
	return stored
}

// asItStands reads a run, and says of one that nobody writes any more that it was killed.
func asItStands(sel RunSelector, read func() (*File, int, error)) (f *File, err error) {
	writer := 0
	holder, _, err := steady(sel.folder(), func() (err error) {
		f, writer, err = read()
		return err
	})
	if err != nil {
		return nil, err
	}
	f.Run.Status = statusNow(f.Run.Status, writer, holder)
	return f, nil
}
