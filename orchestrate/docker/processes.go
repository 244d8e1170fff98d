// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/moby/client"
	"golang.org/x/sys/unix"
)

// Processes are those of the engine and of its containerd on this host: who listens at the
// sockets that they are reached by. Init, which may hold them for a service that it starts when
// it is asked, is none.
func (e *Engine) Processes(ctx context.Context) ([]int, error) {
	path, ok := strings.CutPrefix(e.host, "unix://")
	if !ok {
		return nil, fmt.Errorf("the engine at %s is not reached by a Unix socket", e.host)
	}
	out, err := listeners(path)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	info, err := e.api.Info(ctx, client.InfoOptions{})
	if err != nil {
		return nil, e.unreachable(err)
	}
	if c := info.Info.Containerd; c != nil && c.Address != "" {
		// As the engine sees it: it can have a mount namespace of its own.
		more, err := listeners(fmt.Sprintf("/proc/%d/root%s", out[0], c.Address))
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	return slices.Compact(slices.Sorted(slices.Values(append(out, children("/proc", out)...)))), nil
}

// children are the processes that others have started: a containerd that the engine runs
// itself.
func children(proc string, of []int) []int {
	var out []int
	dirs, err := filepath.Glob(filepath.Join(proc, "[0-9]*", "status"))
	if err != nil {
		return nil
	}
	for _, status := range dirs {
		raw, err := os.ReadFile(status)
		if err != nil {
			continue // it has ended
		}
		_, after, _ := strings.Cut(string(raw), "\nPPid:")
		first, _, _ := strings.Cut(after, "\n")
		parent, err := strconv.Atoi(strings.TrimSpace(first))
		pid, errPID := strconv.Atoi(filepath.Base(filepath.Dir(status)))
		if err == nil && errPID == nil && slices.Contains(of, parent) {
			out = append(out, pid)
		}
	}
	return out
}

// listeners are the processes that listen at a path.
func listeners(path string) ([]int, error) {
	pid, err := peer(path)
	if err != nil || pid > 1 {
		return []int{pid}, err
	}
	raw, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		return nil, fmt.Errorf("look for who listens at %s: %w", path, err)
	}
	if out := holders("/proc", listening(string(raw), path)); len(out) > 0 {
		return out, nil
	}
	return nil, fmt.Errorf("no process of this host listens at %s", path)
}

// peer is the process that has made a socket listen: that which answers, but where it was
// handed the socket, mostly by init (unix(7), SO_PEERCRED).
func peer(path string) (int, error) {
	c, err := net.Dial("unix", path)
	if err != nil {
		return 0, fmt.Errorf("ask who listens: %w", err)
	}
	defer func() { _ = c.Close() }()
	raw, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var errCred error
	if err := raw.Control(func(fd uintptr) { cred, errCred = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return 0, err
	}
	if errCred != nil {
		return 0, fmt.Errorf("ask who listens at %s: %w", path, errCred)
	}
	return int(cred.Pid), nil
}

// acceptsConnections is the flag of a socket that listens (__SO_ACCEPTCON,
// include/uapi/linux/net.h).
const acceptsConnections = 1 << 16

// listening finds, in the text of /proc/net/unix, the inodes of sockets that listen at a path.
func listening(table, path string) []string {
	var out []string
	for line := range strings.Lines(table) {
		f := strings.Fields(line) // Num: RefCount Protocol Flags Type St Inode Path
		if len(f) < 8 {
			continue
		}
		flags, err := strconv.ParseUint(f[3], 16, 64)
		if err == nil && flags&acceptsConnections != 0 && samePath(strings.Join(f[7:], " "), path) {
			out = append(out, f[6])
		}
	}
	return out
}

// samePath follows links: /var/run is one.
func samePath(a, b string) bool {
	if a == b {
		return true
	}
	a, errA := filepath.EvalSymlinks(a)
	b, errB := filepath.EvalSymlinks(b)
	return errA == nil && errB == nil && a == b
}

// holders are the processes that have one of the sockets open, but init.
func holders(proc string, inodes []string) []int {
	var out []int
	links, err := filepath.Glob(filepath.Join(proc, "[0-9]*", "fd", "*"))
	if err != nil {
		return nil
	}
	for _, l := range links {
		to, err := os.Readlink(l)
		if err != nil {
			continue // it has ended, or closed it
		}
		inode := strings.TrimSuffix(strings.TrimPrefix(to, "socket:["), "]")
		if !strings.HasPrefix(to, "socket:[") || !slices.Contains(inodes, inode) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(l))))
		if err == nil && pid > 1 {
			out = append(out, pid)
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(out)))
}
