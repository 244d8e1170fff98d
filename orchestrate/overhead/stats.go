// SPDX-License-Identifier: Apache-2.0

package overhead

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/ukprobe/ukprobe/results"
)

const (
	confidence = 0.95
	// resamples of the bootstrap: enough for a 95 % interval to be steady in its
	// third digit.
	resamples = 4000
	// MinRounds is the fewest rounds from which an interval is made, and of which a
	// figure is kept.
	MinRounds = results.OverheadMinRounds
)

// median of values in any order; NaN of none.
func median(values []float64) float64 {
	v := slices.Clone(values)
	slices.Sort(v)
	return middle(v)
}

func middle(sorted []float64) float64 {
	n := len(sorted)
	if n == 0 {
		return math.NaN()
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// compare makes the cost of on against off, whose values are by round. The
// intervals bootstrap the medians: rounds are drawn with replacement, and both
// conditions of a round together, so that what a round had in common (another load
// on the machine) hits both (Efron and Tibshirani, An Introduction to the
// Bootstrap, chapter 13: percentile interval).
func compare(off, on []float64, r *rand.Rand) results.OverheadCost {
	x, y := median(off), median(on)
	ratio, extra := y/x, y-x
	c := results.OverheadCost{MedianNs: y, Ratio: &ratio, ExtraNs: &extra}
	n := min(len(off), len(on))
	if n < MinRounds {
		return c
	}
	ratios, extras := make([]float64, resamples), make([]float64, resamples)
	a, b := make([]float64, n), make([]float64, n)
	for i := range resamples {
		for j := range n {
			k := r.IntN(n)
			a[j], b[j] = off[k], on[k]
		}
		slices.Sort(a)
		slices.Sort(b)
		ratios[i], extras[i] = middle(b)/middle(a), middle(b)-middle(a)
	}
	c.RatioCI95, c.ExtraCI95 = percentiles(ratios), percentiles(extras)
	return c
}

func percentiles(drawn []float64) *[2]float64 {
	slices.Sort(drawn)
	tail := int((1 - confidence) / 2 * float64(len(drawn)))
	return &[2]float64{drawn[tail], drawn[len(drawn)-1-tail]}
}
