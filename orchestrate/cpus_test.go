// SPDX-License-Identifier: Apache-2.0

package orchestrate

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/orchestrate/cpu"
	"github.com/ukprobe/ukprobe/orchestrate/interference"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/results"
)

// TestObserved: what stands in the results of CPUs and interference is what was done.
func TestObserved(t *testing.T) {
	plan := cpu.Plan{VCPU: []int{1}, VMM: []int{2}, Client: []int{3}, Reason: "why"}
	cpusOf := &results.CPUs{VCPU: []int{1}, VMM: []int{2}, Client: []int{3}, Reason: "why"}
	limit := &results.InterferenceLimit{AtMostPercent: 1}
	meter := &interference.Meter{}
	for _, tt := range []struct {
		name, experiment, status string
		probes                   string
		meter                    *interference.Meter
		want                     results.Settings
	}{
		{"looked at", matrix.Boot, "", matrix.ProbesBoot, meter, results.Settings{CPUs: cpusOf, Interference: limit}},
		{"the programs could not be attached", matrix.Boot, "", matrix.ProbesBoot, nil, results.Settings{CPUs: cpusOf}},
		{"without BPF", matrix.Boot, "", matrix.ProbesNone, meter, results.Settings{CPUs: cpusOf}},
		{"not run", matrix.Boot, results.CellUnsupported, matrix.ProbesBoot, meter, results.Settings{}},
		{"starts nothing", matrix.ImageSize, "", matrix.ProbesNone, meter, results.Settings{}},
	} {
		c := &cell{Cell: matrix.Cell{Experiment: tt.experiment, Settings: matrix.DefaultSettings()}, status: tt.status}
		c.Probes = tt.probes
		l := &laboratory{cpus: cpus{plans: map[string]cpu.Plan{planKey(c.Cell): plan}}, quiet: quiet{meter: tt.meter}}
		var got results.Settings
		l.observed(c, &got)
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}
