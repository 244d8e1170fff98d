// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"bufio"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestGolden holds everything against what R 4.2.2 says of random cases, with and without
// ties, small and large: testdata/golden.txt, which testdata/golden.R has written. Another
// file, of any number of cases, can be named in UKPROBE_GOLDEN.
func TestGolden(t *testing.T) {
	path := os.Getenv("UKPROBE_GOLDEN")
	if path == "" {
		path = "testdata/golden.txt"
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	held := map[string]int{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		name, rest, _ := strings.Cut(lines.Text(), "|")
		var fields [][]float64
		for _, list := range strings.Split(rest, "|") {
			fields = append(fields, numbers(t, list))
		}
		want := slices.Concat(fields[goldenArguments[name]:]...)
		got := golden(t, name, fields)
		held[name]++
		if len(got) != len(want) {
			t.Fatalf("%s: %v, want %v", name, got, want)
		}
		for i := range want {
			if !near(got[i], want[i], 1e-9) {
				t.Errorf("%s, figure %d: %v, R says %v\n%s", name, i, got[i], want[i], lines.Text())
			}
		}
	}
	for name := range goldenArguments {
		if held[name] < 10 {
			t.Errorf("%s was held against R in %d cases only", name, held[name])
		}
	}
	t.Logf("%v", held)
}

// goldenArguments is how many lists of a line are no results.
var goldenArguments = map[string]int{"mannwhitney": 2, "shift": 2, "ratio": 2, "spearman": 2, "drift": 1, "dip": 1, "adjust": 1, "quantile": 1}

func golden(t *testing.T, name string, in [][]float64) (out []float64) {
	t.Helper()
	var err error
	estimate := func(e Estimate) []float64 {
		if e.CI95 == nil {
			return []float64{e.Value}
		}
		return []float64{e.Value, e.CI95[0], e.CI95[1]}
	}
	switch name {
	case "mannwhitney":
		var r Test
		r, err = MannWhitney(in[0], in[1])
		out = []float64{r.U, r.P}
	case "shift":
		var e Estimate
		e, err = Shift(in[0], in[1])
		out = estimate(e)
	case "ratio":
		var e Estimate
		e, err = Ratio(in[0], in[1])
		out = estimate(e)
	case "spearman":
		var rho, p float64
		rho, p, err = Spearman(in[0], in[1])
		out = []float64{rho, p}
	case "drift":
		var d Trend
		d, err = Drift(in[0])
		out = []float64{d.Tau, d.P, d.Slope.Value}
	case "dip":
		var d float64
		d, err = Dip(in[0])
		out = []float64{d}
	case "adjust":
		out = slices.Concat(Holm(in[0]), BenjaminiHochberg(in[0]))
	case "quantile":
		v := sorted(in[0])
		for _, p := range []float64{0, .01, .25, .5, .9, .99, 1} {
			out = append(out, Quantile(v, p))
		}
		var s Spread
		s, err = Dispersion(in[0])
		out = append(out, s.IQR, s.MAD)
	default:
		t.Fatalf("no function %q", name)
	}
	if err != nil {
		t.Fatalf("%s of %v: %v", name, in, err)
	}
	return out
}

func numbers(t *testing.T, list string) (out []float64) {
	t.Helper()
	for _, text := range strings.Split(list, ",") {
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}

// near: small figures must have their digits too. But R takes Kendall's upper tail from 1 and
// loses some: of p=6.301907449478841e-09 (in whole numbers, 24 values) it says 6.3019056640e-09.
func near(got, want, part float64) bool {
	return got == want || math.Abs(got-want) <= part*math.Abs(want)+1e-14
}
