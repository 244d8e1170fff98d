// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"fmt"
	"math"
	"slices"
)

// Test is the result of a Mann–Whitney test.
type Test struct {
	N1, N2 int
	// U is the number of pairs in which the first sample's value is the larger one, those
	// of equal values counted half: what R calls W.
	U float64
	// P is two-sided: how probable a U at least as far from N1·N2/2 is if both samples are
	// from one distribution.
	P     float64
	Exact bool // else by the normal approximation
	Ties  int  // values that equal another one
}

// Bounds of the exact distribution, in pairs: 50 values each, as in R, and 30 where some
// are equal, of which no table can be kept. Above, the approximation is good.
const (
	exactPairs     = 50 * 50
	exactPairsTies = 30 * 30
)

// MannWhitney tests whether the values of one sample tend to be larger than the other's
// (Mann and Whitney, Annals of Mathematical Statistics 18, 1947; Wilcoxon, Biometrics
// Bulletin 1, 1945). P is exact for small samples, also with equal values (all ways to
// deal out the pooled mid-ranks are counted, Hollander, Wolfe and Chicken, Nonparametric
// Statistical Methods, 3rd edition, section 4.1), else by the normal approximation with
// the corrections for ties and continuity (ibid., equation 4.11). Infinite values, which
// are known only to be larger than all others, may be among them. If all values are
// equal, P is 1. An empty sample is an error that wraps [ErrTooFew], a NaN one that wraps
// [ErrNotFinite].
func MannWhitney(a, b []float64) (Test, error) {
	t, ranks, ties, err := untested(a, b)
	if err != nil {
		return t, err
	}
	sum := 0
	for _, r := range ranks[:len(a)] {
		sum += r
	}
	pairs := len(a) * len(b)
	switch {
	case t.Ties == len(ranks) && len(ties) == 1: // P is 1
	case len(ties) == 0 && pairs <= exactPairs:
		t.Exact = true
		t.P = min(1, 2*untied(len(a), len(b)).upTo(min(t.U, float64(pairs)-t.U)))
	case len(ties) > 0 && pairs <= exactPairsTies:
		t.Exact = true
		t.P = tiedP(ranks, len(a), sum)
	default:
		t.P = t.approximate(ties)
	}
	return t, nil
}

// untested is a test whose P has not been computed, the doubled ranks of all values, and how
// many are equal. It is all that [Superiority] needs.
func untested(a, b []float64) (t Test, ranks, ties []int, err error) {
	t = Test{N1: len(a), N2: len(b), P: 1}
	if len(a) == 0 || len(b) == 0 {
		return t, nil, nil, fmt.Errorf("mann-whitney test of %d and %d values: %w", len(a), len(b), ErrTooFew)
	}
	pooled := slices.Concat(a, b)
	if slices.ContainsFunc(pooled, math.IsNaN) {
		return t, nil, nil, fmt.Errorf("mann-whitney test: NaN is %w", ErrNotFinite)
	}
	ranks, ties = doubledRanks(pooled)
	sum := 0
	for _, r := range ranks[:len(a)] {
		sum += r
	}
	t.U = float64(sum-len(a)*(len(a)+1)) / 2
	for _, n := range ties {
		t.Ties += n
	}
	return t, ranks, ties, nil
}

func (t Test) approximate(ties []int) float64 {
	pairs, n := float64(t.N1)*float64(t.N2), float64(t.N1+t.N2)
	sigma := math.Sqrt(pairs / 12 * (n + 1 - tieTerm(ties)/(n*(n-1))))
	return normalTail(max(0, math.Abs(t.U-pairs/2)-0.5) / sigma)
}

// Superiority is how often a value of the second sample is larger than one of the first,
// of all pairs, those of equal values counted half: 0.5 if neither tends to be.
func (t Test) Superiority() float64 { return 1 - t.U/(float64(t.N1)*float64(t.N2)) }

// LeastP is the smallest P that samples of these sizes can have, without ties: two of all
// the ways to deal out the ranks. Where it is above [Alpha], no difference can be seen.
func LeastP(n1, n2 int) float64 {
	if n1 < 1 || n2 < 1 {
		return 1
	}
	p := 2.0
	for i := 1; i <= min(n1, n2); i++ {
		p *= float64(i) / float64(n1+n2-i+1)
	}
	return min(1, p)
}
