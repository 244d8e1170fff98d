// SPDX-License-Identifier: Apache-2.0

// Package shape says what the samples of one figure look like beyond their median: whether
// they form more than one mode, drift over the run, have outliers, or are widely spread. It
// is the one place that decides from when on a reader is told, and in which words: a
// comparison and the report of a single run say the same.
//
// It knows a cell's values in the order of measurement, and the name of their metric. It does
// not know which samples count, what timed out, or whether a cell is a good one; and nothing
// is left out for what it finds. The methods are package stats'; docs/statistics.md.
package shape

import (
	"fmt"
	"math"
	"strings"

	"github.com/ukprobe/ukprobe/internal/units"
	"github.com/ukprobe/ukprobe/results/stats"
)

const (
	// DriftAlpha is the p value below which a drift is told. It is below the usual level: drift
	// is looked for in each figure of each cell, without correction.
	DriftAlpha = 0.01
	// WideCQV is the coefficient of quartile variation from which on a spread is told: the
	// upper quartile is then half as large again as the lower one, or more.
	WideCQV = 0.2
	// leastForQuartiles is the fewest values that have quartiles to speak of, as for
	// [stats.Outliers].
	leastForQuartiles = 4
)

// Shape is what the values of a figure look like. What their number does not allow to say is
// not there. Values are in the metric's unit.
type Shape struct {
	Modes  []stats.Mode `json:"modes,omitempty"` // if there are several
	DriftP *float64     `json:"drift_p,omitempty"`
	// DriftPercent is from the first sample to the last, of the median.
	DriftPercent *float64 `json:"drift_percent,omitempty"`
	Outliers     int      `json:"outliers,omitempty"` // outside Tukey's fences, those of their mode; all are kept
	FarOut       int      `json:"far_out,omitempty"`  // of these, outside the outer ones
	// Quartiles, and MAD, the median distance from the median.
	Quartiles *[2]float64 `json:"quartiles,omitempty"`
	MAD       *float64    `json:"mad,omitempty"`
	// CQV is the coefficient of quartile variation ([stats.Spread]), as a part of 1.
	CQV *float64 `json:"quartile_variation,omitempty"`
	// Marks say of each value, in the order given, how far out it is; nil if nothing says so.
	Marks []stats.Far `json:"-"`

	n int
}

// Of finds it of values in the order in which they were measured. Of values that are not all
// finite nothing is said.
func Of(values []float64) Shape {
	s := Shape{n: len(values)}
	if m, err := stats.Modes(values); err == nil && m.Several() {
		s.Modes = m.Modes
	}
	s.drift(values)
	s.outliers(values)
	if d, err := stats.Dispersion(values); err == nil && s.n >= leastForQuartiles && finite(d.IQR, d.MAD) {
		s.Quartiles, s.MAD = &[2]float64{d.Q1, d.Q3}, &d.MAD
		if finite(d.CQV) {
			s.CQV = &d.CQV
		}
	}
	return s
}

// outliers looks for them within each mode, if there are several: a mode is none.
func (s *Shape) outliers(values []float64) {
	if len(values) < leastForQuartiles {
		return
	}
	modes := s.Modes
	if len(modes) == 0 {
		modes = []stats.Mode{{Lo: math.Inf(-1), Hi: math.Inf(1)}}
	}
	found := make([]stats.Far, len(values))
	for _, m := range modes {
		var at []int
		var own []float64
		for i, v := range values {
			if v >= m.Lo && v <= m.Hi {
				at, own = append(at, i), append(own, v)
			}
		}
		marks, err := stats.Outliers(own)
		switch {
		case err != nil && len(s.Modes) > 0: // too few in this one
			continue
		case err != nil:
			return
		}
		for i, far := range marks {
			found[at[i]] = far
		}
	}
	s.Marks = found
	for _, far := range found {
		if far != stats.Inside {
			s.Outliers++
		}
		if far == stats.FarOut {
			s.FarOut++
		}
	}
}

func (s *Shape) drift(values []float64) {
	d, err := stats.Drift(values)
	if err != nil {
		return
	}
	median := stats.Median(values)
	if percent := 100 * d.Slope.Value * float64(len(values)-1) / math.Abs(median); finite(percent) {
		s.DriftP, s.DriftPercent = &d.P, &percent
	}
}

// finite: values that are absurd, which are shown, have no such figure.
func finite(values ...float64) bool {
	for _, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return false
		}
	}
	return true
}

// Drifts tells whether the drift is one that a reader is told of.
func (s Shape) Drifts() bool { return s.DriftP != nil && *s.DriftP < DriftAlpha }

// Wide tells whether the values are so far apart that a reader is told. Of several modes
// they are anyway.
func (s Shape) Wide() bool { return len(s.Modes) == 0 && s.CQV != nil && *s.CQV >= WideCQV }

// Notes are what a reader must be told, without the subject: "drifts over the run …".
func (s Shape) Notes(metric string, u units.Style) []string {
	var out []string
	if len(s.Modes) > 1 {
		var modes []string
		for _, m := range s.Modes {
			modes = append(modes, ModeWords(m, metric, u))
		}
		out = append(out, fmt.Sprintf("has %d modes: %s", len(s.Modes), strings.Join(modes, ", ")))
	}
	if s.Drifts() {
		out = append(out, fmt.Sprintf("drifts over the run by %+.1f %% (%s)", *s.DriftPercent, PWords(*s.DriftP)))
	}
	if s.Outliers > 0 {
		out = append(out, s.outlierWords())
	}
	if s.Wide() {
		out = append(out, fmt.Sprintf("is widely spread: a quarter of the samples is up to %s, a quarter from %s on", u.Quantity(metric, s.Quartiles[0]), u.Quantity(metric, s.Quartiles[1])))
	}
	return out
}

func (s Shape) outlierWords() string {
	what := "1 outlier"
	if s.Outliers > 1 {
		what = fmt.Sprintf("%d outliers", s.Outliers)
	}
	switch {
	case s.FarOut == s.Outliers:
		what += ", far out,"
	case s.FarOut > 0:
		what += fmt.Sprintf(" (%d far out)", s.FarOut)
	}
	return fmt.Sprintf("has %s among %d samples, by Tukey's fences; all are kept", what, s.n)
}

// ModeWords name a mode: its share of the samples, and where it is.
func ModeWords(m stats.Mode, metric string, u units.Style) string {
	return fmt.Sprintf("%.0f %% at %s", 100*m.Share, u.Quantity(metric, m.Place))
}

// PWords write a p value.
func PWords(p float64) string {
	if p < 0.0005 {
		return "p<0.001"
	}
	return fmt.Sprintf("p=%.3f", p)
}
