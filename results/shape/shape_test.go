// SPDX-License-Identifier: Apache-2.0

package shape

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/internal/units"
	"github.com/ukprobe/ukprobe/results/stats"
)

// stairs are n values around a place, in an order without a trend.
func stairs(n int, place, step float64) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = place + step*(float64(i*7%n)-float64(n)/2)
	}
	return out
}

func TestNotes(t *testing.T) {
	two := stairs(24, 1e6, 1e3)
	for i := range two {
		if i%4 == 0 {
			two[i] *= 2
		}
	}
	rising := stairs(12, 1e6, 1e3)
	slices.Sort(rising)
	for _, tt := range []struct {
		name   string
		values []float64
		want   []string
	}{
		{"one sample", []float64{5e6}, nil},
		{"nothing to tell", stairs(12, 1e6, 1e3), nil},
		{"modes, which are no outliers and no mere spread", two, []string{"has 2 modes: 75 % at 1.00 ms, 25 % at 2.00 ms"}},
		{"an outlier of a mode", append(slices.Clone(two), 9e6), []string{"has 2 modes: 72 % at 1.00 ms, 28 % at 2.00 ms", "has 1 outlier, far out, among 25 samples, by Tukey's fences; all are kept"}},
		{"drift", rising, []string{"drifts over the run by +1.1 % (p<0.001)"}},
		{"an outlier", append(stairs(12, 1e6, 1e3), 1.02e6), []string{"has 1 outlier among 13 samples, by Tukey's fences; all are kept"}},
		{"outliers, one far out", append(stairs(12, 1e6, 1e3), 1.02e6, 9e6), []string{"has 2 outliers (1 far out) among 14 samples, by Tukey's fences; all are kept"}},
		{"wide", stairs(8, 1e6, 1.8e5), []string{"is widely spread: a quarter of the samples is up to 595 µs, a quarter from 1.23 ms on"}},
		{"too few for quartiles", []float64{1e6, 9e6, 2e6}, nil},
		{"not finite", []float64{1, 2, math.Inf(1), 3, 4, 5}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, Of(tt.values).Notes("total_ns", units.Style{})); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestThresholds: a note begins where the constants say.
func TestThresholds(t *testing.T) {
	number := func(v float64) *float64 { return &v }
	s := Shape{DriftP: number(DriftAlpha), DriftPercent: number(3), CQV: number(WideCQV - 1e-9), Quartiles: &[2]float64{1, 2}}
	if got := s.Notes("x", units.Style{}); len(got) > 0 {
		t.Errorf("at the thresholds: %q", got)
	}
	s.DriftP, s.CQV = number(DriftAlpha-1e-9), number(WideCQV)
	if got := s.Notes("x", units.Style{}); len(got) != 2 {
		t.Errorf("beyond the thresholds: %q", got)
	}
}

// TestMarks: there is a mark for each value, in the order of measurement.
func TestMarks(t *testing.T) {
	s := Of([]float64{10, 11, 99, 12, 10, 11, 12, 10, 11, 12, 15})
	want := []stats.Far{2: stats.FarOut, 10: stats.Outside}
	if diff := cmp.Diff(want, s.Marks); diff != "" || s.Outliers != 2 || s.FarOut != 1 {
		t.Errorf("%d outliers, %d far out; -want +got:\n%s", s.Outliers, s.FarOut, diff)
	}
}

// TestAbsurdValues: whatever values there are, the shape can be written as JSON.
func TestAbsurdValues(t *testing.T) {
	for _, values := range [][]float64{
		{-math.MaxFloat64, math.MaxFloat64, 0, 1, -math.MaxFloat64, math.MaxFloat64},
		{0, 0, 0, 0, 0, 1}, {0, 5e-324, 1e308, 0, 5e-324, 1e308, 5e-324}, {-1, 1, -1, 1, -1, 1}, {},
		slices.Repeat([]float64{-math.MaxFloat64, math.MaxFloat64}, 20),
	} {
		s := Of(values)
		if _, err := json.Marshal(s); err != nil {
			t.Errorf("%v: %v", values, err)
		}
		if text := strings.Join(s.Notes("x", units.Style{}), ""); strings.Contains(text, "NaN") {
			t.Errorf("%v: %s", values, text)
		}
	}
}
