// SPDX-License-Identifier: Apache-2.0

// Package stats are the statistics of measured figures: quantiles and a median with
// its interval, tests of difference with the size of the effect, correction for many
// comparisons, modes, drift, outliers and rank correlation.
//
// All of it is distribution-free: boot times are skewed, have outliers and more than
// one mode, and nothing here assumes a normal distribution of them. Every interval is
// at 95 %. Functions are pure, leave their arguments as they were, and say what they
// refuse: values that are not numbers, or too few of them. Randomness is nowhere.
//
// It knows numbers only: not what was measured, in which unit, nor which direction is
// the better one (package results/compare). Comparisons of rounds that were measured
// together are package internal/paired's. docs/statistics.md says why these methods, and
// against what they were held.
package stats

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Level is the confidence level of every interval.
const Level = 0.95

// Alpha is the significance level that goes with it.
const Alpha = 0.05

var (
	// ErrTooFew is wrapped where so few values allow no statement at all.
	ErrTooFew = errors.New("too few values")
	// ErrNotFinite is wrapped where a value is not a number, or infinite.
	ErrNotFinite = errors.New("not a finite number")
	// ErrConstant is wrapped where values that are all equal have no such figure.
	ErrConstant = errors.New("all values are equal")
)

// finite refuses what no figure can be made of.
func finite(values ...[]float64) error {
	for _, vs := range values {
		for i, v := range vs {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return fmt.Errorf("value %d is %v: %w", i+1, v, ErrNotFinite)
			}
		}
	}
	return nil
}

func sorted(values []float64) []float64 {
	s := slices.Clone(values)
	slices.Sort(s)
	return s
}

// normalTail is the probability of a standard normal variable beyond ±|z|.
func normalTail(z float64) float64 { return math.Erfc(math.Abs(z) / math.Sqrt2) }

// z975 is the 97.5 % quantile of the standard normal distribution.
const z975 = 1.959963984540054
