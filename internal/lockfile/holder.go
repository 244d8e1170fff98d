// SPDX-License-Identifier: Apache-2.0

package lockfile

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/sys/unix"
)

// holder names the process that holds the flock on f, for people. A lock's list in
// /proc/locks (proc_locks(5)) has the process that took it, by the device and the inode:
// where it cannot be told (another PID namespace, file systems with devices of their own)
// it is "another process".
func holder(f *os.File) string {
	const unknown = "another process"
	var st unix.Stat_t
	if unix.Fstat(int(f.Fd()), &st) != nil {
		return unknown
	}
	locks, err := os.Open("/proc/locks")
	if err != nil {
		return unknown
	}
	defer locks.Close()
	file := fmt.Sprintf("%02x:%02x:%d", unix.Major(st.Dev), unix.Minor(st.Dev), st.Ino)
	for lines := bufio.NewScanner(locks); lines.Scan(); {
		// 1: FLOCK  ADVISORY  WRITE 17231 fe:00:11141633 0 EOF
		f := strings.Fields(lines.Text())
		if len(f) < 6 || f[1] != "FLOCK" || f[5] != file {
			continue
		}
		if pid, err := strconv.Atoi(f[4]); err == nil && pid > 0 {
			return "process " + f[4] + commandOf(pid)
		}
	}
	return unknown
}

// commandOf is a process's command line in brackets, or nothing if it cannot be read.
func commandOf(pid int) string {
	const most = 120 // bytes
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	line := strings.TrimSpace(string(bytes.ReplaceAll(text, []byte{0}, []byte{' '})))
	if err != nil || line == "" {
		return ""
	}
	if len(line) > most {
		line = line[:most] + "…"
	}
	line = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?' // also of what is no UTF-8
	}, line)
	return " (" + line + ")"
}
