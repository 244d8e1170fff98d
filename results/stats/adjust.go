// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"cmp"
	"math"
	"slices"
)

// Holm corrects p values for their number: whichever hypotheses are true, the probability
// that one or more of them gets a corrected value of at most α is at most α (Holm,
// Scandinavian Journal of Statistics 6, 1979). The values may depend on each other. The
// result is in the order given, as R's p.adjust makes it. A NaN stays NaN and does not
// count.
func Holm(p []float64) []float64 {
	out, order := ascending(p)
	worst := 0.0
	for i, at := range order {
		worst = max(worst, min(1, p[at]*float64(len(order)-i)))
		out[at] = worst
	}
	return out
}

// BenjaminiHochberg corrects p values for their number: of those with a corrected value of
// at most α a part of at most α is expected to be wrong, if they are independent or
// depend on each other positively (Benjamini and Hochberg, Journal of the Royal
// Statistical Society B 57, 1995). That allows more than [Holm] does. Order and NaN as
// there.
func BenjaminiHochberg(p []float64) []float64 {
	out, order := ascending(p)
	best := 1.0
	for i := len(order) - 1; i >= 0; i-- {
		best = min(best, p[order[i]]*float64(len(order))/float64(i+1))
		out[order[i]] = best
	}
	return out
}

// ascending are a copy of the values, and the places of those that are numbers, by size.
func ascending(p []float64) (out []float64, order []int) {
	out = slices.Clone(p)
	for i, v := range p {
		if !math.IsNaN(v) {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(p[i], p[j]) })
	return out, order
}
