// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"fmt"
	"math"
	"slices"
	"sort"
)

// Mode is one of the heaps that values form.
type Mode struct {
	Place float64 `json:"place"` // the median of its values
	Lo    float64 `json:"least"` // the smallest of them
	Hi    float64 `json:"most"`  // the largest
	Share float64 `json:"share"` // of all values, as a part of 1
	N     int     `json:"n"`
}

// Modality says whether values form more than one heap.
type Modality struct {
	Dip float64 // see [Dip]
	// P is that of the dip test: how probable a dip so large is, of values of one heap.
	P float64
	// Modes from the smallest to the largest: one if the test sees no more.
	Modes []Mode
}

// Several tells whether there is more than one mode.
func (m Modality) Several() bool { return len(m.Modes) > 1 }

const (
	// leastForModes is the fewest values that are divided: of fewer, and of fewer in each
	// half, nobody would say that they form heaps.
	leastForModes = 10
	leastOfMode   = 3
	leastShare    = 0.05
	mostModes     = 5
)

// Modes looks for more than one mode: by Hartigan's dip test at the level of [Alpha], and
// where it rejects one mode the values are divided where they are thinnest, which is the
// valley that a kernel density shows first as its width shrinks (Silverman, Using Kernel
// Density Estimates to Investigate Multimodality, Journal of the Royal Statistical Society
// B 43, 1981) with at least 3 values and 5 % of all on each side; so outliers make no
// mode. The parts are then looked at in the same way, up to five modes.
//
// The test's worst case is the uniform distribution: one with clear tails is rejected more
// rarely than in 5 % of all runs, and two modes that overlap stay unseen in few values.
// Whole numbers are spread within ±½ first, so that the steps of a counter are no modes.
// Below 10 values nothing is tested, and the error wraps [ErrTooFew].
func Modes(values []float64) (Modality, error) {
	if err := finite(values); err != nil {
		return Modality{P: 1}, fmt.Errorf("modes: %w", err)
	}
	v := sorted(values)
	m := Modality{P: 1}
	if len(v) == 0 {
		return m, fmt.Errorf("modes: %w", ErrTooFew)
	}
	m.Modes = []Mode{modeOf(v, len(v))}
	if len(v) < leastForModes {
		return m, fmt.Errorf("modes of %d: %w", len(v), ErrTooFew)
	}
	apart := spreadOut(v)
	m.Dip = dip(apart)
	m.P = DipP(m.Dip, len(v))
	parts := [][2]int{{0, len(v)}} // that are still to be looked at
	var whole [][2]int
	for len(parts) > 0 {
		p := parts[0]
		parts = parts[1:]
		at := 0
		if len(whole)+len(parts)+1 < mostModes {
			at = divide(apart[p[0]:p[1]], len(v))
		}
		if at == 0 {
			whole = append(whole, p)
			continue
		}
		parts = append(parts, [2]int{p[0], p[0] + at}, [2]int{p[0] + at, p[1]})
	}
	slices.SortFunc(whole, func(a, b [2]int) int { return a[0] - b[0] })
	m.Modes = nil
	for _, p := range whole {
		m.Modes = append(m.Modes, modeOf(v[p[0]:p[1]], len(v)))
	}
	return m, nil
}

func modeOf(sorted []float64, all int) Mode {
	return Mode{Place: Quantile(sorted, 0.5), Lo: sorted[0], Hi: sorted[len(sorted)-1],
		Share: float64(len(sorted)) / float64(all), N: len(sorted)}
}

