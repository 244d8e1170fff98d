// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"golang.org/x/term"

	"github.com/ukprobe/ukprobe/guests/reference"
	"github.com/ukprobe/ukprobe/orchestrate/overhead/rig"
)

// workload is one task of the guest.
type workload struct {
	name string
	task reference.Cmdline
	ops  int // what the guest's time is divided by; 0: boots are compared as a whole
	// untimed: only what is counted matters.
	untimed bool
}

func (b *bench) workloads() []workload {
	return []workload{
		{name: "port write", task: reference.Cmdline{PIO: b.pio}, ops: b.pio},
		{name: "CPUID", task: reference.Cmdline{CPUID: b.cpuid}, ops: b.cpuid},
		{name: "boot"},
	}
}

// slowdown is an A/B comparison: every sample of every round.
type slowdown struct {
	Seed       uint64          `json:"seed"`
	TicksPerNS float64         `json:"ticks_per_ns"` // of the guest's TSC
	Rounds     int             `json:"rounds"`
	Repeated   int             `json:"repeated"` // conditions run again: other BPF programs came or went
	Crowded    bool            `json:"crowded"`  // they were not run again, only counted
	Failed     []string        `json:"failed"`   // other tools that failed now and then; these were run again
	Conditions []conditionInfo `json:"conditions"`
	Workloads  []workloadInfo  `json:"workloads"`
	// Samples by workload, condition and round.
	Samples map[string]map[string][]times `json:"samples"`
	// Known is what the guests of one condition did in one round.
	Known map[answer]uint64 `json:"known"`
	// Accounts by condition and round: what each instrument said.
	Accounts map[string][]account `json:"accounts"`
	have     []condition
}

type workloadInfo struct {
	Name    string `json:"name"`
	Cmdline string `json:"cmdline"`
	Ops     int    `json:"ops"`
	Untimed bool   `json:"untimed,omitempty"`
}

// slowdown compares ukprobe's own rungs.
func (b *bench) slowdown(ctx context.Context) (slowdown, error) {
	return b.rounds(ctx, ownConditions(), b.workloads(), b.ownRounds)
}

// rounds runs n rounds. In each, every condition comes once, in random order, and
// in each condition every workload, in random order.
func (b *bench) rounds(ctx context.Context, all []condition, ws []workload, n int) (s slowdown, err error) {
	runtime.LockOSThread() // tools are killed with the thread that started them
	defer runtime.UnlockOSThread()
	s = slowdown{Seed: b.seed, Crowded: b.crowded, Samples: map[string]map[string][]times{}, Accounts: map[string][]account{}, Known: known(ws)}
	if s.have, s.Conditions, err = b.available(ctx, all); err != nil {
		return s, err
	}
	for _, w := range ws {
		s.Workloads = append(s.Workloads, workloadInfo{w.name, w.task.String(), w.ops, w.untimed})
		s.Samples[w.name] = map[string][]times{}
	}
	if s.TicksPerNS, err = b.calibrate(ctx); err != nil {
		return s, err
	}
	if _, _, _, err := b.round(ctx, s.have[:1], ws); err != nil { // warms the caches up
		return s, err
	}
	for begin := time.Now(); s.Rounds == 0 || s.Rounds < n && time.Since(begin) < b.limit; {
		got, repeated, failed, err := b.round(ctx, s.have, ws)
		s.Repeated += repeated
		s.Failed = append(s.Failed, failed...)
		if err != nil {
			return s, err
		}
		s.Rounds++
		for c, r := range got {
			s.Accounts[c] = append(s.Accounts[c], r.account)
			for w, t := range r.times {
				s.Samples[w][c] = append(s.Samples[w][c], t)
			}
		}
		progress(s.Rounds, n)
	}
	return s, nil
}

// progress is for people only.
func progress(done, all int) {
	if term.IsTerminal(int(os.Stderr.Fd())) {
		fmt.Fprintf(os.Stderr, "\rround %d of %d ", done, all)
	}
}

// maxRepeats is how often one condition of a round is tried; each try first waits
// for the others to go.
const maxRepeats = 50

// maxFailures is how often in a row a tool may fail.
const maxFailures = 3

// result is one condition in one round.
type result struct {
	times   map[string]times // by workload
	account account
}

// round runs every condition once. A condition during which other BPF programs
// came or went is run again, and counted, and so is one whose tool failed.
func (b *bench) round(ctx context.Context, have []condition, ws []workload) (got map[string]result, repeated int, failed []string, err error) {
	got = map[string]result{}
	for _, i := range b.rand.Perm(len(have)) {
		for tries := 1; ; tries++ {
			r, clean, err := b.runCondition(ctx, have[i], ws)
			if errors.Is(err, errTool) && tries < maxFailures && ctx.Err() == nil {
				failed = append(failed, have[i].Name+": "+err.Error())
				continue
			}
			if err != nil {
				return nil, repeated, failed, fmt.Errorf("condition %s: %w", have[i].Name, err)
			}
			if !clean && b.crowded {
				repeated++
			}
			if clean || b.crowded {
				got[have[i].Name] = r
				break
			}
			if repeated++; tries == maxRepeats {
				return nil, repeated, failed, fmt.Errorf("condition %s: other tracing BPF programs came or went %d times in a row: end what attaches them", have[i].Name, tries)
			}
		}
	}
	return got, repeated, failed, nil
}

// runCondition attaches, runs all workloads and detaches. It is clean if no BPF
// programs but ours came or went.
func (b *bench) runCondition(ctx context.Context, c condition, ws []workload) (r result, clean bool, err error) {
	alone, err := b.onlyBaseline(ctx)
	if err != nil || !alone && !b.crowded {
		return r, false, err
	}
	s, err := b.begin(ctx, c)
	if err != nil {
		return r, false, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	// What loading left behind shall not be paid for by the guest.
	runtime.GC()
	if err := pause(ctx, 30*time.Millisecond); err != nil {
		return r, false, err
	}
	r.times = map[string]times{}
	for _, i := range b.rand.Perm(len(ws)) {
		if r.times[ws[i].name], err = b.boot(ctx, ws[i].task, s); err != nil {
			return r, false, err
		}
	}
	if clean, err = b.foreign.Undisturbed(s.programs); err != nil {
		return r, false, err
	}
	r.account, err = s.end(ctx)
	return r, clean && alone, err
}

// calibrate measures the rate of the guests' TSC, in ticks per nanosecond, once.
func (b *bench) calibrate(ctx context.Context) (_ float64, err error) {
	if b.ticksPerNS == 0 {
		b.ticksPerNS, err = rig.TicksPerNs(func() (rig.Times, error) {
			t, err := b.boot(ctx, reference.Cmdline{PIO: 10 * b.pio}, nil)
			return t.Times, err
		})
	}
	return b.ticksPerNS, err
}
