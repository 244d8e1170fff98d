// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"math"
	"math/rand/v2"
	"testing"
)

// bootTimes are skewed, as those of guests are.
func bootTimes(r *rand.Rand, n int, factor float64) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = factor * (1e8 + 5e6*r.NormFloat64() + 1e7*r.ExpFloat64())
	}
	return out
}

// TestRates: of two runs of one distribution 5 % differ, or fewer, by the test; intervals
// cover what they are of in 95 %; and a shift of 10 % is found.
func TestRates(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 2026))
	const runs = 2000
	// Three standard deviations of a count with 5 %.
	slack := 3 * math.Sqrt(Alpha*(1-Alpha)/runs)
	for _, n := range []int{6, 10, 30, 60} {
		var differ, found, outside, ratioOutside, drifts, superior int
		for range runs {
			a, b := bootTimes(r, n, 1), bootTimes(r, n, 1)
			p := must(MannWhitney(a, b)).P
			shift, ratio := must(Shift(a, b)), must(Ratio(a, b))
			count(&differ, p < Alpha)
			count(&found, must(MannWhitney(a, bootTimes(r, n, 1.1))).P < Alpha)
			out := shift.CI95[0] > 0 || shift.CI95[1] < 0
			count(&outside, out)
			count(&ratioOutside, ratio.CI95[0] > 1 || ratio.CI95[1] < 1)
			if out != (p < Alpha) && n*n <= exactPairs {
				t.Fatalf("n=%d: p = %v, and the interval of the shift is %v", n, p, *shift.CI95)
			}
			count(&drifts, must(Drift(a)).P < Alpha)
			s := must(Superiority(a, b))
			count(&superior, s.CI95 != nil && (s.CI95[0] > 0.5 || s.CI95[1] < 0.5))
		}
		for name, of := range map[string]int{"differ": differ, "have a shift that is not 0": outside, "have a ratio that is not 1": ratioOutside, "drift": drifts} {
			if rate := float64(of) / runs; rate > Alpha+slack || rate < 0.01 {
				t.Errorf("n=%d: %.3f of equal ones %s", n, rate, name)
			}
		}
		// Brunner and Munzel's is an approximation, liberal for few values.
		if rate := float64(superior) / runs; rate > 0.08 {
			t.Errorf("n=%d: %.3f of equal ones have a superiority that is not 0.5", n, rate)
		}
		if rate := float64(found) / runs; n >= 30 && rate < 0.9 {
			t.Errorf("n=%d: a shift of 10 %% is found in %.3f", n, rate)
		}
	}
}

// TestFamilies: of many comparisons of equals at once, some differ before the correction,
// and in at most 5 % of all families one or more does after it.
func TestFamilies(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 2026))
	const families, size = 400, 40
	var before, holm, bh int
	for range families {
		p := make([]float64, size)
		any := false
		for i := range p {
			p[i] = must(MannWhitney(bootTimes(r, 10, 1), bootTimes(r, 10, 1))).P
			any = any || p[i] < Alpha
		}
		count(&before, any)
		count(&holm, least(Holm(p)) < Alpha)
		count(&bh, least(BenjaminiHochberg(p)) < Alpha)
	}
	slack := 3 * math.Sqrt(Alpha*(1-Alpha)/families)
	if rate := float64(before) / families; rate < 0.7 {
		t.Errorf("before the correction only %.3f of the families have a difference", rate)
	}
	for name, of := range map[string]int{"holm": holm, "bh": bh} {
		if rate := float64(of) / families; rate > Alpha+slack {
			t.Errorf("%s: after the correction %.3f of the families have a difference", name, rate)
		}
	}
}

// TestDriftFound: a run that becomes slower by a fifth is seen, and its slope.
func TestDriftFound(t *testing.T) {
	r := rand.New(rand.NewPCG(12, 2026))
	for _, n := range []int{30, 60, 2500} {
		values := bootTimes(r, n, 1)
		for i := range values {
			values[i] += 2e7 * float64(i) / float64(n)
		}
		d := must(Drift(values))
		want := 2e7 / float64(n)
		if d.P >= Alpha || d.Tau <= 0 || d.Slope.CI95[0] > want || d.Slope.CI95[1] < want {
			t.Errorf("n=%d: %+v, %v, want a slope of %v", n, d, d.Slope.CI95, want)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func count(n *int, yes bool) {
	if yes {
		*n++
	}
}

func least(values []float64) float64 {
	out := math.Inf(1)
	for _, v := range values {
		out = min(out, v)
	}
	return out
}
