// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ukprobe/ukprobe/orchestrate/cgroup"
	"github.com/ukprobe/ukprobe/orchestrate/cpu"
	"github.com/ukprobe/ukprobe/orchestrate/journal"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
)

func TestTail(t *testing.T) {
	tests := []struct {
		writes []string
		want   string
	}{
		{nil, ""},
		{[]string{"ab", "cd"}, "abcd"},
		{[]string{"abcdefgh"}, "abcdefgh"},
		{[]string{"abcdefghi"}, "bcdefghi"},
		{[]string{"abcdefgh", "XY"}, "cdefghXY"},
		{[]string{strings.Repeat("long", 100), "end"}, "glongend"},
		{[]string{"", "a", ""}, "a"},
	}
	for _, tt := range tests {
		tail := newTail(8)
		for _, w := range tt.writes {
			if n, err := tail.Write([]byte(w)); n != len(w) || err != nil {
				t.Errorf("write %q: %d, %v", w, n, err)
			}
		}
		if got := tail.String(); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.writes, got, tt.want)
		}
	}
}

func TestAffinityIsPutBack(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	get := func() (set unix.CPUSet) {
		if err := unix.SchedGetaffinity(0, &set); err != nil {
			t.Fatal(err)
		}
		return set
	}
	before := get()
	last := 0
	for cpu := range 1024 {
		if before.IsSet(cpu) {
			last = cpu
		}
	}
	restore, err := affinity([]int{last})
	if err != nil {
		t.Fatal(err)
	}
	if now := get(); now.Count() != 1 || !now.IsSet(last) {
		t.Errorf("on %d CPUs, want CPU %d only", now.Count(), last)
	}
	restore()
	if now := get(); now != before {
		t.Errorf("put back to %v, want %v", now, before)
	}
	if restore, err = affinity(nil); err != nil || get() != before {
		t.Errorf("no CPUs: %v", err)
	}
	restore()
	if _, err := affinity([]int{1023}); err == nil && !before.IsSet(1023) {
		t.Error("a CPU that is not there is no error")
	}
}

// TestStartsOnItsCPUs: also where cgroups have cpusets, as on a kernel with all
// controllers of cgroup v2 (the hostvm's).
func TestStartsOnItsCPUs(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root: cgroups need it")
	}
	h, err := cgroup.Find()
	if err != nil {
		t.Skip(err)
	}
	j, err := journal.Open(t.TempDir(), "cpus-test")
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	g, err := h.New(j, "cpus-test", "s1")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	}()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	mine, err := cpu.Affinity(0)
	if err != nil {
		t.Fatal(err)
	}
	last := mine[len(mine)-1:]
	gst, err := start(platform.Launch{Argv: []string{"/bin/sleep", "60"}}, g, last, nil, func() error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	got, err := cpu.Affinity(gst.cmd.Process.Pid)
	if err != nil || gst.unpinned != nil || !slices.Equal(got, last) {
		t.Errorf("on cpus %v, want %v: %v, %v", got, last, err, gst.unpinned)
	}
	if err := g.Kill(t.Context()); err != nil {
		t.Error(err)
	}
	<-gst.done
}
