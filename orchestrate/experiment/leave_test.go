// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ukprobe/ukprobe/orchestrate/cpu"
	"github.com/ukprobe/ukprobe/orchestrate/interference"
	"github.com/ukprobe/ukprobe/probe"
)

// observedBoot boots a busy guest on a CPU of its own, where the kernel looks who else is
// there. This process is on the other CPUs. judge takes one sample.
func observedBoot(t *testing.T) (guest int, judge func() interference.Result) {
	t.Helper()
	// Busy for longer than a scheduler's slice: whoever waits for its CPU gets it.
	b, _ := newBoot(t, "i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done; echo ready; exec sleep 60")
	all, err := cpu.Affinity(0)
	if err != nil || len(all) < 2 {
		t.Skipf("needs two CPUs: %v, %v", all, err)
	}
	guest = all[len(all)-1]
	if err := cpu.PinSelf(all[:len(all)-1]); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cpu.PinSelf(all); err != nil {
			t.Error(err)
		}
	})
	was := runtime.GOMAXPROCS(1) // as Go has it, after a second or so, where that is one CPU
	processors = sync.Once{}     // as in a process that has not started a guest
	t.Cleanup(func() { runtime.GOMAXPROCS(was) })
	b.CPUs = cpu.Plan{VMM: []int{guest}}
	p, err := probe.Open(probe.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	seer, err := probe.OpenInterference(probe.Auto)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = seer.Close() })
	b.Instrument = Kernel{Probe: p}
	g, err := b.Cgroups.New(b.Journal, b.RunID, "run")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	id, err := g.RunID()
	if err != nil {
		t.Fatal(err)
	}
	meter := interference.NewMeter(seer, id, filepath.Dir(g.Path))
	return guest, func() interference.Result {
		t.Helper()
		b.Window = meter.Window([]int{guest}, nil)
		if s := sample(t, t.Context(), b); s.Status != OK {
			t.Fatalf("%s: %s", s.Status, s.Reason)
		}
		r := b.Window.Result(1)
		if len(r.Values) == 0 {
			t.Fatalf("not measured: %q", r.Taints)
		}
		return r
	}
}

func ownOf(r interference.Result) (out []interference.Source) {
	return slices.Collect(func(yield func(interference.Source) bool) {
		for _, s := range r.Sources {
			if s.Kind == string(probe.SourceOwn) && !yield(s) {
				return
			}
		}
	})
}

// TestStarterLeavesTheGuestsCPU: from its exec until it is ready a guest has its CPU for
// itself, as far as ukprobe goes: neither the thread that started it comes back there, nor
// is the child before its exec, which still has ukprobe's name, taken for ukprobe. On a busy
// machine the thread may be told too late, but not in most samples.
func TestStarterLeavesTheGuestsCPU(t *testing.T) {
	_, judge := observedBoot(t)
	const samples, most = 30, 10
	var disturbed []interference.Source
	n := 0
	for range samples {
		if own := ownOf(judge()); len(own) > 0 {
			disturbed = append(disturbed, own...)
			n++
		}
	}
	t.Logf("in %d of %d samples ukprobe ran on the guest's CPU", n, samples)
	if n > most {
		t.Errorf("in %d of %d samples ukprobe ran on the guest's CPU: %+v", n, samples, disturbed)
	}
}

// TestOwnThreadOnTheGuestsCPU: one that really is there is told, and disturbs.
func TestOwnThreadOnTheGuestsCPU(t *testing.T) {
	guest, judge := observedBoot(t)
	var over atomic.Bool
	there, left := make(chan error), make(chan struct{})
	go func() {
		defer close(left)
		runtime.LockOSThread() // and never unlocked: the thread ends with its CPUs
		set := newSet([]int{guest})
		there <- unix.SchedSetaffinity(0, &set)
		for !over.Load() {
		}
	}()
	err := <-there
	defer func() { over.Store(true); <-left }()
	if err != nil {
		t.Fatal(err)
	}
	r := judge()
	taint := func(s string) bool { return strings.HasPrefix(s, "ukprobe's own ") }
	if own := ownOf(r); len(own) == 0 || !r.Disturbed || !slices.ContainsFunc(r.Taints, taint) {
		t.Errorf("own %+v of %+v, disturbed %v, taints %q", own, r.Sources, r.Disturbed, r.Taints)
	}
}
