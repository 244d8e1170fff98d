// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"cmp"
	"slices"
)

// doubledRanks are twice the ranks of the values, counted from 1; equal ones share the
// mean of theirs, which doubled is whole. ties holds how many values are equal, for each
// group of more than one.
func doubledRanks(values []float64) (ranks []int, ties []int) {
	order := make([]int, len(values))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return cmp.Compare(values[i], values[j]) })
	ranks = make([]int, len(values))
	for from := 0; from < len(order); {
		to := from + 1
		for to < len(order) && values[order[to]] == values[order[from]] {
			to++
		}
		for _, i := range order[from:to] {
			ranks[i] = from + 1 + to
		}
		if to-from > 1 {
			ties = append(ties, to-from)
		}
		from = to
	}
	return ranks, ties
}

// tieTerm is the sum of t³-t over groups of equal values.
func tieTerm(ties []int) float64 {
	sum := 0.0
	for _, t := range ties {
		f := float64(t)
		sum += f*f*f - f
	}
	return sum
}
