// SPDX-License-Identifier: Apache-2.0

package stats

import "fmt"

// Dip is Hartigan's dip: the largest distance of the values' distribution function from
// that of the unimodal distribution nearest to it, between 1/(2n) and 1/4 (Hartigan and
// Hartigan, The Dip Test of Unimodality, Annals of Statistics 13, 1985, whose algorithm of
// section 3 this is). It does not depend on unit or location.
func Dip(values []float64) (float64, error) {
	if err := finite(values); err != nil {
		return 0, fmt.Errorf("dip: %w", err)
	}
	if len(values) == 0 {
		return 0, fmt.Errorf("dip: %w", ErrTooFew)
	}
	return dip(sorted(values)), nil
}

// step is a jump of the distribution function, times n.
type step struct{ x, below, upTo float64 }

// point of a convex minorant or concave majorant.
type point struct{ x, y float64 }

// dip of sorted values. Distances are those of the corners of the distribution function:
// the minorant is below the lower ones, the majorant above the upper ones.
func dip(sorted []float64) float64 {
	steps := stepsOf(sorted)
	d := 1.0 // one jump of 1/n cannot be followed better than to half of it
	for from, to := 0, len(steps)-1; from < to; {
		lower, upper := hull(steps[from:to+1], false), hull(steps[from:to+1], true)
		gap, left, right := widest(lower, upper)
		if gap <= d {
			break
		}
		newFrom, newTo := from+find(steps[from:to+1], left), from+find(steps[from:to+1], right)
		for _, s := range steps[from:newFrom] {
			d = max(d, s.upTo-at(lower, s.x))
		}
		for _, s := range steps[newTo+1 : to+1] {
			d = max(d, at(upper, s.x)-s.below)
		}
		if newFrom == from && newTo == to {
			break
		}
		from, to = newFrom, newTo
	}
	return d / (2 * float64(len(sorted)))
}

func stepsOf(sorted []float64) []step {
	var steps []step
	for i, x := range sorted {
		if n := len(steps); n > 0 && steps[n-1].x == x {
			steps[n-1].upTo++
			continue
		}
		steps = append(steps, step{x, float64(i), float64(i + 1)})
	}
	return steps
}

// hull is the greatest convex minorant of the lower corners, or the least concave
// majorant of the upper ones.
func hull(steps []step, upper bool) []point {
	var h []point
	for _, s := range steps {
		p := point{s.x, s.below}
		if upper {
			p.y = s.upTo
		}
		for len(h) >= 2 {
			a, b := h[len(h)-2], h[len(h)-1]
			turn := (b.y-a.y)*(p.x-b.x) - (p.y-b.y)*(b.x-a.x) // above 0: the slope falls
			if upper && turn > 0 || !upper && turn < 0 {
				break
			}
			h = h[:len(h)-1]
		}
		h = append(h, p)
	}
	return h
}

// at is the height of a hull at x, which is within it.
func at(h []point, x float64) float64 {
	i := segment(h, x)
	a, b := h[i], h[i+1]
	return a.y + (b.y-a.y)*((x-a.x)/(b.x-a.x))
}

// segment finds the two points of a hull that x is between.
func segment(h []point, x float64) int {
	lo, hi := 0, len(h)-2
	for lo < hi {
		mid := (lo + hi + 1) / 2
		if h[mid].x <= x {
			lo = mid
		} else {
			hi = mid - 1
		}
	}
	return lo
}

// widest finds the widest gap between the hulls, at a point of one of them, and the modal
// interval that goes with it: from a point of the minorant to one of the majorant.
func widest(lower, upper []point) (gap, left, right float64) {
	gap = -1
	for _, p := range lower {
		if g := at(upper, p.x) - p.y; g > gap {
			i := segment(upper, p.x)
			end := upper[i+1].x
			if upper[i].x == p.x {
				end = p.x
			}
			gap, left, right = g, p.x, end
		}
	}
	for _, p := range upper {
		if g := p.y - at(lower, p.x); g >= gap {
			i := segment(lower, p.x)
			start := lower[i].x
			if lower[i+1].x == p.x {
				start = p.x
			}
			gap, left, right = g, start, p.x
		}
	}
	return gap, left, right
}

func find(steps []step, x float64) int {
	lo, hi := 0, len(steps)-1
	for lo < hi {
		mid := (lo + hi) / 2
		if steps[mid].x < x {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}
