// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"fmt"
	"math"
	"slices"
	"sync"
)

// Trend says whether values rise or fall in the order in which they were measured.
type Trend struct {
	Tau float64 // Kendall's: 1 if each is larger than the one before, -1 if smaller
	P   float64 // two-sided, for the hypothesis that their order says nothing
	// Slope is from one value to the next, in their unit, with its interval.
	Slope Estimate
}

// exactKendall is the largest number of values of which the exact distribution is used.
const exactKendall = 50

// slopesOf is the largest number of values of which the slopes of all pairs are made.
const slopesOf = 1000

// Drift tests values in the order of measurement for a trend: the test of Mann
// (Econometrica 13, 1945) and Kendall, exact up to n=50 without ties, else by the normal
// approximation with corrections for ties and continuity (Gilbert, Statistical Methods for
// Environmental Pollution Monitoring, 1987, section 16.4); and the slope of Theil and Sen,
// the median of the slopes of all pairs, with the interval of Sen, Journal of the American
// Statistical Association 63 (1968). Of more than 1,000 values the slope is that of the
// medians of as many stretches at most.
//
// It supposes that values do not depend on the one before but through the trend: what
// comes and goes in waves, such as another program's load, can look like a drift. It needs
// four values; if all are equal there is no trend.
func Drift(values []float64) (Trend, error) {
	if err := finite(values); err != nil {
		return Trend{P: 1}, fmt.Errorf("drift: %w", err)
	}
	n := len(values)
	if n < 4 {
		return Trend{P: 1}, fmt.Errorf("drift over %d: %w", n, ErrTooFew)
	}
	_, ties := doubledRanks(values)
	s := kendallS(values)
	pairs := float64(n) * float64(n-1) / 2
	t := Trend{P: 1, Slope: theilSen(values, ties)}
	tied := 0.0
	for _, k := range ties {
		tied += float64(k) * float64(k-1) / 2
	}
	if tied == pairs {
		return t, nil
	}
	t.Tau = float64(s) / math.Sqrt(pairs*(pairs-tied)) // tau-b; the order has no ties
	if len(ties) == 0 && n <= exactKendall {
		t.P = kendallP(n, s)
	} else {
		t.P = normalTail(max(0, math.Abs(float64(s))-1) / kendallSigma(n, ties))
	}
	return t, nil
}

// kendallS is the number of pairs that rise, less that of those that fall.
func kendallS(values []float64) int {
	s := 0
	for i, v := range values {
		for _, w := range values[i+1:] {
			switch {
			case w > v:
				s++
			case w < v:
				s--
			}
		}
	}
	return s
}

func kendallSigma(n int, ties []int) float64 {
	v := float64(n) * float64(n-1) * float64(2*n+5)
	for _, t := range ties {
		v -= float64(t) * float64(t-1) * float64(2*t+5)
	}
	return math.Sqrt(v / 18)
}

var kendallCache sync.Map // int -> []float64

// kendallP is the probability of an S at least as far from 0.
func kendallP(n, s int) float64 {
	falling := (n*(n-1)/2 - abs(s)) / 2 // pairs of the rarer kind
	below, ok := kendallCache.Load(n)
	if !ok {
		below = inversions(n)
		kendallCache.Store(n, below)
	}
	return min(1, 2*below.([]float64)[falling])
}

// inversions is the probability that an order of n has at most so many pairs the wrong
// way round.
func inversions(n int) []float64 {
	p := []float64{1}
	for k := 2; k <= n; k++ { // the k-th comes before 0 … k-1 of the others
		next := make([]float64, k*(k-1)/2+1)
		for i, v := range p {
			for j := range k {
				next[i+j] += v / float64(k)
			}
		}
		p = next
	}
	for i := 1; i < len(p); i++ {
		p[i] += p[i-1]
	}
	return p
}

func theilSen(values []float64, ties []int) Estimate {
	stretch := (len(values) + slopesOf - 1) / slopesOf
	if stretch > 1 {
		values = medians(values, stretch)
		_, ties = doubledRanks(values)
	}
	n := len(values)
	slopes := make([]float64, 0, n*(n-1)/2)
	for i := range values {
		for j := i + 1; j < n; j++ {
			slopes = append(slopes, (values[j]-values[i])/float64(j-i)/float64(stretch))
		}
	}
	slices.Sort(slopes)
	e := Estimate{Value: Quantile(slopes, 0.5)}
	c := z975 * kendallSigma(n, ties)
	if k := int(math.Floor((float64(len(slopes)) - c) / 2)); k >= 1 {
		e.CI95 = &[2]float64{slopes[k-1], slopes[len(slopes)-k]}
	}
	return e
}

// medians of stretches of so many values; what remains at the end is left out.
func medians(values []float64, stretch int) []float64 {
	var out []float64
	for ; len(values) >= stretch; values = values[stretch:] {
		out = append(out, Median(values[:stretch]))
	}
	return out
}
