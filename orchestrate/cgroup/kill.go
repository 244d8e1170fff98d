// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// closeWait bounds how long Close and Undo wait for killed processes.
	closeWait = 10 * time.Second
	// pollEvery is how often a dying group is looked at.
	pollEvery = time.Millisecond
)

// pids lists the processes of the group at path and of groups below.
func pids(path string) ([]int, error) {
	var all []int
	err := walk(path, func(dir string) error {
		raw, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		if err != nil {
			return err
		}
		here, err := parsePids(string(raw))
		all = append(all, here...)
		return err
	})
	return all, err
}

// walk visits the group at path and those below, parents first. Groups that
// vanish meanwhile are passed over.
func walk(path string, visit func(dir string) error) error {
	return filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			err = visit(p)
		}
		if p != path && (errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENODEV)) {
			return nil
		}
		return err
	})
}

// kill ends every process at and below path. cgroup.kill (Linux 5.14) does it
// in one step that no fork escapes; older kernels get SIGKILL pid by pid, again
// and again until the group is empty.
func kill(ctx context.Context, path string) error {
	err := write(filepath.Join(path, "cgroup.kill"), "1")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("kill cgroup %s: %w", path, err)
	}
	return drain(ctx, path, err != nil)
}

// drain waits until the group is empty, sending SIGKILL itself if told to.
func drain(ctx context.Context, path string, signal bool) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		left, err := populated(path)
		if err != nil || !left {
			return err
		}
		if signal {
			if err := signalAll(path); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			who, _ := pids(path)
			return fmt.Errorf("kill cgroup %s: pids %v remain: %w", path, who, ctx.Err())
		case <-tick.C:
		}
	}
}

func signalAll(path string) error {
	who, err := pids(path)
	if err != nil {
		return fmt.Errorf("kill cgroup %s: %w", path, err)
	}
	for _, pid := range who {
		if pid <= 1 || pid == os.Getpid() {
			return fmt.Errorf("kill cgroup %s: pid %d in it is not ours to kill", path, pid)
		}
		if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("kill pid %d in cgroup %s: %w", pid, path, err)
		}
	}
	return nil
}

// populated reads whether a live process is in the group or below. A group
// that is gone has none.
func populated(path string) (bool, error) {
	raw, err := os.ReadFile(filepath.Join(path, "cgroup.events"))
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENODEV) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return parsePopulated(string(raw))
}

func parsePopulated(events string) (bool, error) {
	for line := range strings.Lines(events) {
		if key, value, _ := strings.Cut(strings.TrimSpace(line), " "); key == "populated" {
			return value != "0", nil
		}
	}
	return false, fmt.Errorf("cgroup.events has no populated line: %q", events)
}

// remove kills what is in the group and removes it and its empty parents.
func remove(ctx context.Context, path string) error {
	if err := kill(ctx, path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := removeTree(path); err != nil {
		return err
	}
	removeParents(path)
	return nil
}

// removeTree removes the group and those below it, which must be empty.
func removeTree(path string) error {
	var dirs []string
	err := walk(path, func(dir string) error { dirs = append(dirs, dir); return nil })
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove cgroup %s: %w", path, err)
	}
	slices.Reverse(dirs)
	for _, dir := range dirs {
		if err := unix.Rmdir(dir); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("remove cgroup %s: %w", dir, err)
		}
	}
	return nil
}

// removeParents drops ukprobe/<runID> and ukprobe/ when nothing is in them;
// rmdir refuses, rightly, while other groups are.
func removeParents(path string) {
	run := filepath.Dir(path)
	_ = unix.Rmdir(run)
	_ = unix.Rmdir(filepath.Dir(run))
}
