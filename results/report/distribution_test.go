// SPDX-License-Identifier: Apache-2.0

package report

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/ukprobe/ukprobe/results"
)

// TestDistributionCounts: the empirical distribution is of the samples that the summary is
// of. A failed one is no part of it, and one that timed out only where that says something.
func TestDistributionCounts(t *testing.T) {
	c := results.Cell{System: "linux", App: "nginx", Platform: "qemu", Experiment: "boot"}
	for i := range int64(4) {
		total := i + 1
		c.Samples = append(c.Samples, results.Sample{Status: results.SampleOK, Phases: results.Phases{TotalNs: &total},
			Values: map[string]float64{"requests_per_second": float64(total)}})
	}
	c.Samples = append(c.Samples, results.Sample{Status: results.SampleFailed}, results.Sample{Status: results.SampleInterrupted},
		results.Sample{Status: results.SampleFailed, RepeatOf: 1})
	top := func(metric string) string {
		path := ecdf(pointsOf(&c, metric), newScale(metric, false, 1, 4))
		return path[strings.LastIndex(path, "V")+1 : strings.LastIndex(path, "H")]
	}
	if got := top(totalNs); got != "0" {
		t.Errorf("with failed samples it ends at %s of 1000 from above, not at the top", got)
	}
	c.Samples = append(c.Samples, results.Sample{Status: results.SampleTimeout})
	if got := top(totalNs); got != "200" {
		t.Errorf("with 1 of 5 that timed out it ends at %s of 1000 from above, not at 200", got)
	}
	if got := top("requests_per_second"); got != "0" {
		t.Errorf("in a rate a sample that timed out counts: %s", got)
	}
}

// TestMainFiguresAreDrawn: what a stopping rule looks at is what a distribution is of.
func TestMainFiguresAreDrawn(t *testing.T) {
	for _, e := range append(slices.Sorted(maps.Keys(experimentColumns)), "boot") {
		if e == imageSize {
			continue // no samples of anything
		}
		for _, metric := range results.MainFigures(e) {
			if !slices.ContainsFunc(mainTitles, func(p phase) bool { return p.metric == metric }) {
				t.Errorf("%s of %s has no title", metric, e)
			}
			c := results.Cell{Experiment: e, Samples: []results.Sample{{Status: results.SampleOK, Values: map[string]float64{metric: 1}}}}
			if got := mainMetric(&c); got != metric {
				t.Errorf("%s: %q is drawn, not %s", e, got, metric)
			}
		}
	}
}