// DipP is the probability of a dip of at least d, of n values of the uniform distribution:
// from quantiles of simulated samples, between which it is interpolated, with the root of
// n times d between sizes, as in Maechler's R package diptest. Below 0.0002 it is given as
// that. It is 1 below four values.
func DipP(d float64, n int) float64 {
	if n < dipTable[0].n {
		return 1
	}
	i := sort.Search(len(dipTable), func(i int) bool { return dipTable[i].n >= n })
	hi := dipTable[min(i, len(dipTable)-1)]
	lo, part := hi, 0.0
	if i > 0 && i < len(dipTable) {
		lo = dipTable[i-1]
		part = float64(n-lo.n) / float64(hi.n-lo.n)
	}
	q := func(k int) float64 { return lo.quantiles[k]*(1-part) + hi.quantiles[k]*part }
	x := d * math.Sqrt(float64(n))
	k := sort.Search(len(dipLevels), func(k int) bool { return q(k) >= x })
	switch k {
	case 0:
		return 1
	case len(dipLevels):
		return 1 - dipLevels[k-1]
	}
	within := (x - q(k-1)) / (q(k) - q(k-1))
	return 1 - (dipLevels[k-1]*(1-within) + dipLevels[k]*within)
}

// spreadOut returns sorted values, whole numbers that are equal spread evenly within ±½.
// Values that are not all whole stay as they are.
func spreadOut(sorted []float64) []float64 {
	const exact = 1 << 52 // a half can be added to smaller ones
	if slices.ContainsFunc(sorted, func(v float64) bool { return v != math.Trunc(v) || math.Abs(v) >= exact }) {
		return sorted
	}
	out := slices.Clone(sorted)
	for from := 0; from < len(out); {
		to := from + 1
		for to < len(out) && sorted[to] == sorted[from] {
			to++
		}
		for i := from; i < to; i++ {
			out[i] += (float64(i-from)+0.5)/float64(to-from) - 0.5
		}
		from = to
	}
	return out
}

// divide returns how many of the sorted values belong to the lower part, or 0 if they are
// to stay together.
func divide(sorted []float64, all int) int {
	n := len(sorted)
	if n < leastForModes || DipP(dip(sorted), n) >= Alpha {
		return 0
	}
	k := newKernel(sorted, max(leastOfMode, int(math.Ceil(leastShare*float64(all)))))
	for width := sorted[n-1] - sorted[0]; width > k.least; width *= 0.9 {
		if at, ok := k.valley(width); ok {
			return sort.SearchFloat64s(sorted, at)
		}
	}
	return 0
}

// kernel is a Gaussian kernel density, up to a factor.
type kernel struct {
	centers []float64 // the values, or of many as many quantiles
	at      []float64 // where it is looked at: the centres, and half way between them
	enough  []bool    // there are enough values on both sides of that place
	least   float64   // width below which nothing is looked for
}

func newKernel(sorted []float64, side int) kernel {
	const most = 200
	k := kernel{centers: sorted, least: (sorted[len(sorted)-1] - sorted[0]) * 1e-6}
	if len(sorted) > most {
		k.centers = nil
		for i := range most {
			k.centers = append(k.centers, Quantile(sorted, (float64(i)+0.5)/most))
		}
	}
	for i, c := range k.centers {
		k.at = append(k.at, c)
		if i+1 < len(k.centers) {
			k.at = append(k.at, c+(k.centers[i+1]-c)/2)
		}
	}
	for _, x := range k.at {
		below := sort.SearchFloat64s(sorted, x)
		k.enough = append(k.enough, below >= side && len(sorted)-below >= side)
	}
	return k
}

// valley is the deepest place between two higher ones, at this width, that has enough
// values on both sides.
func (k kernel) valley(width float64) (at float64, ok bool) {
	f := make([]float64, len(k.at))
	for i, x := range k.at {
		for _, c := range k.centers {
			z := (x - c) / width
			f[i] += math.Exp(-z * z / 2)
		}
	}
	left := make([]float64, len(f)) // the highest on the left
	highest := 0.0
	for i, v := range f {
		left[i] = highest
		highest = max(highest, v)
	}
	depth := 1 + 1e-9 // rounding is no valley
	highest = 0
	for i := len(f) - 1; i >= 0; i-- {
		if d := min(left[i], highest) / f[i]; k.enough[i] && d > depth {
			at, ok, depth = k.at[i], true, d
		}
		highest = max(highest, f[i])
	}
	return at, ok
}
