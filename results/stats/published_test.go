// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"math"
	"testing"
)

// Data of published examples.
var (
	// Hollander and Wolfe, Nonparametric Statistical Methods (1973): permeability of the
	// human chorioamnion, page 69; tuna's lightness and panel score, page 185.
	permeabilityTerm  = []float64{0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46}
	permeabilityEarly = []float64{1.15, 0.88, 0.90, 0.74, 1.21}
	tunaLightness     = []float64{44.4, 45.9, 41.9, 53.3, 44.7, 44.1, 50.7, 45.2, 60.1}
	tunaScore         = []float64{2.6, 3.1, 2.5, 5.0, 3.6, 4.0, 5.2, 2.8, 3.8}
	// R's data set airquality: ozone in May and in August, without the missing days.
	ozoneMay    = []float64{41, 36, 12, 18, 28, 23, 19, 8, 7, 16, 11, 14, 18, 14, 34, 6, 30, 11, 1, 11, 4, 32, 23, 45, 115, 37}
	ozoneAugust = []float64{39, 9, 16, 78, 35, 66, 122, 89, 110, 44, 28, 65, 22, 59, 23, 31, 44, 21, 9, 45, 168, 73, 76, 118, 84, 85}
	// Brunner and Munzel, Biometrical Journal 42 (2000), also of R's lawstat: pain scores.
	painY = []float64{1, 2, 1, 1, 1, 1, 1, 1, 1, 1, 2, 4, 1, 1}
	painN = []float64{3, 3, 4, 3, 1, 2, 3, 1, 1, 5, 4}
	// R's diptest: quality of 63 faculties of statistics, Hartigan and Hartigan (1985).
	statFaculty = []float64{30, 33, 35, 36, 37, 37, 39, 39, 39, 39, 39, 40, 40, 40, 40, 41, 42, 43, 43, 43, 44, 44, 45, 45, 46,
		46, 47, 47, 48, 48, 48, 49, 50, 50, 51, 52, 52, 53, 53, 53, 53, 53, 54, 54, 57, 57, 59, 60, 60, 60, 61, 61, 61, 61, 62,
		62, 62, 62, 63, 66, 70, 72, 72}
	// Benjamini and Hochberg (1995), section 3.2: 15 comparisons after myocardial infarction.
	infarction = []float64{0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1}
)

