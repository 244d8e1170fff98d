// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"errors"
	"math"

	"golang.org/x/perf/benchmath"
)

// Quantile of sorted values, 0 ≤ p ≤ 1, interpolated between the two values next to
// rank 1+(n-1)p: definition 7 of Hyndman and Fan, Sample Quantiles in Statistical
// Packages, The American Statistician 50 (1996), the default of R and NumPy. NaN of no
// values, and of a p that is none. Infinite values may be among them.
func Quantile(sorted []float64, p float64) float64 {
	n := len(sorted)
	if n == 0 || math.IsNaN(p) || p < 0 || p > 1 {
		return math.NaN()
	}
	at := p * float64(n-1)
	i := int(at)
	part := at - float64(i)
	lo := sorted[i]
	if part == 0 || i+1 == n {
		return lo
	}
	hi := sorted[i+1]
	switch {
	case lo == hi: // also two infinite ones
		return lo
	case part == 0.5: // a sum may overflow, and a difference miss the middle
		return lo/2 + hi/2
	}
	return lo*(1-part) + hi*part
}

// Median of values in any order: one of them if they are odd in number.
func Median(values []float64) float64 { return Quantile(sorted(values), 0.5) }

// LeastForInterval is the least number of values of which the median has an interval.
const LeastForInterval = 6

// MedianInterval is the 95 % interval of the median of the population that the sorted
// values were drawn from. It is bounded by two of the values, picked by rank from the
// binomial distribution so that it covers the median with at least 95 %, whatever the
// distribution (David and Nagaraja, Order Statistics, section 7.1). Infinite values may
// be among them, for those that are known only to be larger: order statistics need no
// more of them (section 8.5). Below [LeastForInterval] values no such interval exists;
// the error wraps [ErrTooFew].
//
// The computation is benchstat's (golang.org/x/perf/benchmath): the narrowest set of
// ranks, the lower one where two are equally good, and a normal approximation of the
// ranks above n=30.
func MedianInterval(sorted []float64) (lo, hi float64, err error) {
	if len(sorted) == 0 {
		return 0, 0, tooFewError{errors.New("there are none")}
	}
	m := benchmath.AssumeNothing.Summary(&benchmath.Sample{Values: sorted, Thresholds: &benchmath.DefaultThresholds}, Level)
	if math.IsInf(m.Lo, -1) { // there is no rank so low; the upper value may itself be infinite
		return 0, 0, tooFewError{errors.Join(m.Warnings...)}
	}
	return m.Lo, m.Hi, nil
}

// tooFewError is an ErrTooFew with the library's own words.
type tooFewError struct{ error }

func (tooFewError) Is(target error) bool { return target == ErrTooFew }
