// SPDX-License-Identifier: Apache-2.0

package claim

import "slices"

// Series is what the stamps of one guest's clock say together.
//
// A line leaves the guest some time after its stamp was taken, never before: with
// g the stamp and h the host's time of the line's first byte, h - g is the host's
// time of the clock's zero plus the line's lag, and the least h - g of a stretch is
// the best estimate of the zero there. The clock is compared between the least of
// the first quarter and that of the last quarter of the stamps' span: what h - g
// gained between them the guest's clock has lost. A lag that all lines share cannot
// be told from a later zero.
type Series struct {
	N       int     // stamps that were used
	Earlier int     // stamps before the clock was last set back: of another clock
	Rate    float64 // host seconds per guest second
	ZeroNS  int64   // host time of the clock's zero, at the latest
	// SpanNS is the guest's time between the two stamps that are compared, HostNS
	// the host's.
	SpanNS, HostNS int64
	// Lags of the lines: over the least h - g from there on, so that time that the
	// clock lost before is no lag. Where it loses more from line to line than lines
	// lag, it hides them.
	LagMedianNS, LagMaxNS int64
	// ErrNS bounds the difference of SpanNS and HostNS: the stamps' resolution, and
	// that the two stamps' own lags may differ, by no more than the median lag or
	// the time that either line takes itself, whichever is longest.
	ErrNS int64
}

// minStamps is the fewest stamps that say anything of a rate.
const minStamps = 3

// point is a stamp and the host's time of its line.
type point struct{ g, h, took int64 }

func (p point) zero() int64 { return p.h - p.g }

// Fit puts the stamps among claims together. Stamps of zero are left out: the clock
// did not run yet. It returns false if there are too few.
func Fit(claims []Claim) (Series, bool) {
	var s Series
	var pts []point
	var resolution int64
	for _, c := range claims {
		if c.Kind != Stamp || c.NS <= 0 || c.Line.FirstNS <= 0 {
			continue
		}
		if n := len(pts); n > 0 && c.NS < pts[n-1].g {
			// Linux' clock starts anew when it turns from jiffies to the TSC.
			s.Earlier += n
			pts = pts[:0]
		}
		pts = append(pts, point{c.NS, c.Line.FirstNS, c.Line.LastNS - c.Line.FirstNS})
		resolution = max(resolution, c.ResolutionNS)
	}
	if len(pts) < minStamps || pts[0].g == pts[len(pts)-1].g {
		return Series{}, false
	}
	first, last := pts[0].g, pts[len(pts)-1].g
	quarter := (last - first) / 4
	a, b := pts[0], pts[len(pts)-1]
	for _, p := range pts {
		if p.g <= first+quarter && p.zero() < a.zero() {
			a = p
		}
		if p.g >= last-quarter && p.zero() < b.zero() {
			b = p
		}
	}
	if a.h >= b.h { // no guest does that
		return Series{}, false
	}
	s.N, s.ZeroNS = len(pts), a.zero()
	s.SpanNS, s.HostNS = b.g-a.g, b.h-a.h
	s.Rate = float64(s.HostNS) / float64(s.SpanNS)
	s.LagMedianNS, s.LagMaxNS = lags(pts, min(s.Rate, 1))
	s.ErrNS = resolution + max(s.LagMedianNS, a.took, b.took)
	return s, true
}

// lags are the median and the largest lag of points in the order of time. A clock
// that is fast (rate below one) is brought to the host's rate first.
func lags(pts []point, rate float64) (median, largest int64) {
	out := make([]int64, 0, len(pts))
	var least int64
	for i, p := range slices.Backward(pts) {
		zero := p.h - int64(rate*float64(p.g))
		if i == len(pts)-1 || zero < least {
			least = zero
		}
		out = append(out, zero-least)
	}
	slices.Sort(out)
	return out[len(out)/2], out[len(out)-1]
}
