// SPDX-License-Identifier: Apache-2.0

package network

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// holders lists, as "pid (name)", the other processes that have a thread in the
// network namespace with that inode number or an open descriptor of it. This
// process is left out: what it holds goes when it ends.
func holders(inum uint64) []string {
	want := fmt.Sprintf("net:[%d]", inum)
	return processes(func(dir string) bool {
		return anyLink(filepath.Join(dir, "task", "*", "ns", "net"), want) ||
			anyLink(filepath.Join(dir, "fd", "*"), want)
	})
}

// tapHolders lists the processes that have the tap of that name open, in
// whatever namespace: /proc/PID/fdinfo of a tun descriptor has an "iff:" line.
func tapHolders(name string) []string {
	return processes(func(dir string) bool {
		links, _ := filepath.Glob(filepath.Join(dir, "fd", "*"))
		for _, link := range links {
			if to, _ := os.Readlink(link); to != tunDevice {
				continue
			}
			info, _ := os.ReadFile(filepath.Join(dir, "fdinfo", filepath.Base(link)))
			if fdinfoTap(string(info)) == name {
				return true
			}
		}
		return false
	})
}

// Holders lists, as "pid (name)", the other processes that have a guest's tap open and
// are in the lab's namespace or have a thread or descriptor of it. It goes by the
// tap's name: other labs have taps of the same.
func (l *Lab) Holders(g Guest) []string {
	inside := map[string]bool{}
	for _, who := range holders(l.ns.inum) {
		inside[who] = true
	}
	var out []string
	for _, who := range tapHolders(g.Name) {
		if inside[who] {
			out = append(out, who)
		}
	}
	return out
}

// fdinfoTap reads the interface's name out of a tun descriptor's fdinfo.
func fdinfoTap(info string) string {
	for line := range strings.Lines(info) {
		if name, ok := strings.CutPrefix(line, "iff:"); ok {
			return strings.TrimSpace(name)
		}
	}
	return ""
}

// processes lists the other processes for whose /proc directory match holds.
func processes(match func(dir string) bool) []string {
	var out []string
	list, _ := os.ReadDir("/proc")
	for _, d := range list {
		pid, err := strconv.Atoi(d.Name())
		if err != nil || pid == os.Getpid() || !match(filepath.Join("/proc", d.Name())) {
			continue
		}
		comm, _ := os.ReadFile(filepath.Join("/proc", d.Name(), "comm"))
		out = append(out, fmt.Sprintf("pid %d (%s)", pid, strings.TrimSpace(string(comm))))
	}
	return out
}

func anyLink(pattern, want string) bool {
	links, _ := filepath.Glob(pattern)
	for _, link := range links {
		if to, err := os.Readlink(link); err == nil && to == want {
			return true
		}
	}
	return false
}