// TestPublished holds the functions against results that others have published.
func TestPublished(t *testing.T) {
	check := func(source string, got, want, within float64) {
		t.Helper()
		if math.IsNaN(got) || math.Abs(got-want) > within {
			t.Errorf("%s: %v, published %v", source, got, want)
		}
	}
	test := func(a, b []float64) Test {
		t.Helper()
		r, err := MannWhitney(a, b)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := test(permeabilityTerm, permeabilityEarly)
	check("R ?wilcox.test, Hollander and Wolfe page 69: W", r.U, 35, 0)
	check("… its exact p", r.P, 0.2544, 5e-5)
	e, _ := Shift(permeabilityEarly, permeabilityTerm)
	check("… difference in location", e.Value, 0.305, 1e-9)
	check("… lower end", e.CI95[0], -0.15, 1e-9)
	check("… upper end", e.CI95[1], 0.76, 1e-9)

	r = test(ozoneMay, ozoneAugust)
	check("R ?wilcox.test, airquality: W", r.U, 127.5, 0)
	check("… p by the approximation", r.approximate([]int{3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2}), 0.0001208, 5e-8)
	check("… the exact one is not far", r.P, 0.0001208, 1e-4)

	r = test([]float64{19, 22, 16, 29, 24}, []float64{20, 11, 17, 12})
	check("SciPy's mannwhitneyu, diabetics' ages: U", r.U, 17, 0)
	check("… exact p", r.P, 0.1111111111, 1e-9)

	e, err := Superiority(painY, painN)
	if err != nil {
		t.Fatal(err)
	}
	check("lawstat ?brunner.munzel.test, Brunner and Munzel 2000: P(X<Y)+.5*P(X=Y)", e.Value, 0.788961, 5e-7)
	check("… lower end", e.CI95[0], 0.5952169, 5e-7)
	check("… upper end", e.CI95[1], 0.9827052, 5e-7)

	rho, p, err := Spearman(tunaLightness, tunaScore)
	if err != nil {
		t.Fatal(err)
	}
	check("Hollander and Wolfe page 185: Spearman's rho", rho, 0.6, 1e-12)
	check("… p, R cor.test", p, 0.0968, 5e-5)
	inOrder := []float64{2.5, 4.0, 2.6, 3.6, 2.8, 3.1, 5.2, 5.0, 3.8} // the scores by lightness
	d, err := Drift(inOrder)
	if err != nil {
		t.Fatal(err)
	}
	check("R ?cor.test, Hollander and Wolfe page 185: Kendall's tau", d.Tau, 0.4444444, 5e-8)
	check("… exact p", d.P, 0.1194, 5e-5)

	for i, want := range []float64{0.0015, 0.0030, 0.0095, 0.035625, 0.0603, 0.06385714, 0.06385714, 0.0645, 0.0765, 0.486, 0.58118182, 0.714875, 0.75323077, 0.81321429, 1} {
		check("Benjamini and Hochberg 1995, R p.adjust BH", BenjaminiHochberg(infarction)[i], want, 5e-9)
	}
	for i, want := range []float64{0.0015, 0.0056, 0.0247, 0.1140, 0.2211, 0.2780, 0.2780, 0.2780, 0.3213, 1, 1, 1, 1, 1, 1} {
		check("the same, R p.adjust holm", Holm(infarction)[i], want, 5e-5)
	}

	dip, err := Dip(statFaculty)
	if err != nil {
		t.Fatal(err)
	}
	check("R ?dip.test, statfaculty: dip", dip, 0.059524, 5e-7)
	check("… p", DipP(dip, len(statFaculty)), 0.08672, 0.004)
	// Quantiles of the dip, of a million samples each: R's diptest, qDiptab. Ours are of 200,000.
	for _, q := range []struct{ n, level, dip float64 }{
		{10, 0.5, 0.09778176}, {10, 0.95, 0.13961140}, {10, 0.99, 0.15968416},
		{20, 0.5, 0.07334377}, {20, 0.9, 0.09723460}, {20, 0.95, 0.10513022}, {20, 0.99, 0.12062404},
		{30, 0.95, 0.08816891}, {50, 0.95, 0.07027379}, {100, 0.5, 0.03546218}, {100, 0.95, 0.05112794}, {100, 0.99, 0.05902413},
		{100, 0.999, 0.06844797}, {200, 0.95, 0.03684184}, {1000, 0.5, 0.01174390}, {1000, 0.95, 0.01693440}, {1000, 0.99, 0.01960803},
	} {
		check("qDiptab", DipP(q.dip, int(q.n)), 1-q.level, 0.06*(1-q.level)+0.0003)
	}
}

// TestMedianInterval: the ranks that tables of the sign test give (Hollander and Wolfe,
// table A.2; R: qbinom(0.025, n, 0.5)), except that the lower of two intervals, each wide
// enough and one rank narrower, is taken.
func TestMedianInterval(t *testing.T) {
	for n, want := range map[int][2]float64{6: {1, 6}, 8: {1, 7}, 9: {2, 8}, 10: {2, 9}, 15: {4, 12}, 20: {6, 15}, 30: {10, 21}, 100: {40, 60}} {
		values := make([]float64, n)
		for i := range values {
			values[i] = float64(i + 1)
		}
		lo, hi, err := MedianInterval(values)
		if err != nil || lo != want[0] || hi != want[1] {
			t.Errorf("of %d: ranks %v to %v, %v; want %v", n, lo, hi, err, want)
		}
		// What the ranks cover, from the binomial distribution.
		covered := 0.0
		for k := int(lo); k < int(hi); k++ {
			lg := func(x float64) float64 { v, _ := math.Lgamma(x + 1); return v }
			covered += math.Exp(lg(float64(n)) - lg(float64(k)) - lg(float64(n-k)) - float64(n)*math.Ln2)
		}
		if covered < Level {
			t.Errorf("of %d: ranks %v to %v cover %.4f", n, lo, hi, covered)
		}
	}
}
