// SPDX-License-Identifier: Apache-2.0

package results

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// measuredCell is a cell with samples of these figures; negative ones timed out.
func measuredCell(experiment, metric string, figures ...float64) Cell {
	c := Cell{Experiment: experiment}
	for _, v := range figures {
		s := Sample{Status: SampleOK, Values: map[string]float64{metric: v}}
		switch {
		case v < 0:
			s = Sample{Status: SampleTimeout}
		case metric == totalMetric:
			s = Sample{Status: SampleOK, Phases: Phases{TotalNs: ns(int64(v))}}
		}
		c.Samples = append(c.Samples, s)
	}
	return c
}

// figures repeats a figure n times and appends others.
func figures(n int, v float64, others ...float64) []float64 {
	var out []float64
	for range n {
		out = append(out, v)
	}
	return append(out, others...)
}

func TestStop(t *testing.T) {
	rule := Until{WithinPercent: 5, AtMost: 12}
	for name, tt := range map[string]struct {
		cell   Cell
		least  int
		reason string // "": it goes on
	}{
		"nothing yet":             {measuredCell("boot", totalMetric), 6, ""},
		"too few, however equal":  {measuredCell("boot", totalMetric, figures(9, 100)...), 10, ""},
		"too few for an interval": {measuredCell("boot", totalMetric, figures(5, 100)...), 2, ""},
		"equal":                   {measuredCell("boot", totalMetric, figures(6, 100)...), 2, "converged after 6 samples: total_ns within ±0.0 % (wanted ±5 %)"},
		"just within":             {measuredCell("boot", totalMetric, 95, 96, 100, 100, 101, 105), 6, "converged after 6 samples: total_ns within ±5.0 % (wanted ±5 %)"},
		"just outside":            {measuredCell("boot", totalMetric, 9499, 9600, 10000, 10000, 10100, 10500), 6, ""},
		"the bound":               {measuredCell("boot", totalMetric, 9499, 9499, 9499, 9499, 9499, 9499, 11000, 11000, 11000, 11000, 11000, 11000), 6, "bound of 12 samples reached: total_ns within ±7.4 % (wanted ±5 %)"},
		"timed out in part":       {measuredCell("boot", totalMetric, figures(6, 100, -1, -1)...), 6, ""},
		"timed out to the end":    {measuredCell("boot", totalMetric, figures(6, 100, -1, -1, -1, -1, -1, -1)...), 6, "bound of 12 samples reached: total_ns has no 95 % interval (wanted ±5 %)"},
		"never ok":                {measuredCell("boot", totalMetric, figures(6, -1)...), 6, "given up after 6 samples: none was ok"},
		"of a load":               {measuredCell("throughput", "requests_per_second", figures(6, 100)...), 6, "converged after 6 samples: requests_per_second within ±0.0 % (wanted ±5 %)"},
		"the second choice":       {measuredCell("memory-use", "process_ready_bytes", figures(6, 100)...), 6, "converged after 6 samples: process_ready_bytes within ±0.0 % (wanted ±5 %)"},
		"no such figure":          {measuredCell("density", "latency_first_ns", figures(12, 100)...), 6, "bound of 12 samples reached: instances has no 95 % interval (wanted ±5 %)"},
		"zero":                    {measuredCell("aslr", "entropy_bits", figures(6, 0)...), 6, "converged after 6 samples: entropy_bits within ±0.0 % (wanted ±5 %)"},
		"around zero":             {measuredCell("aslr", "entropy_bits", 0, 0, 0, 0, 1, 2), 6, ""},
	} {
		why, stop := tt.cell.Stop(tt.least, rule)
		if stop != (tt.reason != "") || why.Reason != tt.reason || why.Converged != strings.HasPrefix(tt.reason, "converged") {
			t.Errorf("%s: %v, %+v; want %q", name, stop, why, tt.reason)
		}
		if n := len(tt.cell.Samples); stop && why.Samples != n {
			t.Errorf("%s: stopped after %d samples of %d", name, why.Samples, n)
		}
	}
}

// TestStopCountsWithoutRepeats: a disturbed sample and those in its place are one.
func TestStopCountsWithoutRepeats(t *testing.T) {
	c := measuredCell("boot", totalMetric, figures(7, 100)...)
	c.Samples[3].RepeatOf, c.Samples[4].RepeatOf = 3, 3
	if _, stop := c.Stop(6, Until{5, 12}); c.Taken() != 5 || stop {
		t.Errorf("%d taken, stopped %v", c.Taken(), stop)
	}
}

