// SPDX-License-Identifier: Apache-2.0

package lockfile

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"unicode"

	"golang.org/x/sys/unix"
)

// Holder is the process that holds an exclusive flock(2) on the file or folder at a path,
// and its command line; 0 if none does, or one that cannot be seen from here (another PID
// namespace). It takes no lock itself: who wants it in that moment would be refused.
func Holder(path string) (pid int, command string) {
	file, err := os.Stat(path)
	if err != nil {
		return 0, ""
	}
	st, ok := file.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, ""
	}
	locks, err := os.Open("/proc/locks")
	if err != nil {
		return 0, ""
	}
	defer locks.Close()
	// proc_locks(5); 1: FLOCK  ADVISORY  WRITE 4711 fd:00:131090 0 EOF
	for lines := bufio.NewScanner(locks); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 6 || fields[1] != "FLOCK" || fields[3] != "WRITE" {
			continue
		}
		device, inode := fields[5][:max(0, strings.LastIndexByte(fields[5], ':'))], fields[5][strings.LastIndexByte(fields[5], ':')+1:]
		n, err := strconv.Atoi(fields[4])
		if err != nil || n <= 0 || inode != strconv.FormatUint(st.Ino, 10) {
			continue
		}
		// Some file systems (btrfs, overlayfs) give files another device than the one here.
		if device == fmt.Sprintf("%02x:%02x", unix.Major(st.Dev), unix.Minor(st.Dev)) || hasOpen(n, file) {
			return n, commandOf(n)
		}
	}
	return 0, ""
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

// commandOf is a process's command line, safe to print.
func commandOf(pid int) string {
	const most = 120 // characters
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || len(text) == 0 {
		return "its command line cannot be read"
	}
	line := strings.ReplaceAll(strings.TrimRight(string(text), "\x00"), "\x00", " ")
	line = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, strings.ToValidUTF8(line, "\uFFFD"))
	if r := []rune(line); len(r) > most {
		line = string(r[:most]) + "…"
	}
	return line
}

// holder names who holds the lock on a file, for people.
func holder(path string) string {
	pid, command := Holder(path)
	if pid == 0 {
		return "another process"
	}
	return fmt.Sprintf("process %d (%s)", pid, command)
}
