// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/ukprobe/ukprobe/orchestrate/matrix"
)

// from makes a system that works with so much memory and more.
func from(least int) func(mib, tries int) bool {
	return func(mib, _ int) bool { return mib >= least }
}

// TestSearch: systems whose answer is known. tries counts, from 1, how often a size
// has been tried.
func TestSearch(t *testing.T) {
	tests := []struct {
		name    string
		bounds  matrix.MemorySearch
		known   int
		works   func(mib, tries int) bool
		least   int
		failing int
		why     string // there is no result
		taint   string
	}{
		{"an edge", matrix.MemorySearch{FromMiB: 1, ToMiB: 1024, StepMiB: 1, Confirm: 3}, 256, from(37), 37, 36, "", ""},
		{"at the known size", matrix.MemorySearch{FromMiB: 1, ToMiB: 1024, StepMiB: 1, Confirm: 3}, 256, from(256), 256, 255, "", ""},
		{"above the lower bound", matrix.MemorySearch{FromMiB: 1, ToMiB: 1024, StepMiB: 1, Confirm: 3}, 256, from(2), 2, 1, "", ""},
		{"in steps", matrix.MemorySearch{FromMiB: 10, ToMiB: 100, StepMiB: 8, Confirm: 1}, 99, from(43), 50, 42, "", ""},
		{"two sizes", matrix.MemorySearch{FromMiB: 1, ToMiB: 2, StepMiB: 1, Confirm: 3}, 64, from(2), 2, 1, "", ""},
		{"the lower bound is enough", matrix.MemorySearch{FromMiB: 8, ToMiB: 64, StepMiB: 1, Confirm: 3}, 64, from(5), 0, 0, "from_mib is not small enough: 8 MiB work 3 of 3", ""},
		{"the upper bound is not enough", matrix.MemorySearch{FromMiB: 8, ToMiB: 64, StepMiB: 1, Confirm: 3}, 256, from(65), 0, 0, "to_mib is too small: 64 MiB fail: too small", ""},
		{"bounds above the known size", matrix.MemorySearch{FromMiB: 80, ToMiB: 100, StepMiB: 1, Confirm: 1}, 64, from(90), 0, 0, "from_mib is above memory_mib", ""},
		{"not monotone", matrix.MemorySearch{FromMiB: 1, ToMiB: 64, StepMiB: 1, Confirm: 3}, 64,
			func(mib, _ int) bool { return mib >= 40 && mib%2 == 0 }, 0, 0, "not monotone: ", ""},
		{"an island below", matrix.MemorySearch{FromMiB: 1, ToMiB: 64, StepMiB: 1, Confirm: 3}, 64,
			func(mib, _ int) bool { return mib >= 37 || mib == 35 }, 0, 0, "not monotone: 36 MiB fail: too small, but 35 MiB work", ""},
		{"a wide hole above", matrix.MemorySearch{FromMiB: 1, ToMiB: 64, StepMiB: 1, Confirm: 3}, 64,
			func(mib, _ int) bool { return mib >= 37 && (mib < 49 || mib > 63) }, 0, 0, "not monotone: ", ""},
		{"worked once below", matrix.MemorySearch{FromMiB: 1, ToMiB: 64, StepMiB: 1, Confirm: 3}, 64,
			func(mib, tries int) bool { return mib >= 37 || mib == 35 && tries == 1 }, 37, 36, "", "35 MiB worked once"},
		{"works once in three", matrix.MemorySearch{FromMiB: 1, ToMiB: 64, StepMiB: 1, Confirm: 3}, 64,
			func(mib, tries int) bool { return mib >= 30 || mib == 29 && tries%3 == 1 }, 30, 29, "", "29 MiB work 1 of 3 times: the edge is not sharp"},
		{"fails once for another reason", matrix.MemorySearch{FromMiB: 1, ToMiB: 64, StepMiB: 1, Confirm: 3}, 64,
			func(mib, tries int) bool { return mib >= 17 && (mib != 32 || tries != 1) }, 17, 16, "", "32 MiB fail: too small; then it worked 3 times"},
		{"above the edge fails once", matrix.MemorySearch{FromMiB: 1, ToMiB: 64, StepMiB: 1, Confirm: 2}, 64,
			func(mib, tries int) bool { return mib >= 20 && (mib != 64 || tries != 1) }, 20, 19, "", "64 MiB fail: too small; then it worked 2 times"},
		{"nothing is sure", matrix.MemorySearch{FromMiB: 1, ToMiB: 64, StepMiB: 1, Confirm: 3}, 64,
			func(_, tries int) bool { return tries == 2 }, 0, 0, "the default size is enough only at times", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tried := map[int]int{}
			worked := map[int]int{}
			s := search{grid: gridOf(tt.bounds), known: tt.known << 10, rand: rand.New(rand.NewPCG(1, 2))}
			s.try = func(_ context.Context, kib int) (trial, error) {
				mib := kib >> 10
				if mib < tt.bounds.FromMiB || mib > tt.bounds.ToMiB || (mib-tt.bounds.FromMiB)%tt.bounds.StepMiB != 0 {
					t.Fatalf("%d MiB are tried, which nobody asked for", mib)
				}
				if tried[mib]++; tt.works(mib, tried[mib]) {
					worked[mib]++
					return trial{Passed: true}, nil
				}
				return trial{Reason: "too small"}, nil
			}
			least, failing, why, err := s.run(t.Context())
			least, failing = least>>10, failing>>10
			if err != nil || least != tt.least || failing != tt.failing || !strings.Contains(why, tt.why) || (why == "") != (tt.why == "") {
				t.Fatalf("%d MiB, fails with %d, %q, %v; want %d, %d, %q", least, failing, why, err, tt.least, tt.failing, tt.why)
			}
			if taints := fmt.Sprint(s.taints); !strings.Contains(taints, tt.taint) || (len(s.taints) > 0) != (tt.taint != "") {
				t.Errorf("taints %s, want %q", taints, tt.taint)
			}
			if why == "" && (worked[least] < tt.bounds.Confirm || tried[failing]-worked[failing] < 2) {
				t.Errorf("%d MiB worked %d times, %d failed %d times: want both confirmed", least, worked[least], failing, tried[failing]-worked[failing])
			}
			if len(s.trials) > 60 {
				t.Errorf("%d tries", len(s.trials))
			}
		})
	}
}

// TestSearchEverywhere: every edge of a range is found.
func TestSearchEverywhere(t *testing.T) {
	for least := 2; least <= 64; least++ {
		s := search{grid: grid{1, 64, 1, 2}, known: 64, rand: rand.New(rand.NewPCG(uint64(least), 0))}
		s.try = func(_ context.Context, mib int) (trial, error) { return trial{Passed: mib >= least}, nil }
		if got, failing, why, err := s.run(t.Context()); got != least || failing != least-1 || why != "" || err != nil || len(s.taints) > 0 {
			t.Errorf("%d: found %d, fails with %d: %s, %v, %v", least, got, failing, why, err, s.taints)
		}
	}
}

func TestSearchEnds(t *testing.T) {
	broken := errors.New("broken")
	for at := range 20 {
		n := 0
		s := search{grid: grid{1, 64, 1, 3}, known: 100, rand: rand.New(rand.NewPCG(1, 2))}
		s.try = func(_ context.Context, mib int) (trial, error) {
			if n++; n > at {
				return trial{}, broken
			}
			return trial{Passed: mib > 9}, nil
		}
		if least, _, _, err := s.run(t.Context()); !errors.Is(err, broken) || least != 0 || len(s.trials) != at {
			t.Errorf("after %d tries: %d MiB, %v", at, least, err)
		}
	}
}
