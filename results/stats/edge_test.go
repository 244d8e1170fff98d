// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestAbsurd: what no figure can be made of is refused, and what is degenerate has the
// figure that it has.
func TestAbsurd(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	ten := []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	calls := map[string]func(v []float64) error{
		"mann-whitney": func(v []float64) error { _, err := MannWhitney(v, ten); return err },
		"shift":        func(v []float64) error { _, err := Shift(v, ten); return err },
		"ratio":        func(v []float64) error { _, err := Ratio(ten, v); return err },
		"superiority":  func(v []float64) error { _, err := Superiority(v, ten); return err },
		"spearman":     func(v []float64) error { _, _, err := Spearman(v, v); return err },
		"drift":        func(v []float64) error { _, err := Drift(v); return err },
		"modes":        func(v []float64) error { _, err := Modes(v); return err },
		"dip":          func(v []float64) error { _, err := Dip(v); return err },
		"dispersion":   func(v []float64) error { _, err := Dispersion(v); return err },
		"outliers":     func(v []float64) error { _, err := Outliers(v); return err },
		"interval":     func(v []float64) error { _, _, err := MedianInterval(v); return err },
	}
	for name, call := range calls {
		if err := call(nil); !errors.Is(err, ErrTooFew) {
			t.Errorf("%s of nothing: %v", name, err)
		}
		if name == "interval" { // of sorted values, infinite ones among them
			continue
		}
		v := slices.Clone(ten)
		v[3] = nan
		if err := call(v); !errors.Is(err, ErrNotFinite) {
			t.Errorf("%s with NaN: %v", name, err)
		}
		v[3] = inf
		if err := call(v); name != "mann-whitney" && name != "superiority" && !errors.Is(err, ErrNotFinite) {
			t.Errorf("%s with an infinite value: %v", name, err)
		}
	}
	if _, err := Ratio([]float64{1, 0}, ten); err == nil {
		t.Error("a ratio to 0 was made")
	}
	if _, _, err := Spearman(ten, ten[1:]); err == nil {
		t.Error("9 values were correlated with 10")
	}
	if _, _, err := Spearman(ten, make([]float64, 10)); !errors.Is(err, ErrConstant) {
		t.Errorf("correlation with a constant: %v", err)
	}
}

func TestDegenerate(t *testing.T) {
	same := slices.Repeat([]float64{7}, 12)
	if r, err := MannWhitney(same, same); err != nil || r.P != 1 || r.Superiority() != 0.5 {
		t.Errorf("all equal: %+v, %v", r, err)
	}
	if e, err := Shift(same, same); err != nil || e.Value != 0 || *e.CI95 != [2]float64{} {
		t.Errorf("shift, all equal: %+v, %v", e, err)
	}
	if d, err := Drift(same); err != nil || d.P != 1 || d.Tau != 0 || d.Slope.Value != 0 {
		t.Errorf("drift, all equal: %+v, %v", d, err)
	}
	if m, err := Modes(same); err != nil || m.Several() || m.P != 1 || m.Modes[0] != (Mode{Place: 7, Lo: 7, Hi: 7, Share: 1, N: 12}) {
		t.Errorf("modes, all equal: %+v, %v", m, err)
	}
	if s, err := Dispersion(same); err != nil || s.IQR != 0 || s.MAD != 0 || s.CQV != 0 {
		t.Errorf("dispersion, all equal: %+v, %v", s, err)
	}
	if s, err := Dispersion(make([]float64, 3)); err != nil || !math.IsNaN(s.CQV) {
		t.Errorf("dispersion of zeroes: %+v, %v", s, err)
	}
	if r, err := MannWhitney([]float64{1}, []float64{2}); err != nil || r.P != 1 || r.U != 0 {
		t.Errorf("one and one: %+v, %v", r, err)
	}
	if e, err := Shift([]float64{1}, []float64{2}); err != nil || e.Value != 1 || e.CI95 != nil {
		t.Errorf("shift of one and one: %+v, %v", e, err)
	}
	// Samples that timed out are larger than all others, and equal to each other.
	late := math.Inf(1)
	r, err := MannWhitney([]float64{1, 2, 3, 4}, []float64{5, 6, late, late})
	if err != nil || r.U != 0 || math.Abs(r.P-2.0/70) > 1e-12 {
		t.Errorf("with late ones: %+v, %v", r, err)
	}
	// Samples that do not overlap have no interval, not one of no width.
	if e, err := Superiority([]float64{1, 2, 3, 4, 5, 6}, []float64{11, 12, 13, 14, 15, 16}); err != nil || e.Value != 1 || e.CI95 != nil {
		t.Errorf("apart: %+v, %v", e, err)
	}
	huge := []float64{math.MaxFloat64, math.MaxFloat64}
	if got := Quantile(huge, 0.5); got != math.MaxFloat64 {
		t.Errorf("median of the largest numbers: %v", got)
	}
	for _, p := range []float64{-0.1, 1.1, math.NaN()} {
		if got := Quantile(huge, p); !math.IsNaN(got) {
			t.Errorf("quantile %v: %v", p, got)
		}
	}
	negative := []float64{-5, -4, -3, -2, -1, -6}
	if e, err := Shift(negative, []float64{1, 2, 3, 4, 5, 6}); err != nil || e.Value != 7 {
		t.Errorf("shift of negative values: %+v, %v", e, err)
	}
}

