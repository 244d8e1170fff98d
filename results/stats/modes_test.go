// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func normal(r *rand.Rand, n int, mean, sd float64) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = mean + sd*r.NormFloat64()
	}
	return out
}

func TestModes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	counts := func(values ...float64) []float64 { return slices.Repeat(values, 20) }
	for _, tt := range []struct {
		name   string
		values []float64
		want   []Mode // place and share, nearly
	}{
		{"one", normal(r, 60, 100, 5), []Mode{{Place: 100, Share: 1}}},
		{"one, and far outliers", append(normal(r, 60, 100, 5), 300, 310, 5000), []Mode{{Place: 100, Share: 1}}},
		{"two", slices.Concat(normal(r, 40, 100, 5), normal(r, 20, 200, 8)), []Mode{{Place: 100, Share: 2.0 / 3}, {Place: 200, Share: 1.0 / 3}}},
		{"two, and far outliers", slices.Concat([]float64{9000, 1}, normal(r, 40, 100, 5), normal(r, 20, 200, 8)), []Mode{{Place: 100, Share: 2.0 / 3}, {Place: 200, Share: 1.0 / 3}}},
		{"a narrow and a wide one", slices.Concat(normal(r, 50, 100, 0.5), normal(r, 50, 200, 20)), []Mode{{Place: 100, Share: 0.5}, {Place: 200, Share: 0.5}}},
		{"three", slices.Concat(normal(r, 40, 100, 5), normal(r, 40, 200, 5), normal(r, 40, 400, 5)), []Mode{{Place: 100, Share: 1. / 3}, {Place: 200, Share: 1. / 3}, {Place: 400, Share: 1. / 3}}},
		{"many values", slices.Concat(normal(r, 4000, 100, 5), normal(r, 1000, 150, 5)), []Mode{{Place: 100, Share: 0.8}, {Place: 150, Share: 0.2}}},
		{"a counter's steps", counts(5000, 5001), []Mode{{Place: 5000.5, Share: 1}}},
		{"a counter with two heaps", counts(5000, 9000), []Mode{{Place: 5000, Share: 0.5}, {Place: 9000, Share: 0.5}}},
	} {
		m, err := Modes(tt.values)
		if err != nil {
			t.Fatal(err)
		}
		same := slices.EqualFunc(m.Modes, tt.want, func(got, want Mode) bool {
			return math.Abs(got.Place-want.Place) < 0.05*want.Place && math.Abs(got.Share-want.Share) < 0.06
		})
		if !same || m.Several() != (len(tt.want) > 1) || m.Several() != (m.P < Alpha) {
			t.Errorf("%s: %+v, want %+v", tt.name, m, tt.want)
		}
		n := 0
		for _, mode := range m.Modes {
			n += mode.N
		}
		if n != len(tt.values) {
			t.Errorf("%s: %d of %d values are in a mode", tt.name, n, len(tt.values))
		}
	}
}

// TestModesRate: of values of one mode, at most 5 % of all samples are taken for more: the
// uniform distribution is the worst case.
func TestModesRate(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	draws := map[string]func() float64{"uniform": r.Float64, "normal": r.NormFloat64, "exponential": r.ExpFloat64}
	for name, draw := range draws {
		const runs = 1000
		several := 0
		for range runs {
			values := make([]float64, 30)
			for i := range values {
				values[i] = draw()
			}
			m, err := Modes(values)
			if err != nil {
				t.Fatal(err)
			}
			if m.Several() {
				several++
			}
		}
		rate := float64(several) / runs
		// Three standard deviations of a count with 5 %.
		if limit := Alpha + 3*math.Sqrt(Alpha*(1-Alpha)/runs); rate > limit || name == "uniform" && rate < 0.02 {
			t.Errorf("%s: %.3f are taken for more than one mode", name, rate)
		}
	}
}
