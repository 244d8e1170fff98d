// SPDX-License-Identifier: Apache-2.0

package claim

import (
	"cmp"
	"math"
	"slices"
)

// Series is what the stamps of one guest's clock say together.
//
// A line leaves the guest some time after its stamp was taken, never before: with
// g the stamp and h the host's time of the line's first byte,
// h = zero + rate·g + lag, lag ≥ 0. The fitted line is the one below all points
// with the least sum of lags: the edge of their lower convex hull under the mean
// stamp (Moon, Skelly, Towsley: Estimation and Removal of Clock Skew from Network
// Delay Measurements, INFOCOM 1999). Lag that all lines share cannot be told from
// a later zero: the zero is the latest possible.
type Series struct {
	N      int     // stamps that were used
	Rate   float64 // host seconds per guest second
	ZeroNS int64   // host time of the guest clock's zero, at the latest
	SpanNS int64   // first to last stamp, on the guest's clock
	// Lags of the lines over the fitted one.
	LagMedianNS, LagMaxNS int64
	// ErrNS bounds, for the fitted line, what is not known: the stamps' resolution
	// and the common lag, taken to be no more than the median of the others.
	ErrNS int64
}

// minStamps is the fewest stamps whose rate says anything.
const minStamps = 3

// Fit fits the stamps among claims of one name. Stamps of zero are left out: the
// clock did not run yet. It returns false if there are too few.
func Fit(claims []Claim) (Series, bool) {
	var pts []point
	var resolution int64
	for _, c := range claims {
		if c.Kind == Stamp && c.NS > 0 && c.Line.FirstNS > 0 {
			pts = append(pts, point{float64(c.NS), float64(c.Line.FirstNS)})
			resolution = max(resolution, c.ResolutionNS)
		}
	}
	if len(pts) == 0 {
		return Series{}, false
	}
	// Host times are large: taken from the first, a float64 has them exactly.
	base := pts[0].h
	for i := range pts {
		base = min(base, pts[i].h)
	}
	var mean float64
	for i := range pts {
		pts[i].h -= base
		mean += pts[i].g / float64(len(pts))
	}
	slices.SortFunc(pts, func(a, b point) int {
		return cmp.Or(cmp.Compare(a.g, b.g), cmp.Compare(a.h, b.h))
	})
	hull := lowerHull(pts)
	if len(pts) < minStamps || len(hull) < 2 {
		return Series{}, false
	}
	a, b := hull[0], hull[1]
	for i := 1; i < len(hull)-1 && hull[i].g < mean; i++ {
		a, b = hull[i], hull[i+1]
	}
	s := Series{N: len(pts), Rate: (b.h - a.h) / (b.g - a.g), SpanNS: int64(pts[len(pts)-1].g - pts[0].g)}
	zero := a.h - s.Rate*a.g
	s.ZeroNS = int64(base) + int64(math.Round(zero))
	lags := make([]int64, 0, len(pts))
	for _, p := range pts {
		lags = append(lags, max(0, int64(math.Round(p.h-zero-s.Rate*p.g))))
	}
	slices.Sort(lags)
	s.LagMedianNS, s.LagMaxNS = lags[len(lags)/2], lags[len(lags)-1]
	s.ErrNS = resolution + s.LagMedianNS
	return s, true
}

// point is a stamp and the host's time of its line.
type point struct{ g, h float64 }

// lowerHull is the lower convex hull of points in the order of g (Andrew's
// monotone chain). Of points with the same g only the lowest is on it.
func lowerHull(pts []point) []point {
	var hull []point
	for _, p := range pts {
		if n := len(hull); n > 0 && hull[n-1].g == p.g {
			continue // sorted: this one is not lower
		}
		for n := len(hull); n >= 2 && cross(hull[n-2], hull[n-1], p) <= 0; n = len(hull) {
			hull = hull[:n-1]
		}
		hull = append(hull, p)
	}
	return hull
}

// cross is positive if a, b, c turn to the left.
func cross(a, b, c point) float64 {
	return (b.g-a.g)*(c.h-a.h) - (b.h-a.h)*(c.g-a.g)
}
