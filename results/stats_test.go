// SPDX-License-Identifier: Apache-2.0

package results

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// ranks returns the 1-based ranks of the interval that Summarize picks for n
// values: the values are their own ranks, in shuffled order.
func ranks(t *testing.T, n int) (lo, hi int) {
	t.Helper()
	values := make([]float64, n)
	for i, r := range rand.New(rand.NewPCG(1, uint64(n))).Perm(n) {
		values[i] = float64(r + 1)
	}
	s, ok := Summarize(values)
	if !ok || s.CI95 == nil {
		t.Fatalf("n=%d: no interval: %+v", n, s)
	}
	return int(s.CI95[0]), int(s.CI95[1])
}

// coverage is the exact probability that the lo-th and hi-th of n values
// enclose the median: the sum of C(n,k)/2^n for lo <= k < hi.
func coverage(n, lo, hi int) float64 {
	sum := new(big.Int)
	for k := lo; k < hi; k++ {
		sum.Add(sum, new(big.Int).Binomial(int64(n), int64(k)))
	}
	q, _ := new(big.Rat).SetFrac(sum, new(big.Int).Lsh(big.NewInt(1), uint(n))).Float64()
	return q
}

// TestIntervalAgainstTables holds the ranks and levels against the table
// "Confidence intervals for the population median" found in statistics
// textbooks (the rows where the narrowest interval of at least 95 % is
// symmetric; the levels are printed with one decimal).
func TestIntervalAgainstTables(t *testing.T) {
	tests := []struct {
		n, lo, hi int
		percent   float64
	}{
		{6, 1, 6, 96.9}, {7, 1, 7, 98.4}, {9, 2, 8, 96.1}, {10, 2, 9, 97.9}, {12, 3, 10, 96.1},
		{13, 3, 11, 97.8}, {15, 4, 12, 96.5}, {17, 5, 13, 95.1}, {18, 5, 14, 96.9}, {20, 6, 15, 95.9},
	}
	for _, tt := range tests {
		lo, hi := ranks(t, tt.n)
		if lo != tt.lo || hi != tt.hi {
			t.Errorf("n=%d: ranks %d..%d, the table has %d..%d", tt.n, lo, hi, tt.lo, tt.hi)
		}
		if got := 100 * coverage(tt.n, lo, hi); math.Abs(got-tt.percent) > 0.051 {
			t.Errorf("n=%d: %.2f %%, the table has %.1f %%", tt.n, got, tt.percent)
		}
	}
}

// TestIntervalCovers checks the promise itself, for every n and in particular
// where the library goes over to an approximation: at least 95 %, and no wider
// than needed (without its outermost rank on both sides it is below).
func TestIntervalCovers(t *testing.T) {
	for n := 6; n <= 600; n++ {
		lo, hi := ranks(t, n)
		if c := coverage(n, lo, hi); c < 0.95 {
			t.Errorf("n=%d: ranks %d..%d cover %.4f", n, lo, hi, c)
		}
		if c := coverage(n, lo+1, hi-1); c >= 0.95 {
			t.Errorf("n=%d: ranks %d..%d would do: they cover %.4f", n, lo+1, hi-1, c)
		}
	}
}

func TestSummarize(t *testing.T) {
	const note = "need >= 6 samples for confidence interval at level 0.95"
	tests := []struct {
		name   string
		values []float64
		want   Summary
		ok     bool
	}{
		{"none", nil, Summary{}, false},
		{"not a number", []float64{1, math.NaN()}, Summary{}, false},
		{"infinite", []float64{math.Inf(-1)}, Summary{}, false},
		{"one", []float64{7}, Summary{N: 1, Median: 7, Min: 7, Max: 7, Note: note}, true},
		{"even", []float64{4, 1, 3, 2}, Summary{N: 4, Median: 2.5, Min: 1, Max: 4, Note: note}, true},
		{"five is too few", []float64{5, 4, 3, 2, 1}, Summary{N: 5, Median: 3, Min: 1, Max: 5, Note: note}, true},
		{"six", []float64{6, 5, 4, 3, 2, 1}, Summary{N: 6, Median: 3.5, CI95: &[2]float64{1, 6}, Min: 1, Max: 6}, true},
		{"an odd median is one of the samples", []float64{100000000.25, 3, 900000000.75},
			Summary{N: 3, Median: 100000000.25, Min: 3, Max: 900000000.75, Note: note}, true},
		{"ten, one far out", []float64{10, 9, 8, 7, 1e9, 5, 4, 3, 2, 1},
			Summary{N: 10, Median: 6, CI95: &[2]float64{2, 10}, Min: 1, Max: 1e9}, true},
		{"huge", []float64{math.MaxFloat64, math.MaxFloat64},
			Summary{N: 2, Median: math.MaxFloat64, Min: math.MaxFloat64, Max: math.MaxFloat64, Note: note}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := append([]float64(nil), tt.values...)
			got, ok := Summarize(tt.values)
			if d := cmp.Diff(tt.want, got); d != "" || ok != tt.ok {
				t.Errorf("ok = %v, want %v; -want +got:\n%s", ok, tt.ok, d)
			}
			if len(before) > 0 && !math.IsNaN(before[len(before)-1]) {
				if d := cmp.Diff(before, tt.values); d != "" {
					t.Errorf("the caller's values were reordered:\n%s", d)
				}
			}
		})
	}
}

