// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	"github.com/ukprobe/ukprobe/internal/units"
	"github.com/ukprobe/ukprobe/results"
)

// TestSampleOutcome: the line of a sample has what its experiment is about.
func TestSampleOutcome(t *testing.T) {
	total := int64(123_456_789)
	s := results.Sample{Status: results.SampleOK, Phases: results.Phases{TotalNs: &total}, Values: map[string]float64{"requests_per_second": 12345}}
	for experiment, want := range map[string]string{"boot": "123 ms", "throughput": "requests_per_second 12.3 k", "memory-min": "ok"} {
		if got := sampleOutcome(experiment, s, units.Style{}); got != want {
			t.Errorf("%s: %q, want %q", experiment, got, want)
		}
	}
	if got := sampleOutcome("boot", results.Sample{Status: results.SampleTimeout, Reason: "late"}, units.Style{}); got != "timeout: late" {
		t.Errorf("%q", got)
	}
}
