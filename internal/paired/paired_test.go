// SPDX-License-Identifier: Apache-2.0

package paired

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMedian(t *testing.T) {
	for _, tc := range []struct {
		in   []float64
		want float64
	}{
		{[]float64{3}, 3},
		{[]float64{9, 1, 5}, 5},
		{[]float64{4, 1, 3, 2}, 2.5},
	} {
		before := slices.Clone(tc.in)
		if got := Median(tc.in); got != tc.want || !slices.Equal(before, tc.in) {
			t.Errorf("median of %v: %v, want %v; values now %v", before, got, tc.want, tc.in)
		}
	}
	if got := Median(nil); !math.IsNaN(got) {
		t.Errorf("median of nothing: %v", got)
	}
}

// noisy draws n rounds of two conditions. What a round has in common doubles its
// values now and then, as another load on the machine does.
func noisy(n int, factor float64, r *rand.Rand) (off, on []float64) {
	for range n {
		common := 1.0
		if r.IntN(3) == 0 {
			common = 1 + r.Float64()
		}
		off = append(off, 100*common*(1+0.03*r.NormFloat64()))
		on = append(on, 100*factor*common*(1+0.03*r.NormFloat64()))
	}
	return off, on
}

// The intervals must hold the truth about as often as they claim: 95 %.
func TestCompareCoverage(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	const trials = 300
	for _, factor := range []float64{1, 1.1} {
		held := 0
		for range trials {
			off, on := noisy(20, factor, r)
			if Compare(off, on, r).Ratio.Holds(factor) {
				held++
			}
		}
		if share := float64(held) / trials; share < 0.9 {
			t.Errorf("factor %v: %d of %d intervals hold it", factor, held, trials)
		}
	}
}

func TestCompareTellsApart(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	off, on := noisy(20, 1.5, r)
	c := Compare(off, on, r)
	if c.Same() || c.Ratio.Lo < 1.2 || c.Ratio.Hi > 1.8 || c.Extra.Lo <= 0 {
		t.Errorf("a guest slower by half: %+v", c)
	}
	if c := Compare(off, off, r); !c.Same() || c.Ratio.Value != 1 || c.Extra.Value != 0 {
		t.Errorf("a condition against itself: %+v", c)
	}
}

// TestCompareTakesRoundsTogether: a known slowdown is found, what a round has in
// common cancels out, the same seed gives the same intervals, and MinRounds suffice.
func TestCompareTakesRoundsTogether(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	const rounds = 30
	off, on, same := make([]float64, rounds), make([]float64, rounds), make([]float64, rounds)
	for i := range rounds {
		load := 1 + r.Float64() // of that round, up to twice as slow
		off[i], on[i], same[i] = 1000*load+r.Float64(), 1100*load+r.Float64(), 1000*load+r.Float64()
	}
	slower := Compare(off, on, rand.New(rand.NewPCG(7, 2)))
	if c := slower.Ratio; c.Lo < 1.09 || c.Hi > 1.11 || math.Abs(c.Value-1.1) > 0.01 {
		t.Errorf("10 %% slower: %v", c)
	}
	if c := slower.Extra; c.Lo < 100 || c.Hi > 200 || !c.Holds(c.Value) {
		t.Errorf("100 to 200 slower: %v", c)
	}
	if c := Compare(off, same, rand.New(rand.NewPCG(7, 2))); !c.Same() {
		t.Errorf("equal: %v", c)
	}
	if diff := cmp.Diff(slower, Compare(off, on, rand.New(rand.NewPCG(7, 2)))); diff != "" {
		t.Errorf("the same seed gives another interval:\n%s", diff)
	}
	if c := Compare(off[:MinRounds], on[:MinRounds], r).Ratio; math.IsInf(c.Lo, 0) || math.IsInf(c.Hi, 0) {
		t.Errorf("%d rounds: no interval", MinRounds)
	}
}

func TestFewRoundsConcludeNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	off, on := []float64{1, 1, 1, 1, 1}, []float64{9, 9, 9, 9, 9}
	c := Compare(off, on, r)
	inf := math.Inf(1)
	want := Comparison{Ratio: Interval{9, -inf, inf}, Extra: Interval{8, -inf, inf}}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Error(diff)
	}
}
