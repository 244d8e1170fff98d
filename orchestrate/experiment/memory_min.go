// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/ukprobe/ukprobe/probe"
)

// The names of what memory-min yields.
const (
	MemoryMinBytes     = "memory_min_bytes"     // the least memory that is enough
	MemoryFailingBytes = "memory_failing_bytes" // one step less, which is not
	SearchBoots        = "boots"
	BootLimitNs        = "boot_limit_ns" // what a boot and a load were given, learnt
	LoadLimitNs        = "load_limit_ns"
)

// MemoryMin is the experiment of finding the least memory with which an app works: it
// becomes ready and stands a short load. A sample is a whole search.
type MemoryMin struct {
	Boot     *Boot
	Exercise Exerciser
}

// dockerFloorMiB is the least limit that a Docker Engine takes. Less is set on the
// cgroup above the container's.
const dockerFloorMiB = 6

// Sample implements Sampler.
func (m *MemoryMin) Sample(ctx context.Context, name string) (Sample, error) {
	s := Sample{Started: time.Now(), Taints: m.Boot.planTaints()}
	r := &memoryRun{MemoryMin: m, name: name, s: &s}
	why, err := r.run(ctx)
	r.tell()
	s.Value(SearchBoots, float64(r.boots.boots))
	switch {
	case errors.Is(err, errInterrupted):
		s.Status, s.Reason, err = Interrupted, "interrupted", nil
	case err == nil && why != "":
		s.Status, s.Reason = Failed, why
	case err == nil:
		s.Status = OK
	}
	return s, err
}

// errInterrupted says that the run is to end.
var errInterrupted = errors.New("interrupted")

// memoryRun is one search under way.
type memoryRun struct {
	*MemoryMin
	name   string
	s      *Sample
	boots  tally
	trials []trial

	// What a boot and a load may take with less memory than usual.
	bootLimit, loadLimit Limit
}

func (r *memoryRun) run(ctx context.Context) (why string, err error) {
	set := r.Boot.Settings
	if why, err = r.learn(ctx); why != "" || err != nil {
		return why, err
	}
	r.s.Value(BootLimitNs, float64(r.bootLimit.Now().Nanoseconds()))
	r.s.Value(LoadLimitNs, float64(r.loadLimit.Now().Nanoseconds()))
	search, least, failing, why, err := r.search(ctx, gridOf(set.MemorySearch), set.MemoryMiB<<10)
	if err == nil && search.small && r.Boot.bare() && search.grid.from > finerKiB {
		fine := grid{from: finerKiB, to: search.grid.from, step: finerKiB, confirm: set.MemorySearch.Confirm}
		_, least, failing, why, err = r.search(ctx, fine, search.grid.from)
	}
	if why != "" || err != nil {
		return why + r.hugePages(why), err
	}
	r.notTheApp(failing)
	r.s.Value(MemoryMinBytes, float64(least)*kib)
	r.s.Value(MemoryFailingBytes, float64(failing)*kib)
	return "", nil
}

// notMonotone begins the reason of a search that has found less memory to work, and more
// not.
const notMonotone = "not monotone: "

// hugePages explains what is no VM and not monotone: where every first byte may get a
// huge page, a limit that has room for one has none for what comes after, and a lower
// one, which has not, is enough.
func (r *memoryRun) hugePages(why string) string {
	const path = "/sys/kernel/mm/transparent_hugepage/enabled"
	enabled, err := os.ReadFile(path)
	if err != nil || !r.Boot.bare() || !strings.HasPrefix(why, notMonotone) || !strings.Contains(string(enabled), "[always]") {
		return ""
	}
	return "; perhaps because a program gets huge pages without asking (" + path + " is always): try cpu: {thp: madvise} in defaults"
}

// finerKiB is the step below memory_search.from_mib for what is no VM: whole programs
// fit into a MiB. It is also where that begins.
const finerKiB = 64

// search searches one grid, and keeps what was tried.
func (r *memoryRun) search(ctx context.Context, g grid, known int) (s *search, least, failing int, why string, err error) {
	seed := fnv.New64a()
	_, _ = fmt.Fprint(seed, r.Boot.RunID, r.name, g)
	s = &search{grid: g, known: known, rand: rand.New(rand.NewPCG(seed.Sum64(), 0)), try: r.try}
	least, failing, why, err = s.run(ctx)
	r.s.Taints = append(r.s.Taints, s.taints...)
	r.trials = append(r.trials, s.trials...)
	return s, least, failing, why, err
}

