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
	f.Run.Status = results.RunKilled
	if killed := strings.ReplaceAll(got, "interrupted", "killed"); killed != text() {
		t.Errorf("of one that was killed:\n%s", text())
	}
	f.Run.Status = results.RunOK
	if got := text(); !strings.Contains(got, " 7/7") || strings.Contains(got, "interrupted") {
		t.Errorf("of a run that was not:\n%s", got)
	}
}

// TestCutShort: a cell that was interrupted and cannot be gone on with has its figures, with
// how many samples they are of, and why there are no more; one that has none has failed.
func TestCutShort(t *testing.T) {
	cut := results.Cell{System: "reference", App: "hello", Platform: "qemu", Experiment: "boot", Accel: "kvm", Status: results.CellFailed,
		Reason: "3 of 10 samples: cannot be run any more: QEMU is gone", Settings: &results.Settings{Samples: 10}}
	bad := cut
	for range 3 {
		cut.Samples = append(cut.Samples, boot(1, 1, 1))
		bad.Samples = append(bad.Samples, results.Sample{Status: results.SampleFailed, Reason: "no QEMU"})
	}
	for _, tt := range []struct {
		name  string
		cell  results.Cell
		row   string
		words []string
	}{
		{"with figures", cut, " 3/10 1.00 µs 1.00 µs 1.00 µs 3.00 µs", []string{"[1] interrupted: 3 of 10 samples: cannot be run any more: QEMU is gone"}},
		{"without", bad, " 0/3 failed", []string{"[1] failed: 3 of 10 samples: cannot be run any more: QEMU is gone"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := &results.File{Run: results.Run{Status: results.RunFailed}, Cells: []results.Cell{tt.cell}}
			f.Cells[0].Summary = f.Cells[0].Summarize()
			var b bytes.Buffer
			if err := Table(&b, f, Options{}); err != nil {
				t.Fatal(err)
			}
			text := strings.Join(strings.Fields(strings.NewReplacer("│", "", "|", "").Replace(b.String())), " ")
			for _, want := range append(tt.words, tt.row) {
				if !strings.Contains(text, want) {
					t.Errorf("%q is not there:\n%s", want, b.String())
				}
			}
			// The evaluation's tables say the same.
			b.Reset()
			if err := NewDocument(Source{"x", f}).Markdown(&b); err != nil {
				t.Fatal(err)
			}
			note := `\[1\] ` + strings.TrimPrefix(tt.words[0], "[1] ")
			if figures := strings.Contains(b.String(), "3.00 µs"); figures != tt.cell.HasFigures() || !strings.Contains(b.String(), note) {
				t.Errorf("figures %v, and no %q in\n%s", figures, note, b.String())
			}
		})
	}
}

// TestCutShortFigures: a cell that was cut short is in every figure of the page that it has
// something for, and each says so in the words of the tables' footnotes.
func TestCutShortFigures(t *testing.T) {
	const words = "interrupted: 3 of 10 samples: QEMU is gone"
	short := func(c results.Cell) results.Cell {
		c.Status, c.Reason, c.Settings = results.CellFailed, "3 of 10 samples: QEMU is gone", &results.Settings{Samples: 10}
		return c
	}
	f := &results.File{Run: results.Run{Status: results.RunFailed}}
	for i, system := range []string{"osv", "lupine", "linux"} {
		f.Cells = append(f.Cells, sizeCell(system, "nginx", i), short(bootCell(system, "nginx", "qemu", i)), short(throughputCell(system, "nginx", i)))
	}
	f.Cells = append(f.Cells, short(claimsFile().Cells[0]), short(memoryCell("osv", "nginx", 1)), short(densityCell("osv", "nginx")))
	for i := range f.Cells {
		f.Cells[i].Summary = f.Cells[i].Summarize()
	}
	p := NewDocument(Source{"x", f}).page()
	for _, s := range p.Sections {
		if s.Absent != "" {
			t.Errorf("%s: %s", s.ID, s.Absent)
		}
		for _, fig := range s.Figures {
			said := strings.Join(fig.Notes, "\n")
			for _, r := range fig.Rows {
				said += strings.Join(r.Notes, "\n")
			}
			if !strings.Contains(said, words) {
				t.Errorf("%s: %s does not say that cells of it were cut short: %q", s.ID, fig.Title, said)
			}
		}
	}
	var b bytes.Buffer
	if err := Table(&b, f, Options{Width: 300}); err != nil {
		t.Fatal(err)
	}
	_, sizes, found := strings.Cut(b.String(), "image size and boot")
	if !found || strings.Count(sizes, words) < 3 {
		t.Errorf("sizes against boot times:\n%s", b.String())
	}
	b.Reset()
	if err := Claims(&b, f, Options{Width: 300}); err != nil || !strings.Contains(b.String(), words) {
		t.Errorf("%v: claims do not say so:\n%s", err, b.String())
	}
}
