// SPDX-License-Identifier: Apache-2.0

// Package paired compares two conditions that were measured together, round by
// round: the medians of both, their ratio and their difference, each with an
// interval that what a round had in common does not widen.
//
// It knows numbers only: not what was measured, nor in which unit. The interval of
// one median by itself is package results' (Summarize).
package paired

import (
	"math"
	"math/rand/v2"
	"slices"
)

const (
	// confidence of every interval.
	confidence = 0.95
	// resamples of the bootstrap: enough for a 95 % interval to be steady in its
	// third digit.
	resamples = 4000
	// MinRounds is the fewest rounds from which anything is concluded: with fewer
	// there is no distribution-free 95 % interval of a median either (David and
	// Nagaraja, Order Statistics, section 7.1: 2 * 0.5^n has to be below 0.05).
	MinRounds = 6
)

// Interval is an estimate with its 95 % interval.
type Interval struct {
	Value, Lo, Hi float64
}

// Holds tells whether v lies in the interval.
func (i Interval) Holds(v float64) bool { return i.Lo <= v && v <= i.Hi }

// Comparison is of the medians of two conditions, on and off.
type Comparison struct {
	Ratio Interval // on over off
	Extra Interval // on minus off
}

// Same tells whether the two cannot be told apart.
func (c Comparison) Same() bool { return c.Ratio.Holds(1) }

// Median of values in any order; NaN of none.
func Median(values []float64) float64 {
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

// Compare bootstraps the medians of off and on: rounds are drawn with replacement,
// and both conditions of a round together, so that what a round had in common
// (another load on the machine) hits both (Efron and Tibshirani, An Introduction to
// the Bootstrap, chapter 13: percentile interval). The slices are by round and
// equally long; fewer than [MinRounds] give infinite intervals. The same r in the
// same state gives the same intervals.
func Compare(off, on []float64, r *rand.Rand) Comparison {
	x, y := Median(off), Median(on)
	n := min(len(off), len(on))
	if n < MinRounds {
		return Comparison{unbounded(y / x), unbounded(y - x)}
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
	return Comparison{Ratio: percentile(y/x, ratios), Extra: percentile(y-x, extras)}
}

func percentile(value float64, drawn []float64) Interval {
	slices.Sort(drawn)
	tail := int((1 - confidence) / 2 * float64(len(drawn)))
	return Interval{value, drawn[tail], drawn[len(drawn)-1-tail]}
}

func unbounded(value float64) Interval { return Interval{value, math.Inf(-1), math.Inf(1)} }
