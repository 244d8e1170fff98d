// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math"
	"math/rand/v2"
	"slices"

	"golang.org/x/perf/benchmath"
)

// confidence of every interval.
const confidence = 0.95

// resamples of the bootstrap: enough for a 95 % interval to be steady in its
// third digit.
const resamples = 4000

// minRounds is the fewest rounds from which anything is concluded: with fewer there
// is no distribution-free 95 % interval of a median either.
const minRounds = 6

// interval is an estimate with its 95 % interval.
type interval struct {
	Value, Lo, Hi float64
}

// holds tells whether v lies in the interval.
func (i interval) holds(v float64) bool { return i.Lo <= v && v <= i.Hi }

// median of sorted values; NaN of none.
func median(sorted []float64) float64 {
	n := len(sorted)
	if n == 0 {
		return math.NaN()
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

func medianOf(values []float64) float64 {
	v := slices.Clone(values)
	slices.Sort(v)
	return median(v)
}

// summary is the median with its distribution-free interval (order statistics);
// with too few samples the interval is infinite.
func summary(values []float64) interval {
	s := benchmath.AssumeNothing.Summary(benchmath.NewSample(slices.Clone(values), &benchmath.DefaultThresholds), confidence)
	return interval{s.Center, s.Lo, s.Hi}
}

// comparison of the medians of two conditions.
type comparison struct {
	Ratio interval // on over off
	Extra interval // on minus off
}

// same tells whether the two cannot be told apart.
func (c comparison) same() bool { return c.Ratio.holds(1) }

// compare bootstraps the medians of off and on: rounds are drawn with
// replacement, and both conditions of a round together, so that what a round had
// in common (another load on the machine) hits both (Efron and Tibshirani, An
// Introduction to the Bootstrap, chapter 13: percentile interval). The slices are
// by round and equally long; fewer than minRounds give infinite intervals.
func compare(off, on []float64, r *rand.Rand) comparison {
	n := len(off)
	x, y := medianOf(off), medianOf(on)
	if n < minRounds {
		return comparison{unbounded(y / x), unbounded(y - x)}
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
		ratios[i], extras[i] = median(b)/median(a), median(b)-median(a)
	}
	return comparison{Ratio: percentile(y/x, ratios), Extra: percentile(y-x, extras)}
}

func percentile(value float64, drawn []float64) interval {
	slices.Sort(drawn)
	tail := (1 - confidence) / 2 * float64(len(drawn))
	return interval{value, drawn[int(tail)], drawn[len(drawn)-1-int(tail)]}
}

func unbounded(value float64) interval { return interval{value, math.Inf(-1), math.Inf(1)} }
