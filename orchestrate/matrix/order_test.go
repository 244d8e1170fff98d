// SPDX-License-Identifier: Apache-2.0

package matrix

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func sampled(counts ...[2]int) []Cell {
	var cells []Cell
	for _, c := range counts {
		cells = append(cells, Cell{Settings: Settings{Warmup: c[0], Samples: c[1]}})
	}
	return cells
}

// TestOrderIsFixed pins the order: a run must be repeatable from its seed with
// a later ukprobe, built with a later Go. The orders come from an independent
// implementation of the documented algorithm.
func TestOrderIsFixed(t *testing.T) {
	order := func(seed uint64) (cells []int) {
		for _, s := range Order(sampled([2]int{0, 3}, [2]int{0, 3}, [2]int{0, 3}, [2]int{0, 3}, [2]int{0, 3}), seed) {
			cells = append(cells, s.Cell)
		}
		return cells
	}
	want := map[uint64][]int{
		0:              {3, 0, 4, 2, 1, 4, 3, 2, 0, 1, 2, 0, 1, 4, 3},
		1:              {1, 3, 4, 0, 2, 0, 1, 4, 2, 3, 2, 3, 4, 0, 1},
		math.MaxUint64: {2, 4, 0, 3, 1, 4, 0, 1, 2, 3, 2, 1, 0, 3, 4},
	}
	for seed, w := range want {
		if d := cmp.Diff(w, order(seed)); d != "" {
			t.Errorf("seed %d, -want +got:\n%s", seed, d)
		}
	}
}

func TestOrderIsABlockDesign(t *testing.T) {
	cells := sampled([2]int{1, 5}, [2]int{0, 2}, [2]int{2, 5}, [2]int{1, 1})
	for seed := range uint64(200) {
		steps := Order(cells, seed)
		wantWarmups := []Step{{0, 0, true}, {2, 0, true}, {2, 1, true}, {3, 0, true}}
		if d := cmp.Diff(wantWarmups, steps[:4]); d != "" {
			t.Fatalf("seed %d, warm-ups, -want +got:\n%s", seed, d)
		}
		rest := steps[4:]
		for round, want := range [][]int{{0, 1, 2, 3}, {0, 1, 2}, {0, 2}, {0, 2}, {0, 2}} {
			var got []int
			for _, s := range rest[:len(want)] {
				if s.Sample != round || s.Warmup {
					t.Fatalf("seed %d: %+v in round %d", seed, s, round)
				}
				got = append(got, s.Cell)
			}
			slices.Sort(got)
			if d := cmp.Diff(want, got); d != "" {
				t.Fatalf("seed %d, round %d, -want +got:\n%s", seed, round, d)
			}
			rest = rest[len(want):]
		}
		if len(rest) != 0 {
			t.Fatalf("seed %d: %d steps too many", seed, len(rest))
		}
	}
}

// TestOrderOfStoppingRules: a cell may have as many samples as its rule allows at most,
// and where it ends moves nothing of the others: what is left of the order is the same
// as if its steps had been struck out of it.
func TestOrderOfStoppingRules(t *testing.T) {
	cells := sampled([2]int{0, 4}, [2]int{0, 2}, [2]int{1, 4})
	cells[1].Until = Until{WithinPercent: 5, AtMost: 4}
	same := sampled([2]int{0, 4}, [2]int{0, 4}, [2]int{1, 4})
	for seed := range uint64(50) {
		if d := cmp.Diff(Order(same, seed), Order(cells, seed)); d != "" {
			t.Fatalf("seed %d, (-four samples +at most four):\n%s", seed, d)
		}
	}
}

// TestOrderIsUniform counts each of the 24 orders of 4 cells over 24,000
// rounds; chi-squared with 23 degrees of freedom is above 49.7 with a
// probability of 0.001, and the seed is fixed.
func TestOrderIsUniform(t *testing.T) {
	const rounds = 24_000
	c := [2]int{0, rounds}
	steps := Order(sampled(c, c, c, c), 1)
	counts := map[[4]int]float64{}
	for i := 0; i < len(steps); i += 4 {
		counts[[4]int{steps[i].Cell, steps[i+1].Cell, steps[i+2].Cell, steps[i+3].Cell}]++
	}
	chi := 0.0
	for _, n := range counts {
		chi += (n - rounds/24) * (n - rounds/24) / (rounds / 24)
	}
	if len(counts) != 24 || chi > 49.7 {
		t.Errorf("%d of 24 orders, chi-squared %.1f: %v", len(counts), chi, counts)
	}
}

// TestOrderWithoutACellIsUniform: of four cells one drops out, and the orders of the other
// three are equally likely: chi-squared with 5 degrees of freedom is above 20.5 with a
// probability of 0.001.
func TestOrderWithoutACellIsUniform(t *testing.T) {
	const rounds = 12_000
	c := [2]int{0, rounds}
	steps := slices.DeleteFunc(Order(sampled(c, c, c, c), 1), func(s Step) bool { return s.Cell == 2 })
	counts := map[[3]int]float64{}
	for i := 0; i < len(steps); i += 3 {
		counts[[3]int{steps[i].Cell, steps[i+1].Cell, steps[i+2].Cell}]++
	}
	chi := 0.0
	for _, n := range counts {
		chi += (n - rounds/6) * (n - rounds/6) / (rounds / 6)
	}
	if len(counts) != 6 || chi > 20.5 {
		t.Errorf("%d of 6 orders, chi-squared %.1f: %v", len(counts), chi, counts)
	}
}

func TestOrderOfNothing(t *testing.T) {
	if steps := Order(nil, 1); len(steps) != 0 {
		t.Errorf("%v", steps)
	}
}

func TestBelow(t *testing.T) {
	source := rand.NewPCG(1, 2)
	for _, n := range []uint64{1, 2, 3, 1<<63 + 1, math.MaxUint64} {
		for range 1000 {
			if v := below(source, n); v >= n {
				t.Fatalf("below(%d) = %d", n, v)
			}
		}
	}
}
