// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"math"
	"slices"
	"sort"
	"sync"
)

// uDistribution is that of U without ties: below[u] is the probability of at most u.
type uDistribution struct{ below []float64 }

var untiedCache sync.Map // [2]int -> uDistribution

// untied returns the distribution for samples of these sizes. Those that were made are
// kept: the cells of a run have as many samples each.
func untied(n1, n2 int) uDistribution {
	key := [2]int{min(n1, n2), max(n1, n2)}
	if d, ok := untiedCache.Load(key); ok {
		return d.(uDistribution)
	}
	ranks := make([]int, n1+n2)
	for i := range ranks {
		ranks[i] = i + 1
	}
	k := key[0]
	counts := waysToDeal(ranks, k)[k*(k+1)/2:]
	d := uDistribution{make([]float64, n1*n2+1)}
	all, sum := total(counts), 0.0
	for u := range d.below {
		sum += counts[u]
		d.below[u] = sum / all
	}
	untiedCache.Store(key, d)
	return d
}

// upTo is the probability of at most u.
func (d uDistribution) upTo(u float64) float64 {
	if u < 0 {
		return 0
	}
	return d.below[min(int(u), len(d.below)-1)]
}

// quantile is the smallest u with a probability of at least p of at most u: R's qwilcox.
func (d uDistribution) quantile(p float64) int {
	const fuzz = 1e-12 // rounding must not decide between equal ones
	return sort.Search(len(d.below)-1, func(u int) bool { return d.below[u]*(1+fuzz) >= p })
}

// tiedP is the probability of a rank sum at least as far from its mean as sum, of k
// values of those with these doubled ranks.
func tiedP(ranks []int, k, sum int) float64 {
	all := 0
	for _, r := range ranks {
		all += r
	}
	if k > len(ranks)-k { // the other sample's sum says the same
		k, sum = len(ranks)-k, all-sum
	}
	counts := waysToDeal(ranks, k)
	distance := func(s int) int { return abs(s*len(ranks) - k*all) }
	far, beyond := distance(sum), 0.0
	for s, ways := range counts {
		if distance(s) >= far {
			beyond += ways
		}
	}
	return min(1, beyond/total(counts))
}

// waysToDeal counts in how many ways k of the ranks have each sum. The numbers grow
// beyond 2^53 and are then exact to 16 digits: nothing is ever subtracted.
func waysToDeal(ranks []int, k int) []float64 {
	ascending := slices.Clone(ranks)
	slices.Sort(ascending)
	ways := make([][]float64, k+1) // of j ranks, by sum, up to that of the largest j
	for j, largest := 0, 0; j <= k; j++ {
		ways[j] = make([]float64, largest+1)
		if j < k {
			largest += ascending[len(ascending)-1-j]
		}
	}
	ways[0][0] = 1
	least, most := make([]int, k+1), make([]int, k+1) // sums of j of the ranks so far
	for i, r := range ascending {
		left := len(ascending) - 1 - i // with fewer than k-left, k are not reached any more
		for j := min(i+1, k); j >= max(1, k-left); j-- {
			from, to := ways[j-1], ways[j]
			for s := least[j-1]; s <= most[j-1]; s++ {
				to[s+r] += from[s]
			}
		}
		for j := min(i+1, k); j >= 1; j-- {
			if j == i+1 {
				least[j] = least[j-1] + r
			}
			most[j] = most[j-1] + r // the largest j are the last j
		}
	}
	return ways[k]
}

func total(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum
}

func abs(i int) int {
	if i < 0 {
		return -i
	}
	return i
}

// uQuantile is the rank, among the differences of all pairs, of the lower end of the 95 %
// interval of their median; 0 if there is none.
func uQuantile(n1, n2 int) int {
	pairs := n1 * n2
	if pairs <= exactPairs {
		return untied(n1, n2).quantile(Alpha / 2)
	}
	mean, sigma := float64(pairs)/2, math.Sqrt(float64(pairs)*float64(n1+n2+1)/12)
	return max(0, int(math.Floor(mean-z975*sigma)))
}