// learn boots with the usual memory, which has to be enough, and takes from that how
// long boots and loads may take. The first boot finds cold caches and does not count.
func (r *memoryRun) learn(ctx context.Context) (why string, err error) {
	set := r.Boot.Settings
	from := max(learnBoots, set.MemorySearch.Confirm)
	r.bootLimit = Limit{Bound: set.Timeout, From: from}
	r.loadLimit = Limit{Bound: set.Timeout + set.Load.Duration + set.Load.Warmup, From: from}
	for !r.bootLimit.Known() {
		p, err := r.boot(ctx, set.MemoryMiB<<10)
		if err != nil {
			return "", err
		}
		if p.reason != "" {
			return fmt.Sprintf("memory_mib: %d MiB are not enough to begin with: %s", set.MemoryMiB, p.reason), nil
		}
		r.bootLimit.Worked(p.boot)
		r.loadLimit.Worked(p.load)
	}
	return "", nil
}

// try is the search's.
func (r *memoryRun) try(ctx context.Context, kib int) (trial, error) {
	t := trial{NS: monotonicNs()}
	p, err := r.boot(ctx, kib)
	t.Passed, t.Reason, t.Exec, t.TookNs = p.reason == "", p.reason, p.exec, monotonicNs()-t.NS
	return t, err
}

// probed is how one boot went.
type probed struct {
	reason     string // why not well
	boot, load time.Duration
	exec       bool
}

// boot boots a guest with so much memory and puts it under the load.
func (r *memoryRun) boot(ctx context.Context, kib int) (p probed, err error) {
	b := *r.Boot
	b.give(kib)
	b.Settings.Timeout = r.bootLimit.Now()
	// What serves nothing has done all it does when it is ready, and may have ended.
	b.During = &During{Limit: r.loadLimit.Now(), MayEnd: b.Image.Service == nil, Do: func(ctx context.Context, l *Live) error {
		ready := time.Now()
		err := r.Exercise(ctx, l)
		p.load = time.Since(ready)
		return err
	}}
	s, err := b.Sample(ctx, fmt.Sprintf("%s-%d", r.name, r.boots.boots))
	r.boots.add(s)
	p.boot = s.ReadyAfter // the limit is of the same span
	_, p.exec = s.Timeline.At(probe.EventVMMExec)
	switch {
	case err != nil:
		return p, err
	case s.Status == Interrupted:
		return p, errInterrupted
	case s.Status != OK:
		p.reason = s.Reason
		if p.reason == "" {
			p.reason = s.Status
		}
	default:
		r.s.Argv, r.s.Stderr = s.Argv, s.Stderr
	}
	return p, nil
}

// notTheApp taints the sample if it was what starts the app that had too little memory:
// the runtime of a container, which is in its cgroup before it.
func (r *memoryRun) notTheApp(failing int) {
	seen := slices.ContainsFunc(r.trials, func(t trial) bool { return t.Passed && t.Exec })
	early := slices.ContainsFunc(r.trials, func(t trial) bool { return t.KiB == failing && !t.Passed && !t.Exec })
	if seen && early {
		r.s.Taint("memory: with %s it was not the app that failed but what starts it: the app itself may need less", sizeText(failing))
	}
}

// give sets how much memory a guest has, in KiB: of a VM its own, of a container or a process
// the limit of its cgroup.
func (b *Boot) give(size int) {
	b.Settings.MemoryMiB = size >> 10
	if !b.bare() {
		return
	}
	b.LimitBytes = int64(size) * kib
	b.Settings.MemoryMiB = max(b.Settings.MemoryMiB, dockerFloorMiB)
}

// tell keeps what was tried, for people and as a curve, and the taints of the boots
// with how many had each.
func (r *memoryRun) tell() {
	r.boots.into(r.s)
	var b strings.Builder
	for i, t := range r.trials {
		word := "enough"
		if !t.Passed {
			word = "fails: " + t.Reason
		}
		fmt.Fprintf(&b, "%3d  %8s  %8.3f s  %s\n", i+1, sizeText(t.KiB), float64(t.TookNs)/1e9, word)
		r.s.curve("tried_bytes", t.NS, float64(t.KiB)*kib)
	}
	r.s.Output("search", b.String())
}
