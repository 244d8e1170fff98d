// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math"
	"math/rand/v2"
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
		if got := medianOf(tc.in); got != tc.want {
			t.Errorf("median of %v: %v, want %v", tc.in, got, tc.want)
		}
	}
	if got := medianOf(nil); !math.IsNaN(got) {
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
			if compare(off, on, r).Ratio.holds(factor) {
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
	c := compare(off, on, r)
	if c.same() || c.Ratio.Lo < 1.2 || c.Ratio.Hi > 1.8 || c.Extra.Lo <= 0 {
		t.Errorf("a guest slower by half: %+v", c)
	}
	if c := compare(off, off, r); !c.same() || c.Ratio.Value != 1 || c.Extra.Value != 0 {
		t.Errorf("a condition against itself: %+v", c)
	}
}

func TestFewRoundsConcludeNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	off, on := []float64{1, 1, 1, 1, 1}, []float64{9, 9, 9, 9, 9}
	c := compare(off, on, r)
	inf := math.Inf(1)
	want := comparison{Ratio: interval{9, -inf, inf}, Extra: interval{8, -inf, inf}}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Error(diff)
	}
	if got, want := c.ratio(), "~ 9.000 ± ∞"; got != want {
		t.Errorf("printed as %q, want %q", got, want)
	}
}
