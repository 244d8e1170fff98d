// SPDX-License-Identifier: Apache-2.0

package journal

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

	"github.com/ukprobe/ukprobe/internal/toomany"
)

// killWait bounds how long UndoProcess waits for a killed process to end.
const killWait = 5 * time.Second

// ProcessEntry describes a running process so that UndoProcess never kills
// another one that got its pid later. Between fork and Record a process is in
// no journal: start it in a cgroup that is.
func ProcessEntry(name string, pid int) (Entry, error) {
	start, err := ProcessStart(pid)
	if err != nil {
		return Entry{}, err
	}
	return Entry{Kind: KindProcess, Name: name, Data: map[string]string{
		"pid": strconv.Itoa(pid), "start": strconv.FormatUint(start, 10), "boot": bootID(),
	}}, nil
}

// UndoProcess kills the process of a ProcessEntry and waits until it has ended.
// A pid that belongs to another process now is left alone. Needs pidfd_open(2),
// Linux 5.3.
func UndoProcess(ctx context.Context, e Entry) error {
	pid, errPID := strconv.Atoi(e.Data["pid"])
	start, errStart := strconv.ParseUint(e.Data["start"], 10, 64)
	if errPID != nil || errStart != nil || pid <= 1 {
		return fmt.Errorf("entry without a usable pid and start time: %v", e.Data)
	}
	if !(owner{PID: pid, Start: start, Boot: e.Data["boot"]}).alive() {
		return nil
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("pidfd_open %d: %w", pid, err)
	}
	defer unix.Close(fd)
	// The pidfd pins one process; only now is the check safe against reuse.
	if now, err := ProcessStart(pid); err != nil || now != start {
		return nil
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kill pid %d: %w: run as root", pid, err)
	}
	return waitEnd(ctx, fd, pid)
}

// waitEnd waits until the process behind a pidfd has ended.
func waitEnd(ctx context.Context, fd, pid int) error {
	deadline := time.Now().Add(killWait)
	for time.Now().Before(deadline) {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 20)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for pid %d: %w", pid, err)
		}
		if n > 0 {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("wait for pid %d: %w", pid, err)
		}
	}
	return fmt.Errorf("pid %d was killed but has not ended within %v: it may hang in the kernel (state D in ps)", pid, killWait)
}

// tempPrefix begins the name of every directory that UndoTempDir may remove.
const tempPrefix = "ukprobe-"

// UndoTempDir removes the directory an entry names, with all in it. It refuses
// a path whose last element does not begin with "ukprobe-", and a directory
// with something mounted inside, which would be emptied too. Where nothing is there is
// nothing to undo: the entry is written before the directory is made, and that fails on
// a read-only file system, or below what is no directory.
func UndoTempDir(_ context.Context, e Entry) error {
	dir := e.Name
	if !filepath.IsAbs(dir) || filepath.Clean(dir) != dir || !strings.HasPrefix(filepath.Base(dir), tempPrefix) {
		return fmt.Errorf("not a temporary directory of ukprobe (want /…/%s…): left alone", tempPrefix)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("look for mounts below: %w", err)
	}
	if at := mountBelow(string(mounts), dir); at != "" {
		return fmt.Errorf("%s is mounted inside: unmount it first", at)
	}
	if err := os.RemoveAll(dir); err != nil && !absent(dir) {
		return fmt.Errorf("%w: %s", err, toomany.Advice(err, "run as root"))
	}
	return nil
}

// absent tells that nothing has the path. unlink(2) does not: it says EROFS first.
func absent(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR)
}

// mountBelow finds a mount point at or below dir in the text of mountinfo,
// whose fifth field is the mount point with blanks as \040, see
// proc_pid_mountinfo(5).
func mountBelow(mountinfo, dir string) string {
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	for l := range strings.Lines(mountinfo) {
		f := strings.Fields(l)
		if len(f) < 5 {
			continue
		}
		if at := unescape.Replace(f[4]); at == dir || strings.HasPrefix(at, dir+"/") {
			return at
		}
	}
	return ""
}
