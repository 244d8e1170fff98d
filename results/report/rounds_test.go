// SPDX-License-Identifier: Apache-2.0

package report

import (
	"strings"
	"testing"

	"github.com/ukprobe/ukprobe/results"
)

// TestRounds: cells that start several guests at once have a table of their own, and
// no other cell is in it.
func TestRounds(t *testing.T) {
	cell := func(app string, n int) results.Cell {
		total := int64(2e6)
		c := results.Cell{System: "reference", App: app, Platform: "qemu", Experiment: "boot", Accel: "kvm", Status: results.CellOK,
			Settings: &results.Settings{Parallel: n, Cache: "cold", Tap: "keep"}, Samples: []results.Sample{{Status: results.SampleOK, Phases: results.Phases{TotalNs: &total}}}}
		if n > 1 {
			c.Samples[0].Values = map[string]float64{"all_ready_ns": 3e6, "first_ready_ns": 1e6, "starts_spread_ns": 5e5, "boots_per_second": 1200.5}
		}
		c.Summary = c.Summarize()
		return c
	}
	for _, tt := range []struct {
		cells []results.Cell
		want  []string
	}{
		{[]results.Cell{cell("one", 0), cell("four", 4)}, []string{" parallel=4\n", " cache=cold\n", " tap=keep\n", "starts within", "500 µs", "1.00 ms", "3.00 ms", "1.20 k", "slowest"}},
		{[]results.Cell{cell("one", 0)}, nil},
	} {
		var b strings.Builder
		if err := Table(&b, &results.File{Cells: tt.cells}, Options{Width: 120}); err != nil {
			t.Fatal(err)
		}
		_, rounds, there := strings.Cut(b.String(), "guests at once")
		if there != (tt.want != nil) || strings.Contains(rounds, "reference one") {
			t.Errorf("a table of rounds: %v\n%s", there, b.String())
		}
		for _, want := range tt.want {
			if !strings.Contains(rounds, want) {
				t.Errorf("no %q in\n%s", want, rounds)
			}
		}
	}
}
