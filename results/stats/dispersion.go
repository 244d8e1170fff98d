// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"fmt"
	"math"
)

// Spread says how far values are from each other, in their unit. None of it is moved
// much by a few that are far out.
type Spread struct {
	Q1, Q3 float64 // quartiles, by [Quantile]
	IQR    float64 // Q3 - Q1
	// MAD is the median distance from the median, not scaled to a standard deviation
	// (times 1.4826 it estimates one, for normal values).
	MAD float64
	// CQV is the coefficient of quartile variation, (Q3-Q1)/(Q3+Q1): without unit, as a
	// part of 1. NaN if the quartiles do not have the same sign, or are both 0 (Bonett,
	// Computational Statistics and Data Analysis 50, 2006).
	CQV float64
}

// Dispersion of values in any order. It needs two.
func Dispersion(values []float64) (Spread, error) {
	if err := finite(values); err != nil {
		return Spread{}, fmt.Errorf("dispersion: %w", err)
	}
	if len(values) < 2 {
		return Spread{}, fmt.Errorf("dispersion of %d: %w", len(values), ErrTooFew)
	}
	v := sorted(values)
	s := Spread{Q1: Quantile(v, 0.25), Q3: Quantile(v, 0.75), CQV: math.NaN()}
	s.IQR = s.Q3 - s.Q1
	s.MAD = mad(v, Quantile(v, 0.5))
	if s.Q1*s.Q3 > 0 || (s.Q1 == 0) != (s.Q3 == 0) {
		s.CQV = math.Abs(s.IQR / (s.Q3 + s.Q1))
	}
	return s, nil
}

func mad(values []float64, center float64) float64 {
	d := make([]float64, len(values))
	for i, v := range values {
		d[i] = math.Abs(v - center)
	}
	return Median(d)
}
