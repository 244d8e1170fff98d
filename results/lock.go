// SPDX-License-Identifier: Apache-2.0

package results

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
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
			return nil, fmt.Errorf("results: another ukprobe is writing its run into %s%s: wait for it or choose another directory", dir, inBrackets(holderOf(dir)))
		}
		return nil, fmt.Errorf("results: lock %s: %w", dir, err)
	}
	return d, nil
}

func inBrackets(pid int, command string) string {
	if pid == 0 {
		return ""
	}
	return fmt.Sprintf(" (pid %d: %s)", pid, command)
}

// holderOf is the process that holds a folder's lock and its command line; 0 if none
// does, or one of a container that cannot be seen from here. It takes no lock itself: a
// writer that starts in that moment would be refused.
func holderOf(dir string) (pid int, command string) {
	own, err := os.Stat(dir)
	if err != nil {
		return 0, ""
	}
	st, ok := own.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, ""
	}
	f, err := os.Open("/proc/locks")
	if err != nil {
		return 0, ""
	}
	defer f.Close()
	// 1: FLOCK  ADVISORY  WRITE 4711 fd:00:131090 0 EOF
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 6 || fields[1] != "FLOCK" || fields[3] != "WRITE" {
			continue
		}
		device, inode := fields[5][:max(0, strings.LastIndexByte(fields[5], ':'))], fields[5][strings.LastIndexByte(fields[5], ':')+1:]
		n, err := strconv.Atoi(fields[4])
		if err != nil || inode != strconv.FormatUint(st.Ino, 10) {
			continue
		}
		// Some file systems (btrfs, overlayfs) give files another device than the one here.
		if device == fmt.Sprintf("%02x:%02x", unix.Major(st.Dev), unix.Minor(st.Dev)) || hasOpen(n, own) {
			return n, commandOf(n)
		}
	}
	return 0, ""
}

// askHolder is holderOf; tests have their own.
var askHolder = holderOf

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

func hasOpen(pid int, file os.FileInfo) bool {
	fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, fd := range fds {
		if st, err := os.Stat(fd); err == nil && os.SameFile(st, file) {
			return true
		}
	}
	return false
}

func commandOf(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || len(text) == 0 {
		return "its command line cannot be read"
	}
	line := printable(strings.ToValidUTF8(strings.ReplaceAll(strings.TrimRight(string(text), "\x00"), "\x00", " "), "\uFFFD"))
	if r := []rune(line); len(r) > 120 {
		line = string(r[:120]) + "…"
	}
	return line
}
