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
)

// workload is one task of the guest.
type workload struct {
	name string
	task reference.Cmdline
	ops  int // what the guest's time is divided by; 0: boots are compared as a whole
}

func (b *bench) workloads() []workload {
	return []workload{
		{"port write", reference.Cmdline{PIO: b.pio}, b.pio},
		{"CPUID", reference.Cmdline{CPUID: b.cpuid}, b.cpuid},
		{"boot", reference.Cmdline{}, 0},
	}
}

// slowdown is the A/B comparison: every sample of every round.
type slowdown struct {
	Seed       uint64          `json:"seed"`
	TicksPerNS float64         `json:"ticks_per_ns"` // of the guest's TSC
	Rounds     int             `json:"rounds"`
	Repeated   int             `json:"repeated"` // conditions run again: other BPF programs came or went
	Conditions []conditionInfo `json:"conditions"`
	Workloads  []workloadInfo  `json:"workloads"`
	// Samples by workload, condition and round.
	Samples map[string]map[string][]times `json:"samples"`
	have    []condition
}

type workloadInfo struct {
	Name    string `json:"name"`
	Cmdline string `json:"cmdline"`
	Ops     int    `json:"ops"`
}

// slowdown runs the rounds. In each, every condition comes once, in random order,
// and in each condition every workload, in random order.
func (b *bench) slowdown(ctx context.Context) (s slowdown, err error) {
	s.Seed, s.Samples = b.seed, map[string]map[string][]times{}
	if s.have, s.Conditions, err = b.available(); err != nil {
		return s, err
	}
	for _, w := range b.workloads() {
		s.Workloads = append(s.Workloads, workloadInfo{w.name, w.task.String(), w.ops})
		s.Samples[w.name] = map[string][]times{}
	}
	if s.TicksPerNS, err = b.calibrate(ctx); err != nil {
		return s, err
	}
	if _, _, err := b.round(ctx, s.have); err != nil { // warms the caches up
		return s, err
	}
	for s.Rounds < b.rounds {
		got, repeated, err := b.round(ctx, s.have)
		s.Repeated += repeated
		if err != nil {
			return s, err
		}
		s.Rounds++
		for w, byCondition := range got {
			for c, t := range byCondition {
				s.Samples[w][c] = append(s.Samples[w][c], t)
			}
		}
		progress(s.Rounds, b.rounds)
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

// round runs every condition once. A condition during which other BPF programs
// came or went is run again, and counted.
func (b *bench) round(ctx context.Context, have []condition) (got map[string]map[string]times, repeated int, err error) {
	got = map[string]map[string]times{}
	for _, i := range b.rand.Perm(len(have)) {
		for tries := 1; ; tries++ {
			clean, err := b.runCondition(ctx, have[i], got)
			if err != nil {
				return nil, repeated, fmt.Errorf("condition %s: %w", have[i].name, err)
			}
			if clean {
				break
			}
			if repeated++; tries == maxRepeats {
				return nil, repeated, fmt.Errorf("condition %s: other tracing BPF programs came or went %d times in a row: end what attaches them", have[i].name, tries)
			}
		}
	}
	return got, repeated, nil
}

// runCondition attaches, runs all workloads and detaches. It is clean if no BPF
// programs but ours came or went.
func (b *bench) runCondition(ctx context.Context, c condition, got map[string]map[string]times) (clean bool, err error) {
	if alone, err := b.onlyBaseline(ctx); err != nil || !alone {
		return false, err
	}
	p, err := c.open()
	if err != nil {
		return false, err
	}
	ours := foreign{}
	watched := p
	if p != nil {
		defer func() { err = errors.Join(err, p.Close()) }()
		if ours, err = programsOf(p); err != nil {
			return false, err
		}
		if !c.watch {
			watched = nil
		}
	}
	// What loading left behind shall not be paid for by the guest.
	runtime.GC()
	if err := pause(ctx, 30*time.Millisecond); err != nil {
		return false, err
	}
	ws := b.workloads()
	for _, i := range b.rand.Perm(len(ws)) {
		t, err := b.boot(ctx, ws[i].task, watched)
		if err != nil {
			return false, err
		}
		if got[ws[i].name] == nil {
			got[ws[i].name] = map[string]times{}
		}
		got[ws[i].name][c.name] = t
	}
	return b.undisturbed(ours)
}

// calibrations is how many guests the TSC's rate is taken from.
const calibrations = 3

// calibrate measures the rate of the guests' TSC, in ticks per nanosecond: the
// median over a few long runs of a guest's ticks over the time between the same
// two lines on the pipe. Runs have to be long because the first line is read late
// on a busy machine, some milliseconds.
func (b *bench) calibrate(ctx context.Context) (float64, error) {
	var rates []float64
	for range calibrations {
		t, err := b.boot(ctx, reference.Cmdline{PIO: 10 * b.pio}, nil)
		if err != nil {
			return 0, fmt.Errorf("measure the rate of the guest's TSC: %w", err)
		}
		rates = append(rates, float64(t.Ticks)/float64(t.Pipe))
	}
	return medianOf(rates), nil
}