func TestLeastP(t *testing.T) {
	for _, tt := range []struct {
		n1, n2 int
		want   float64
	}{{0, 5, 1}, {1, 1, 1}, {3, 3, 0.1}, {4, 4, 2.0 / 70}, {5, 5, 2.0 / 252}, {1, 100, 2.0 / 101}, {10, 10, 2.0 / 184756}} {
		if got := LeastP(tt.n1, tt.n2); math.Abs(got-tt.want) > 1e-12 {
			t.Errorf("%d and %d: %v, want %v", tt.n1, tt.n2, got, tt.want)
		}
		a, b := make([]float64, tt.n1), make([]float64, tt.n2)
		for i := range a {
			a[i] = float64(i)
		}
		for i := range b {
			b[i] = float64(1000 + i)
		}
		if r, err := MannWhitney(a, b); err == nil && math.Abs(r.P-tt.want) > 1e-12 {
			t.Errorf("%d and %d apart: p = %v, want %v", tt.n1, tt.n2, r.P, tt.want)
		}
	}
}

func TestAdjustKeepsNaN(t *testing.T) {
	in := []float64{0.01, math.NaN(), 0.04}
	for name, got := range map[string][]float64{"holm": Holm(in), "bh": BenjaminiHochberg(in)} {
		if got[0] != 0.02 || !math.IsNaN(got[1]) || got[2] != 0.04 {
			t.Errorf("%s: %v", name, got)
		}
	}
	if len(Holm(nil)) != 0 || len(BenjaminiHochberg(nil)) != 0 {
		t.Error("of nothing there is something")
	}
}

// TestUnchanged: the order of measurement, which the caller's slices are in, stays.
func TestUnchanged(t *testing.T) {
	a, b := []float64{3, 1, 2, 9, 5, 7, 8, 4, 6, 11, 10}, []float64{4, 8, 1, 2, 6, 7, 3, 9, 5, 12, 13}
	c, d := slices.Clone(a), slices.Clone(b)
	_, _ = MannWhitney(a, b)
	_, _ = Shift(a, b)
	_, _ = Ratio(a, b)
	_, _ = Superiority(a, b)
	_, _, _ = Spearman(a, b)
	_, _ = Drift(a)
	_, _ = Modes(a)
	_, _ = Outliers(a)
	_, _ = Dispersion(a)
	_ = Median(a)
	_, _ = Holm(a), BenjaminiHochberg(b)
	if !slices.Equal(a, c) || !slices.Equal(b, d) {
		t.Errorf("reordered: %v, %v", a, b)
	}
}

func TestOutliers(t *testing.T) {
	got, err := Outliers([]float64{10, 12, 11, 100, 13, 12, 11, 10, 16, 12})
	if err != nil {
		t.Fatal(err)
	}
	// Quartiles 11 and 12.75: fences at 15.375 and 18.
	if want := []Far{0, 0, 0, FarOut, 0, 0, 0, 0, Outside, 0}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestManyPairs: values that are searched for among all pairs are those that sorting finds.
func TestManyPairs(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	for _, f := range []func(x, y float64) float64{func(x, y float64) float64 { return y - x }, func(x, y float64) float64 { return y / x }} {
		p := pairs{x: sorted(normal(r, 40, 100, 9)), y: sorted(append(normal(r, 30, 100, 20), 100, 100)), f: f}
		kept := p
		kept.keep()
		for k := 1; k <= len(kept.all); k++ {
			if got, want := p.kth(k), kept.kth(k); got != want {
				t.Fatalf("%d of %d: %v, want %v", k, len(kept.all), got, want)
			}
		}
	}
	big := normal(r, 5000, 100, 1)
	e, err := Shift(big, normal(r, 5000, 101, 1))
	if err != nil || e.CI95[0] > 1 || e.CI95[1] < 1 || e.CI95[1]-e.CI95[0] > 0.1 {
		t.Errorf("of 25 million pairs: %+v, %v, %v", e, e.CI95, err)
	}
}

// TestSuperiorityIsOfTheTest: it is made of the same U as the test's, with ties and without.
func TestSuperiorityIsOfTheTest(t *testing.T) {
	for _, v := range [][2][]float64{{{1, 2, 3}, {2, 2, 4, 5}}, {{1, 5, 9}, {2, 3}}, {{1, 1}, {1, 1, 1}}, {{3, math.Inf(1)}, {1, math.Inf(1), 2}}} {
		test, err := MannWhitney(v[0], v[1])
		if err != nil {
			t.Fatal(err)
		}
		if e, err := Superiority(v[0], v[1]); err != nil || e.Value != test.Superiority() {
			t.Errorf("%v: %v, %v, of the test %v", v, e.Value, err, test.Superiority())
		}
	}
}
