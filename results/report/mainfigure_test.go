// SPDX-License-Identifier: Apache-2.0

package report

import (
	"strings"
	"testing"

	"github.com/ukprobe/ukprobe/results"
)

// TestShownSample: of an experiment that is no boot the sample that is shown is the one with
// the median of what the experiment is about.
func TestShownSample(t *testing.T) {
	c := results.Cell{System: "linux", App: "nginx", Platform: "qemu", Experiment: "throughput"}
	for i, rate := range []float64{300, 100, 200} {
		total := int64(i+1) * 1e6 // whose median is another sample's
		c.Samples = append(c.Samples, results.Sample{Status: results.SampleOK, Phases: results.Phases{TotalNs: &total}, Values: map[string]float64{"requests_per_second": rate}})
	}
	c.Samples = append(c.Samples, results.Sample{Status: results.SampleTimeout}) // no rate at all
	var b strings.Builder
	if err := Timeline(&b, &c, Options{Width: 120}); err != nil || !strings.Contains(b.String(), "sample 3 of 4, requests_per_second 200, the median") {
		t.Errorf("%v\n%s", err, b.String())
	}
}
