// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ukprobe/ukprobe/internal/hostfile"
	"github.com/ukprobe/ukprobe/orchestrate/cgroup"
)

// groupOf is where the runtime will make a container's cgroup on the v2 hierarchy,
// with the driver cgroupfs: below the parent, named by the container's ID. On hosts
// with v1 hierarchies beside it runc joins it as well (libcontainer/cgroups/fs).
func groupOf(parent, id string) (string, error) {
	h, err := cgroup.Find()
	if err != nil {
		return "", err
	}
	return filepath.Join(h.Path, parent, id), nil
}

// groupWatch waits for a cgroup to be made.
type groupWatch struct {
	path string
	file *os.File // inotify, of the folder above
}

// watchGroup begins to wait.
func watchGroup(path string) (*groupWatch, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("inotify: %w", err)
	}
	g := &groupWatch{path: path, file: os.NewFile(uintptr(fd), "inotify")}
	if _, err := unix.InotifyAddWatch(fd, filepath.Dir(path), unix.IN_CREATE|unix.IN_ONLYDIR); err != nil {
		g.close()
		return nil, fmt.Errorf("watch %s: %w", filepath.Dir(path), err)
	}
	return g, nil
}

func (g *groupWatch) close() { _ = g.file.Close() }

// made returns when the cgroup is there.
func (g *groupWatch) made(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = g.file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	buf := make([]byte, 4096)
	for {
		if _, err := os.Stat(g.path); err == nil {
			return nil
		}
		if _, err := g.file.Read(buf); err != nil {
			return errors.Join(ctx.Err(), err)
		}
	}
}

// pollTime is how often a new cgroup is asked for its process, which joins it within
// a millisecond; the app is exec'd tens of milliseconds later.
const pollTime = 200 * time.Microsecond

// firstProcess waits for a process of the cgroup that is the first of a pid
// namespace of its own. By then it is in its network namespace: the runtime makes
// them together (runc's nsexec.c unshares both before it forks that process).
func firstProcess(ctx context.Context, group string) (int, error) {
	for {
		data, err := os.ReadFile(filepath.Join(group, "cgroup.procs"))
		if err != nil {
			return 0, err
		}
		for _, word := range strings.Fields(string(data)) {
			pid, err := strconv.Atoi(word)
			if err != nil {
				return 0, fmt.Errorf("cgroup.procs: %w", err)
			}
			if isFirst(pid) {
				return pid, nil
			}
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(pollTime):
		}
	}
}

// isFirst tells whether a process is number 1 of a pid namespace below this one's,
// and in another network namespace than its parent: a container without either is
// left alone.
func isFirst(pid int) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return false // it has ended
	}
	parent, first := parseStatus(string(status))
	if !first {
		return false
	}
	own, err1 := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid))
	above, err2 := os.Readlink(fmt.Sprintf("/proc/%s/ns/net", parent))
	return err1 == nil && err2 == nil && own != above
}

// parseStatus takes the parent's pid, and whether a process is the first of its pid
// namespace, from /proc/PID/status (proc_pid_status(5)).
func parseStatus(text string) (parent string, first bool) {
	pids := strings.Fields(hostfile.Field(text, "NSpid"))
	return hostfile.Field(text, "PPid"), len(pids) > 1 && pids[len(pids)-1] == "1"
}
