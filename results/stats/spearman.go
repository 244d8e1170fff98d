// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"fmt"
	"math"

	"github.com/aclements/go-moremath/stats"
)

// exactSpearman is the largest number of values of which all orders are tried, as in R.
const exactSpearman = 9

// Spearman is the rank correlation of x and y: 1 if they rise together, -1 if one falls
// as the other rises, whatever the shape; equal values share their mean rank (Spearman,
// American Journal of Psychology 15, 1904). p is two-sided, for the hypothesis that there
// is none: of all orders of y up to n=9, ties or not, above by Student's t with n-2
// degrees of freedom (Kendall and Stuart, The Advanced Theory of Statistics, volume 2,
// section 31.19), as SciPy does. The slices are equally long and have at least three
// values; the error wraps [ErrConstant] if all of one are equal.
func Spearman(x, y []float64) (rho, p float64, err error) {
	switch {
	case len(x) != len(y):
		return 0, 1, fmt.Errorf("rank correlation of %d values with %d", len(x), len(y))
	case len(x) < 3:
		return 0, 1, fmt.Errorf("rank correlation of %d pairs: %w", len(x), ErrTooFew)
	}
	if err := finite(x, y); err != nil {
		return 0, 1, fmt.Errorf("rank correlation: %w", err)
	}
	a, b := centered(x), centered(y)
	scale := math.Sqrt(float64(dot(a, a))) * math.Sqrt(float64(dot(b, b)))
	if scale == 0 {
		return 0, 1, fmt.Errorf("rank correlation: %w", ErrConstant)
	}
	s := dot(a, b)
	rho = max(-1, min(1, float64(s)/scale))
	if len(x) <= exactSpearman {
		return rho, spearmanOrders(a, b, s), nil
	}
	df := float64(len(x) - 2)
	t := math.Abs(rho) * math.Sqrt(df/((1-rho)*(1+rho)))
	return rho, 2 * stats.TDist{V: df}.CDF(-t), nil
}

// centered are the doubled ranks, less their mean: whole numbers.
func centered(x []float64) []int {
	ranks, _ := doubledRanks(x)
	for i := range ranks {
		ranks[i] -= len(x) + 1
	}
	return ranks
}

func dot(a, b []int) int {
	sum := 0
	for i := range a {
		sum += a[i] * b[i]
	}
	return sum
}

// spearmanOrders is the part of all orders of b with a product at least as far from 0,
// which is its mean.
func spearmanOrders(a, b []int, s int) float64 {
	all, far := 0, 0
	used := make([]bool, len(b))
	var try func(i, sum int)
	try = func(i, sum int) {
		if i == len(a) {
			all++
			if abs(sum) >= abs(s) {
				far++
			}
			return
		}
		for j := range b {
			if !used[j] {
				used[j] = true
				try(i+1, sum+a[i]*b[j])
				used[j] = false
			}
		}
	}
	try(0, 0)
	return float64(far) / float64(all)
}
