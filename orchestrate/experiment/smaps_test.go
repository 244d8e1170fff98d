// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"bufio"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

const smaps = `00010000-00100000 rw-p 00000000 00:00 0
Size:                960 kB
Rss:                   8 kB
Pss:                   8 kB
Shared_Clean:          0 kB
Private_Dirty:         8 kB
AnonHugePages:         0 kB
THPeligible:           0
VmFlags: rd wr mr mw me ac sd
7f0000000000-7f0000200000 rw-s 00000000 00:01 1234                       /memfd:guest memory (deleted)
Rss:                 100 kB
Pss:                  60 kB
Shared_Clean:         10 kB
Shared_Dirty:         70 kB
Private_Clean:         5 kB
Private_Dirty:        15 kB
ShmemPmdMapped:       64 kB
Shared_Hugetlb:        4 kB
Private_Hugetlb:       2 kB
`

func TestParseSmaps(t *testing.T) {
	got, err := parseSmaps(smaps)
	want := []mapping{
		{start: 0x10000, end: 0x100000, rss: 8 * kib, pss: 8 * kib, private: 8 * kib},
		{start: 0x7f0000000000, end: 0x7f0000200000, path: "/memfd:guest memory (deleted)", rss: 106 * kib, pss: 62 * kib, private: 22 * kib, shared: 84 * kib, huge: 70 * kib},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(mapping{})); diff != "" || err != nil {
		t.Errorf("%s%v", diff, err)
	}
	for _, bad := range []string{"Rss: 4 kB\n", "x-y rw-p 0 0 0\n", "2000-1000 rw-p 00000000 00:00 0\n", "1000-2000 rw-p\n", "0-1 rw-p 0 0 0\nRss: 4 MB\n", "0-1 rw-p 0 0 0\nRss: -4 kB\n", "0-1 rw-p 0 0 0\nPss:\n"} {
		if got, err := parseSmaps(bad); err == nil {
			t.Errorf("%q: %+v", bad, got)
		}
	}
}

// FuzzParseSmaps: no text makes sizes below zero.
func FuzzParseSmaps(f *testing.F) {
	f.Add(smaps)
	f.Add("0-ffffffffffffffff rw-p 0 0 0\nRss: 9007199254740991 kB\n")
	f.Fuzz(func(t *testing.T, text string) {
		ms, err := parseSmaps(text)
		if err != nil {
			return
		}
		for _, m := range ms {
			if m.end < m.start {
				t.Fatalf("%+v", m)
			}
		}
		guestMapping(ms, 1<<20)
	})
}

func TestGuestMapping(t *testing.T) {
	anon := func(start, end uint64, rss int64) mapping { return mapping{start: start, end: end, rss: rss} }
	named := func(path string, start, end uint64) mapping { return mapping{start: start, end: end, path: path} }
	tests := []struct {
		name     string
		ms       []mapping
		from, to int
		how      string // "": not found
	}{
		{"one of that size", []mapping{named("/usr/bin/vmm", 0, 4*mib), anon(5*mib, 9*mib, 1), anon(10*mib, 13*mib, 9)}, 1, 2, "1 anonymous mapping of exactly 4 MiB"},
		{"a memfd", []mapping{named("/memfd:ram (deleted)", 0, 4*mib)}, 0, 1, "1 /memfd:ram (deleted) mapping of exactly 4 MiB"},
		{"split by rights", []mapping{anon(1*mib, 2*mib, 0), anon(7*mib, 8*mib, 1), anon(8*mib, 9*mib, 1), anon(9*mib, 11*mib, 1), anon(20*mib, 21*mib, 0)}, 1, 4, "3 adjoining anonymous mappings of exactly 4 MiB"},
		{"two of that size", []mapping{anon(5*mib, 9*mib, 1), anon(10*mib, 14*mib, 7)}, 1, 2, "1 anonymous mapping of exactly 4 MiB; of 2 such the one with the most in memory"},
		{"at the guest's own addresses", []mapping{anon(0x10000, 1*mib, 1), anon(1*mib, 4*mib, 1), anon(9*mib, 10*mib, 1)}, 0, 2, "2 adjoining anonymous mappings at the guest's own addresses 0x10000 to 0x400000"},
		{"a hole", []mapping{anon(5*mib, 6*mib, 1), anon(7*mib, 10*mib, 1)}, 0, 0, ""},
		{"another kind between", []mapping{anon(5*mib, 6*mib, 1), named("/memfd:x", 6*mib, 9*mib)}, 0, 0, ""},
		{"a file", []mapping{named("/var/lib/image", 0x100000000, 0x100000000+4*mib)}, 0, 0, ""},
		{"none", nil, 0, 0, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			from, to, how, found := guestMapping(tt.ms, 4*mib)
			if from != tt.from || to != tt.to || how != tt.how || found != (tt.how != "") {
				t.Errorf("[%d:%d] %q, %v; want [%d:%d] %q", from, to, how, found, tt.from, tt.to, tt.how)
			}
		})
	}
}

// resident is how much memory this process has, in bytes: proc(5), statm.
func resident(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// TestReadMemory: this process maps what a VMM would map for a guest, and touches a
// known part of it; a child of its own shares none of it.
func TestReadMemory(t *testing.T) {
	const size, touched = 97 * mib, 24 * mib // Go's heap grows by 4 MiB: it is never as large
	guest, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(guest)
	for i := 0; i < touched; i += 4096 {
		guest[i] = 1
	}
	child := exec.Command("sh", "-c", "echo up; exec sleep 60")
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = child.Process.Kill(); _ = child.Wait() }()
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	const gone = 1<<22 - 1 // no pid is larger
	now, err := readMemory([]int{gone, os.Getpid(), child.Process.Pid}, size)
	if err != nil {
		t.Fatal(err)
	}
	if now.guest == nil || now.guest.rss != touched || !strings.Contains(now.how, "of exactly 97 MiB") {
		t.Fatalf("guest %+v: %s; want %d bytes", now.guest, now.how, touched)
	}
	// The guest's memory is not this process' own.
	most := uint64(resident(t)) - touched + 16*mib // what the child has, and what grows meanwhile
	if now.private < mib || uint64(now.private) > most || now.pss < touched+now.private || now.pageTables < 8*kib {
		t.Errorf("%+v", now)
	}
	alone, err := readMemory([]int{os.Getpid()}, 0)
	if err != nil || alone.guest != nil || alone.shared+alone.private < touched {
		t.Errorf("without a guest %+v, %v", alone, err)
	}
	if _, err := readMemory([]int{gone}, size); err == nil {
		t.Error("no process, and no error")
	}
}
