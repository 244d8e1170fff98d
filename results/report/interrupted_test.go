// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"strings"
	"testing"

	"github.com/ukprobe/ukprobe/results"
)

// TestInterrupted: of an interrupted run the table says how many samples were to be
// taken, not only how many were.
func TestInterrupted(t *testing.T) {
	cell := func(status, reason string, asked, n int) results.Cell {
		c := results.Cell{System: "reference", App: "hello", Platform: "qemu", Experiment: "boot", Accel: "kvm", Status: status, Reason: reason, Settings: &results.Settings{Samples: asked}}
		for range n {
			c.Samples = append(c.Samples, boot(1, 1, 1))
		}
		return c
	}
	f := &results.File{Run: results.Run{Status: results.RunInterrupted}, Cells: []results.Cell{
		cell(results.CellOK, "", 50, 7), cell(results.CellOK, "", 3, 3), cell(results.CellSkipped, "not started", 40, 0), cell(results.CellUnsupported, "no KVM", 30, 0),
	}}
	text := func() string {
		var b bytes.Buffer
		if err := Table(&b, f, Options{}); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	got := text()
	for want, times := range map[string]int{" 7/50": 1, " 3/3": 1, " 0/40": 1, " 0/0": 1, "] interrupted: 7 of 50 samples were taken": 1,
		"] skipped: not started; interrupted: 0 of 40 samples were taken": 1, "interrupted": 2} {
		if strings.Count(got, want) != times {
			t.Errorf("%q is not there %d times:\n%s", want, times, got)
		}
	}
	f.Run.Status = results.RunOK
	if got := text(); !strings.Contains(got, " 7/7") || strings.Contains(got, "interrupted") {
		t.Errorf("of a run that was not:\n%s", got)
	}
}
