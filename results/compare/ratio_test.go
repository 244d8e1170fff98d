// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"bytes"
	"encoding/csv"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/ukprobe/ukprobe/results/report"
)

// TestSize: a change is told in percent while that tells it apart, else as a factor.
func TestSize(t *testing.T) {
	ends := func(lo, hi float64) *[2]float64 { return &[2]float64{lo, hi} }
	for _, tt := range []struct {
		ratio       float64
		ci          *[2]float64
		want, ascii string
	}{
		{1, nil, "+0.0 %", "+0.0 %"},
		{1.99, ends(0.5, 8), "+99.0 % [-50.0, +700.0]", ""},
		{2, nil, "×2.00", "x2.00"},
		{0.501, ends(0.4, 0.6), "-49.9 % [-60.0, -40.0]", ""},
		{0.5, ends(0.4, 0.625), "÷2.00 [1.60, 2.50]", "/2.00 [1.60, 2.50]"},
		{1 / 1132.0, ends(1/1210.0, 1/1040.0), "÷1132 [1040, 1210]", "/1132 [1040, 1210]"},
		{2.5, ends(1.25, 40), "×2.50 [1.25, 40.0]", "x2.50 [1.25, 40.0]"},
		{2.5, ends(0.8, 40), "×2.50 [÷1.25, ×40.0]", "x2.50 [/1.25, x40.0]"},
		{0.25, ends(0.1, 1.3), "÷4.00 [÷10.0, ×1.30]", "/4.00 [/10.0, x1.30]"},
		{0.25, ends(0.1, 1), "÷4.00 [÷10.0, ×1.00]", ""},
		{1.234e9, nil, "×1.23e+09", "x1.23e+09"},
	} {
		percents := tt.ci
		if percents != nil {
			percents = ends(100*(tt.ci[0]-1), 100*(tt.ci[1]-1))
		}
		for _, style := range []struct {
			o    report.Options
			want string
		}{{report.Options{}, tt.want}, {report.Options{ASCII: true}, tt.ascii}} {
			if style.want == "" {
				continue
			}
			if got := (printer{o: style.o}).size(100*(tt.ratio-1), percents, &tt.ratio, tt.ci); got != style.want {
				t.Errorf("%v %v: %q, want %q", tt.ratio, tt.ci, got, style.want)
			}
		}
	}
}

// TestRatio: JSON and CSV have the ratio in full beside the percentage; where there can be
// none, as from zero, the percentage stands alone.
func TestRatio(t *testing.T) {
	w := single(t, cellOf("x", times(10, 4.8e9)...), cellOf("x", times(10, 4.24e6)...), Options{})
	if w.Ratio == nil || math.Abs(*w.Ratio-4.24e6/4.8e9) > 1e-5 || w.RatioCI95 == nil || w.RatioCI95[0] > *w.Ratio || w.RatioCI95[1] < *w.Ratio {
		t.Fatalf("%+v", w)
	}
	if math.Abs(*w.ChangePercent-100*(*w.Ratio-1)) > 1e-9 || !strings.HasPrefix((printer{}).change(&w), "÷113") {
		t.Errorf("%v %%, %s", *w.ChangePercent, (printer{}).change(&w))
	}
	r, err := Runs(setOf("a", cellOf("x", times(10, 1)...)), setOf("b", cellOf("x", times(10, 4)...)), Options{})
	if err != nil {
		t.Fatal(err)
	}
	var out, md bytes.Buffer
	if err := r.CSV(&out); err != nil {
		t.Fatal(err)
	}
	lines, err := csv.NewReader(&out).ReadAll()
	if err != nil || len(lines) != 2 {
		t.Fatalf("%q, %v", lines, err)
	}
	if got := lines[1][slices.Index(lines[0], "ratio")]; !strings.HasPrefix(got, "4") && !strings.HasPrefix(got, "3.99") {
		t.Errorf("ratio %q", got)
	}
	if err := r.Markdown(&md); err != nil || !strings.Contains(md.String(), "| ×4.00 [3.99, 4.01] |") || !strings.Contains(md.String(), "told as a factor") {
		t.Errorf("%v\n%s", err, md.String())
	}
	zero := cellOf("x")
	zero.Metrics = map[string]Series{"frames_out": {Values: slices.Repeat([]float64{0}, 10)}}
	some := cellOf("x")
	some.Metrics = map[string]Series{"frames_out": {Values: times(10, 3)}}
	if w := single(t, some, zero, Options{Metrics: []string{AllMetrics}}); w.Ratio != nil || (printer{}).change(&w)[:8] != "-100.0 %" {
		t.Errorf("to zero: %v, %s", w.Ratio, (printer{}).change(&w))
	}
}
