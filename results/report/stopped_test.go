// SPDX-License-Identifier: Apache-2.0

package report

import (
	"slices"
	"strings"
	"testing"

	"github.com/ukprobe/ukprobe/results"
)

// TestMainFiguresAreColumns: what a stopping rule looks at is in the experiment's table.
func TestMainFiguresAreColumns(t *testing.T) {
	experiments := []string{"boot", "timing-validation"}
	for name := range experimentColumns {
		experiments = append(experiments, name)
	}
	for _, e := range experiments {
		for _, figure := range results.MainFigures(e) {
			if !slices.ContainsFunc(group{experiment: e}.columns(), func(p phase) bool { return p.metric == figure }) {
				t.Errorf("%s: %s is no column of its table", e, figure)
			}
		}
	}
}

// TestWordsOfRuns: what a table says of stopping rules, of images that nobody gave, of
// learnt limits and of runs that were resumed.
func TestWordsOfRuns(t *testing.T) {
	percent := 4.2
	rule := &results.Settings{Samples: 6, TimeoutNs: 30e9, Until: &results.Until{WithinPercent: 5, AtMost: 50}}
	cell := func(app string, n int) results.Cell {
		c := results.Cell{System: "linux", App: app, Platform: "qemu", Experiment: "boot", Accel: "kvm", Status: results.CellOK, Settings: rule}
		for range n {
			c.Samples = append(c.Samples, boot(1, 1, 1))
		}
		return c
	}
	converged := cell("converged", 9)
	converged.Stopped = &results.Stopped{Samples: 9, Converged: true, Percent: &percent, Reason: "converged after 9 samples: total_ns within ±4.2 % (wanted ±5 %)"}
	early, midway := cell("early", 3), cell("midway", 7)
	limited := cell("limited", 4)
	for _, ns := range []float64{6e9, 6.5e9} {
		limited.Samples = append(limited.Samples, results.Sample{Status: results.SampleTimeout, Values: map[string]float64{"time_limit_ns": ns}})
	}
	limited.Stopped = &results.Stopped{Reason: "bound"}
	none := results.Cell{System: "osv", App: "hello", Platform: "qemu", Experiment: "boot", Accel: "kvm", Status: results.CellNoImage, Reason: "name one in the catalogue"}
	f := &results.File{Cells: []results.Cell{converged, early, midway, limited, none}, Run: results.Run{Status: results.RunInterrupted,
		Parts: []results.Part{{}, {From: 7, Differences: []string{"kernel: 6.1 then, 6.2 now"}}}}}
	for i := range f.Cells {
		f.Cells[i].Summary = f.Cells[i].Summarize()
	}
	for _, tt := range []struct {
		o    Options
		want []string
	}{
		{Options{Width: 1000}, []string{
			"] converged after 9 samples: total_ns within ±4.2 % (wanted ±5 %)\n",
			" 3/6", "] interrupted: 3 of 6 samples were taken\n",
			" 7/7", "] interrupted after 7 samples, before its stopping rule (±5 %) was met\n",
			"2 of 6 timed out after 6s to 6.5s: ",
			" 0/0 image not given ", "] image not given: name one in the catalogue\n",
			"The run was interrupted after 7 samples and resumed. After 7 samples it went on with --force, with differences: kernel: 6.1 then, 6.2 now.\n",
		}},
		{Options{Width: 1000, ASCII: true}, []string{"total_ns within +-4.2 % (wanted +-5 %)\n"}},
	} {
		var b strings.Builder
		if err := Table(&b, f, tt.o); err != nil {
			t.Fatal(err)
		}
		for _, want := range tt.want {
			if !strings.Contains(b.String(), want) {
				t.Errorf("no %q in\n%s", want, b.String())
			}
		}
	}
}