// TestRepeatsReplace: of a disturbed sample and its repeats the last ok one is in the
// summary, and all are kept.
func TestRepeatsReplace(t *testing.T) {
	value := func(v float64, repeatOf int, status string) Sample {
		return Sample{Status: status, RepeatOf: repeatOf, Disturbed: true, Values: map[string]float64{"x_ns": v}}
	}
	for name, tt := range map[string]struct {
		samples []Sample
		want    Summary
	}{
		"none":                 {[]Sample{value(1, 0, SampleOK), value(2, 0, SampleOK)}, Summary{N: 2, Median: 1.5, Min: 1, Max: 2}},
		"the last of three":    {[]Sample{value(1, 0, SampleOK), value(2, 1, SampleOK), value(3, 1, SampleOK)}, Summary{N: 1, Median: 3, Min: 3, Max: 3}},
		"one that failed":      {[]Sample{value(1, 0, SampleOK), value(2, 1, SampleFailed)}, Summary{N: 1, Median: 1, Min: 1, Max: 1}},
		"failed after a good":  {[]Sample{value(1, 0, SampleOK), value(2, 1, SampleOK), value(3, 1, SampleTimeout)}, Summary{N: 1, Median: 2, Min: 2, Max: 2}},
		"of the second of two": {[]Sample{value(1, 0, SampleOK), value(2, 0, SampleOK), value(4, 2, SampleOK)}, Summary{N: 2, Median: 2.5, Min: 1, Max: 4}},
	} {
		c := Cell{Samples: tt.samples}
		got := c.Summarize()["x_ns"]
		got.CI95, got.Note = nil, ""
		if got != tt.want {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
	}
}

// TestRepeatsOfTimeouts: a sample that timed out while it was disturbed is longer than
// all others only if none of its repeats was ready.
func TestRepeatsOfTimeouts(t *testing.T) {
	total := func(v int64, repeatOf int) Sample {
		return Sample{Status: SampleOK, RepeatOf: repeatOf, Phases: Phases{TotalNs: ns(v)}}
	}
	late := func(repeatOf int) Sample { return Sample{Status: SampleTimeout, RepeatOf: repeatOf, Disturbed: true} }
	for name, tt := range map[string]struct {
		samples []Sample
		n, late int
	}{
		"ready at the second try":    {[]Sample{total(1, 0), late(0), total(2, 2)}, 2, 0},
		"late at the second try":     {[]Sample{total(1, 0), total(2, 0), late(2)}, 2, 0},
		"late each time, one sample": {[]Sample{total(1, 0), total(2, 0), late(0), late(3)}, 3, 1},
	} {
		c := Cell{Samples: tt.samples}
		if got := c.Summarize()["total_ns"]; got.N != tt.n || got.Beyond != tt.late {
			t.Errorf("%s: %+v, want %d with %d late", name, got, tt.n, tt.late)
		}
		if ok, late := c.OKSamples(), c.TimedOut(); ok != tt.n-tt.late || late != tt.late || ok+late != c.Taken() {
			t.Errorf("%s: %d ok, %d late of %d taken; want %d with %d late", name, ok, late, c.Taken(), tt.n, tt.late)
		}
	}
}

// TestTimeoutsCount: a sample that timed out is longer than all others, and only in
// total_ns; one that failed counts nowhere.
func TestTimeoutsCount(t *testing.T) {
	const few = "need >= 6 samples for confidence interval at level 0.95"
	tests := []struct {
		name     string
		ok       int // with the totals 1, 2, 3, …
		timeouts int
		want     *Summary
	}{
		{"none", 10, 0, &Summary{N: 10, Median: 5.5, CI95: &[2]float64{2, 9}, Min: 1, Max: 10}},
		{"one of ten: the median is a rank higher than without it", 9, 1, &Summary{N: 10, Median: 5.5, CI95: &[2]float64{2, 9}, Min: 1, Max: 9, Beyond: 1}},
		{"the interval ends beyond", 10, 3, &Summary{N: 13, Median: 7, Min: 1, Max: 10, Beyond: 3, Note: noteBeyond}},
		{"just below half", 7, 6, &Summary{N: 13, Median: 7, Min: 1, Max: 7, Beyond: 6, Note: noteBeyond}},
		{"too few for an interval anyway", 3, 2, &Summary{N: 5, Median: 3, Min: 1, Max: 3, Beyond: 2, Note: few}},
		{"half", 6, 6, nil},
		{"more than half", 1, 2, nil},
		{"all", 0, 2, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := Cell{Samples: []Sample{{Status: SampleFailed}, {Status: SampleInterrupted}}}
			for range tt.timeouts {
				c.Samples = append(c.Samples, Sample{Status: SampleTimeout, Phases: Phases{VMMNs: ns(7)}})
			}
			for i := range tt.ok {
				c.Samples = append(c.Samples, Sample{Status: SampleOK, Phases: Phases{TotalNs: ns(int64(i + 1)), VMMNs: ns(4)}})
			}
			got := c.Summarize()
			total, has := got["total_ns"]
			if has != (tt.want != nil) || has && cmp.Diff(*tt.want, total) != "" {
				t.Errorf("total_ns: %+v, want %+v", total, tt.want)
			}
			if vmm := got["vmm_ns"]; vmm.N != tt.ok || vmm.Beyond != 0 {
				t.Errorf("vmm_ns: %+v, of %d ok samples", vmm, tt.ok)
			}
		})
	}
}
