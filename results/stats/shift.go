// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"fmt"
	"math"
	"slices"
	"sort"

	"github.com/aclements/go-moremath/stats"
)

// Estimate is a figure with its 95 % interval, which is nil if there are too few values
// for one.
type Estimate struct {
	Value float64
	CI95  *[2]float64
}

// Shift is by how much the values of b are larger than those of a: the median of the
// differences of all pairs (Hodges and Lehmann, Annals of Mathematical Statistics 34,
// 1963). The interval is distribution-free: it is bounded by two of the differences,
// picked by the distribution of U (Moses; Hollander, Wolfe and Chicken, sections 4.2 and
// 4.3), so that it holds 0 if and only if [MannWhitney] without ties sees no difference.
// With ties it covers at least as much. It supposes that b is distributed as a, but
// shifted; where it is not, it is still the median of the differences.
//
// Nothing but sums of the values is made: infinite ones are refused.
func Shift(a, b []float64) (Estimate, error) {
	if err := finite(a, b); err != nil {
		return Estimate{}, fmt.Errorf("shift: %w", err)
	}
	return ofPairs(a, b, func(x, y float64) float64 { return y - x }, func(lo, hi float64) float64 { return lo/2 + hi/2 })
}

// Ratio is by what factor the values of b are larger than those of a: the median of the
// ratios of all pairs, as [Shift] of their logarithms would have it, with its interval,
// which holds 1 if and only if the test without ties sees no difference. All values must be
// above 0.
func Ratio(a, b []float64) (Estimate, error) {
	if err := finite(a, b); err != nil {
		return Estimate{}, fmt.Errorf("ratio: %w", err)
	}
	for _, values := range [][]float64{a, b} {
		for _, v := range values {
			if v <= 0 {
				return Estimate{}, fmt.Errorf("ratio: %v is not above 0", v)
			}
		}
	}
	return ofPairs(a, b, func(x, y float64) float64 { return y / x }, func(lo, hi float64) float64 { return math.Sqrt(lo) * math.Sqrt(hi) })
}

// ofPairs is the median of f over all pairs, of two in the middle what mid makes of them.
// f rises with y and falls with x.
func ofPairs(a, b []float64, f, mid func(x, y float64) float64) (Estimate, error) {
	if len(a) == 0 || len(b) == 0 {
		return Estimate{}, fmt.Errorf("of %d and %d values: %w", len(a), len(b), ErrTooFew)
	}
	p := pairs{x: sorted(a), y: sorted(b), f: f}
	n := len(a) * len(b)
	if n <= keptPairs {
		p.keep()
	}
	e := Estimate{Value: p.kth((n + 1) / 2)}
	if n%2 == 0 {
		e.Value = mid(e.Value, p.kth(n/2+1))
	}
	if k := uQuantile(len(a), len(b)); k > 0 {
		e.CI95 = &[2]float64{p.kth(k), p.kth(n + 1 - k)}
	}
	return e, nil
}

// keptPairs is how many pairs are sorted; among more, each value is searched for.
const keptPairs = 4096

// pairs are all values of a function that rises with y and falls with x. There may be
// too many of them to be kept.
type pairs struct {
	x, y []float64 // sorted
	f    func(x, y float64) float64
	all  []float64 // sorted, if they are kept
}

func (p *pairs) keep() {
	p.all = make([]float64, 0, len(p.x)*len(p.y))
	for _, x := range p.x {
		for _, y := range p.y {
			p.all = append(p.all, p.f(x, y))
		}
	}
	slices.Sort(p.all)
}

// upTo counts those of at most t.
func (p pairs) upTo(t float64) int {
	n, j := 0, 0
	for _, x := range p.x {
		for j < len(p.y) && p.f(x, p.y[j]) <= t {
			j++
		}
		n += j
	}
	return n
}

// kth is the k-th smallest, exactly: it searches among the 2^64 numbers that there are,
// in their order.
func (p pairs) kth(k int) float64 {
	if p.all != nil {
		return p.all[k-1]
	}
	lo, hi := p.f(p.x[len(p.x)-1], p.y[0]), p.f(p.x[0], p.y[len(p.y)-1])
	from, to := ordinal(lo), ordinal(hi)
	for from < to {
		mid := from + (to-from)/2
		if p.upTo(number(mid)) >= k {
			to = mid
		} else {
			from = mid + 1
		}
	}
	return number(from)
}

// ordinal numbers all floating-point numbers in their order.
func ordinal(f float64) uint64 {
	bits := math.Float64bits(f + 0) // of the two zeroes the positive one
	if bits>>63 == 1 {
		return ^bits
	}
	return bits | 1<<63
}

func number(i uint64) float64 {
	if i>>63 == 1 {
		return math.Float64frombits(i &^ (1 << 63))
	}
	return math.Float64frombits(^i)
}

// Superiority estimates how often a value of b is larger than one of a, those equal
// counted half: 0.5 if neither tends to be larger. Twice that less 1 is Cliff's delta. The
// interval is that of Brunner and Munzel, Biometrical Journal 42 (2000), by Student's t,
// cut off at 0 and 1; it supposes no equal variances. There is none with fewer than
// [LeastForInterval] values in a sample, nor where the samples do not overlap: the
// variance that it is made of is then 0, which it is not.
func Superiority(a, b []float64) (Estimate, error) {
	t, _, _, err := untested(a, b)
	if err != nil {
		return Estimate{}, err
	}
	e := Estimate{Value: t.Superiority()}
	n1, n2 := float64(len(a)), float64(len(b))
	v1, v2 := placements(a, b)/n1, placements(b, a)/n2
	if len(a) < LeastForInterval || len(b) < LeastForInterval || v1+v2 == 0 {
		return e, nil
	}
	df := (v1 + v2) * (v1 + v2) / (v1*v1/(n1-1) + v2*v2/(n2-1))
	half := studentQuantile(df, (1+Level)/2) * math.Sqrt(v1+v2)
	e.CI95 = &[2]float64{max(0, e.Value-half), min(1, e.Value+half)}
	return e, nil
}

// placements is the variance of where the values lie among others: the part of those
// that are smaller.
func placements(values, others []float64) float64 {
	o := sorted(others)
	place := make([]float64, len(values))
	mean := 0.0
	for i, v := range values {
		below := sort.SearchFloat64s(o, v)
		upTo := sort.Search(len(o), func(j int) bool { return o[j] > v })
		place[i] = float64(below+upTo) / 2 / float64(len(o))
		mean += place[i]
	}
	mean /= float64(len(values))
	sum := 0.0
	for _, p := range place {
		sum += (p - mean) * (p - mean)
	}
	return sum / float64(len(values)-1)
}

// studentQuantile is that of Student's t, p above 0.5.
func studentQuantile(df, p float64) float64 {
	lo, hi := 0.0, 1.0
	d := stats.TDist{V: df}
	for d.CDF(hi) < p {
		hi *= 2
	}
	for range 100 {
		if mid := (lo + hi) / 2; d.CDF(mid) < p {
			lo = mid
		} else {
			hi = mid
		}
	}
	return hi
}