func TestExpected(t *testing.T) {
	wide := []float64{90, 90, 90, 90, 90, 90, 110, 110, 110, 110, 110, 110} // ±10 %
	for name, tt := range map[string]struct {
		cell  Cell
		least int
		rule  Until
		want  int
	}{
		"before the first":        {measuredCell("boot", totalMetric), 10, Until{5, 100}, 10},
		"an interval needs six":   {measuredCell("boot", totalMetric), 3, Until{5, 100}, 6},
		"twice as wide as wanted": {measuredCell("boot", totalMetric, wide...), 6, Until{5, 100}, 48},
		"up to the bound":         {measuredCell("boot", totalMetric, wide...), 6, Until{5, 30}, 30},
		"narrow enough, too few":  {measuredCell("boot", totalMetric, figures(6, 100)...), 20, Until{5, 30}, 20},
		"no interval in the end":  {measuredCell("boot", totalMetric, figures(6, -1)...), 6, Until{5, 30}, 30},
		"one more at least":       {measuredCell("boot", totalMetric, wide...), 6, Until{10, 100}, 13},
	} {
		if got := tt.cell.Expected(tt.least, tt.rule); got != tt.want {
			t.Errorf("%s: %d, want %d", name, got, tt.want)
		}
	}
}

func TestPercentTextNeverFlatters(t *testing.T) {
	for p, want := range map[string]string{"5": "5.0 %", "5.00001": "5.1 %", "4.95": "5.0 %", "0": "0.0 %"} {
		v := map[string]float64{"5": 5, "5.00001": 5.00001, "4.95": 4.95, "0": 0}[p]
		if got := percentText(v); got != want {
			t.Errorf("%s: %q, want %q", p, got, want)
		}
	}
}

// TestSummaryOf is Summarize of one metric, timeouts and repeats too.
func TestSummaryOf(t *testing.T) {
	c := measuredCell("boot", totalMetric, 5, 6, 7, 8, 9, 10, 11, -1)
	c.Samples[2].RepeatOf = 2
	for i := range c.Samples {
		if s := &c.Samples[i]; s.Status == SampleOK {
			s.Values = map[string]float64{"exits": 3}
		}
	}
	for name, want := range c.Summarize() {
		got, ok := c.SummaryOf(name)
		if d := cmp.Diff(want, got); d != "" || !ok {
			t.Errorf("%s (-Summarize +SummaryOf):\n%s", name, d)
		}
	}
	if s, ok := c.SummaryOf("nothing"); ok {
		t.Errorf("%+v of a metric that is not there", s)
	}
}

// TestSequentialCoverage is how often the interval of a cell that was stopped by its
// rule holds the true median: less often than the 95 % of a fixed number, for it is
// looked at after every sample and believed at the first narrow one. docs/matrix.md has
// the figures. The distribution is lognormal with a median of 1, like boot times.
func TestSequentialCoverage(t *testing.T) {
	const runs = 1500
	for _, tt := range []struct {
		name            string
		sigma           float64
		least, within   int
		atLeast, atMost float64 // coverage
	}{
		{"at least 10", 0.1, 10, 5, 0.90, 0.96},
		{"at least 6", 0.1, 6, 5, 0.84, 0.94},
		{"wide, at least 10", 0.2, 10, 5, 0.88, 0.96},
	} {
		random := rand.New(rand.NewPCG(1, 2))
		covered, total := 0, 0
		for range runs {
			var values []float64
			for {
				values = append(values, math.Exp(tt.sigma*random.NormFloat64()))
				s, ok := Summarize(values)
				if n := len(values); !ok || n < tt.least || s.CI95 == nil {
					continue
				}
				d := max(s.CI95[1]-s.Median, s.Median-s.CI95[0])
				if 100*d > float64(tt.within)*s.Median && len(values) < 200 {
					continue
				}
				if s.CI95[0] <= 1 && 1 <= s.CI95[1] {
					covered++
				}
				total += len(values)
				break
			}
		}
		got := float64(covered) / runs
		t.Logf("%s: σ %v: %.1f %% covered, %.1f samples on average", tt.name, tt.sigma, 100*got, float64(total)/runs)
		if got < tt.atLeast || got > tt.atMost {
			t.Errorf("%s: %.1f %% covered, want %v to %v", tt.name, 100*got, tt.atLeast, tt.atMost)
		}
	}
}

// TestStopTellsTheDisturbed: of the samples that it was decided on, repeats in the place of
// others among them.
func TestStopTellsTheDisturbed(t *testing.T) {
	c := measuredCell("boot", totalMetric, figures(7, 100)...)
	c.Samples[0].Disturbed, c.Samples[1].Disturbed, c.Samples[3].Disturbed = true, true, true
	c.Samples[1].RepeatOf = 1
	why, _ := c.Stop(6, Until{WithinPercent: 5, AtMost: 12})
	if want := "converged after 6 samples, 2 of them disturbed: "; !strings.HasPrefix(why.Reason, want) {
		t.Errorf("%q, want %q", why.Reason, want)
	}
	c = measuredCell("boot", totalMetric, 100)
	if why, _ := c.Stop(1, Until{WithinPercent: 5, AtMost: 1}); !strings.HasPrefix(why.Reason, "bound of 1 sample reached: ") {
		t.Errorf("%q", why.Reason)
	}
}
