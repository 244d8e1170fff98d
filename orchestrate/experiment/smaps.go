// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// mapping is one of a process's, as /proc/PID/smaps tells of it: sizes in bytes.
type mapping struct {
	start, end uint64
	path       string // "" for anonymous memory

	rss, pss        int64 // in memory; the same with each page divided by its users
	private, shared int64 // of rss: nobody else maps it, or somebody does
	huge            int64 // of rss: in huge pages
}

func (m mapping) size() uint64 { return m.end - m.start }

// parseSmaps reads /proc/PID/smaps, see proc_pid_smaps(5).
func parseSmaps(text string) ([]mapping, error) {
	var out []mapping
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		key, isField := strings.CutSuffix(f[0], ":")
		if !isField {
			m, err := parseMapping(f, line)
			if err != nil {
				return nil, err
			}
			out = append(out, m)
			continue
		}
		if len(out) == 0 {
			return nil, fmt.Errorf("smaps: %q before any mapping", line)
		}
		if err := out[len(out)-1].field(key, f[1:]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// parseMapping reads a line such as
//
//	7f00a000-7f00c000 rw-p 00000000 00:01 1234    /memfd:guest (deleted)
func parseMapping(f []string, line string) (m mapping, err error) {
	from, to, found := strings.Cut(f[0], "-")
	if !found || len(f) < 5 {
		return m, fmt.Errorf("smaps: not a mapping: %q", line)
	}
	m.start, err = strconv.ParseUint(from, 16, 64)
	if err == nil {
		m.end, err = strconv.ParseUint(to, 16, 64)
	}
	if err != nil || m.end < m.start {
		return m, fmt.Errorf("smaps: not a mapping: %q", line)
	}
	m.path = strings.Join(f[5:], " ")
	return m, nil
}

// field takes one figure; those that nobody needs are passed over.
func (m *mapping) field(key string, f []string) error {
	to := map[string][]*int64{
		"Rss": {&m.rss}, "Pss": {&m.pss}, "AnonHugePages": {&m.huge}, "ShmemPmdMapped": {&m.huge},
		"Private_Clean": {&m.private}, "Private_Dirty": {&m.private},
		"Shared_Clean": {&m.shared}, "Shared_Dirty": {&m.shared},
		// hugetlb pages are in none of the above
		"Private_Hugetlb": {&m.private, &m.rss, &m.pss, &m.huge}, "Shared_Hugetlb": {&m.shared, &m.rss, &m.huge},
	}[key]
	if to == nil {
		return nil
	}
	if len(f) != 2 || f[1] != "kB" {
		return fmt.Errorf("smaps: %s is %q, want kB", key, f)
	}
	n, err := strconv.ParseInt(f[0], 10, 53)
	if err != nil || n < 0 {
		return fmt.Errorf("smaps: %s is %q", key, f)
	}
	for _, p := range to {
		*p += n << 10
	}
	return nil
}

// guestMapping finds which of a VMM's mappings are its guest's memory, of so many
// bytes: ms[from:to]. how says by what it was recognised.
//
// A VMM maps that memory as one, from nothing or from a memfd; it may have given parts
// of it other rights, which splits it. Some map it where the guest has it, without its
// first pages.
func guestMapping(ms []mapping, bytes uint64) (from, to int, how string, found bool) {
	n := 0
	var most int64 = -1
	for i := range ms {
		if !ownMemory(ms[i].path) {
			continue
		}
		head := i == 0 || ms[i-1].end != ms[i].start || ms[i-1].path != ms[i].path
		var size uint64
		var rss int64
		for j := i; j < len(ms) && ms[j].path == ms[i].path && (j == i || ms[j].start == ms[j-1].end); j++ {
			size += ms[j].size()
			rss += ms[j].rss
			whole := size == bytes
			inPlace := head && ms[i].start <= mib && ms[j].end == bytes
			if !whole && !inPlace {
				continue
			}
			if n++; rss > most {
				from, to, most = i, j+1, rss
				how = told(ms[i:j+1], size, inPlace && !whole)
			}
			break
		}
	}
	if n > 1 {
		how += fmt.Sprintf("; of %d such the one with the most in memory", n)
	}
	return from, to, how, n > 0
}

// ownMemory: anonymous, or of a file that has no name any more, or in memory only.
func ownMemory(path string) bool {
	return path == "" || strings.HasPrefix(path, "[anon") || strings.HasPrefix(path, "/memfd:") ||
		strings.HasPrefix(path, "/dev/zero") || strings.HasPrefix(path, "/dev/shm/") || strings.HasPrefix(path, "/dev/hugepages/") || strings.HasPrefix(path, "/SYSV")
}

func told(ms []mapping, size uint64, inPlace bool) string {
	kind := "anonymous"
	if ms[0].path != "" {
		kind = ms[0].path
	}
	out := fmt.Sprintf("1 %s mapping", kind)
	if len(ms) > 1 {
		out = fmt.Sprintf("%d adjoining %s mappings", len(ms), kind)
	}
	if inPlace {
		return fmt.Sprintf("%s at the guest's own addresses %#x to %#x", out, ms[0].start, ms[len(ms)-1].end)
	}
	return out + " of exactly " + sizeText(int(size/kib))
}

// memoryNow is what the processes of a group have in memory, in bytes.
type memoryNow struct {
	ns         int64
	guest      *mapping // the guest's memory; nil if it is not found
	how        string   // by what it was
	private    int64    // of all else: nobody maps it but one process
	shared     int64    // of all else: somebody else maps it too
	pss        int64    // of everything
	pageTables int64
}

// readMemory reads what some processes have in memory. guestBytes is the size of the
// memory of the guest that one of them runs; 0 for none.
func readMemory(pids []int, guestBytes uint64) (now memoryNow, err error) {
	now.ns = monotonicNs()
	read := 0
	for _, pid := range pids {
		ms, tables, err := processMemory(pid)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			continue // it has ended
		}
		if err != nil {
			return now, err
		}
		read++
		now.pageTables += tables
		from, to, how, found := guestMapping(ms, guestBytes)
		if guestBytes == 0 || now.guest != nil {
			found = false
		}
		if found {
			now.guest, now.how = &mapping{start: ms[from].start, end: ms[to-1].end}, how
		}
		for i, m := range ms {
			now.pss += m.pss
			if found && i >= from && i < to {
				now.guest.rss, now.guest.huge = now.guest.rss+m.rss, now.guest.huge+m.huge
				continue
			}
			now.private, now.shared = now.private+m.private, now.shared+m.shared
		}
	}
	if read == 0 {
		return now, errors.New("none of the guest's processes is there any more")
	}
	return now, nil
}

// processMemory reads a process's mappings, and the size of its page tables.
func processMemory(pid int) (ms []mapping, tables int64, err error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps", pid))
	if err != nil {
		return nil, 0, fmt.Errorf("read memory: %w", err)
	}
	if ms, err = parseSmaps(string(raw)); err != nil {
		return nil, 0, fmt.Errorf("process %d: %w", pid, err)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return nil, 0, fmt.Errorf("read memory: %w", err)
	}
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "VmPTE:" {
			n, err := strconv.ParseInt(f[1], 10, 53)
			return ms, n << 10, err
		}
	}
	return ms, 0, nil // a kernel thread, or a process that is just ending
}
