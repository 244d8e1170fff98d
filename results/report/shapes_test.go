// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/ukprobe/ukprobe/results"
)

// shaped is the document of a run with a cell that has modes and one that drifts.
func shaped() *Document {
	f := &results.File{Run: results.Run{Status: results.RunOK}, Cells: []results.Cell{shapedCell("unikraft", "qemu", true), shapedCell("osv", "qemumicrovm", false)}}
	for i := range f.Cells {
		f.Cells[i].Summary = f.Cells[i].Summarize()
	}
	return NewDocument(Source{"x", f})
}

// TestShapesAreTold: modes, drift and outliers are footnotes of the figure that they are
// of, in each format.
func TestShapesAreTold(t *testing.T) {
	d := shaped()
	var term, md, html bytes.Buffer
	if err := d.Term(&term, Options{Width: 200}); err != nil {
		t.Fatal(err)
	}
	if err := d.Markdown(&md); err != nil {
		t.Fatal(err)
	}
	if err := d.HTML(&html); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"has 2 modes: 67 % at 34.6 ms, 33 % at 54.5 ms", "drifts over the run by +", "has 2 outliers"} {
		for name, b := range map[string]*bytes.Buffer{"term": &term, "md": &md, "html": &html} {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%s: no %q", name, want)
			}
		}
	}
	at := slices.IndexFunc(d.Grids, func(g Grid) bool { return g.ID == "boot-redis" })
	for _, r := range d.Grids[at].Rows {
		for _, e := range r.Entries {
			if e.Summary == nil {
				continue
			}
			told := slices.ContainsFunc(e.Notes, func(n int) bool { return strings.HasPrefix(d.Grids[at].Notes[n-1], "has ") })
			if told != (e.Metric != "vmm_ns") { // which is always the same
				t.Errorf("%s of %s: told %v", e.Metric, r.Heads[0], told)
			}
		}
	}
}

func TestShapesInJSON(t *testing.T) {
	var b bytes.Buffer
	if err := shaped().JSON(&b); err != nil {
		t.Fatal(err)
	}
	var out struct {
		Tables []struct {
			Rows []struct {
				Entries []struct {
					Shape *struct {
						Modes    []struct{ Place, Least, Most, Share float64 }
						DriftP   *float64 `json:"drift_p"`
						Outliers int
					}
				}
			}
		}
	}
	if err := json.Unmarshal(b.Bytes(), &out); err != nil {
		t.Fatal(err)
	}
	modes, drift := 0, 0
	for _, table := range out.Tables {
		for _, r := range table.Rows {
			for _, e := range r.Entries {
				if e.Shape == nil {
					continue
				}
				if len(e.Shape.Modes) == 2 && e.Shape.Modes[1].Share == 1.0/3 && e.Shape.Outliers == 2 {
					modes++
				}
				if p := e.Shape.DriftP; p != nil && *p < 0.01 {
					drift++
				}
			}
		}
	}
	if modes != 2 || drift != 2 { // of the VM and the total
		t.Errorf("%d entries with modes, %d that drift:\n%s", modes, drift, b.String())
	}
}

// TestNoShape: figures of which no single sample says anything have none, nor has a time of
// which some samples are known only to be longer.
func TestNoShape(t *testing.T) {
	c := shapedCell("osv", "qemu", true)
	if s := shapeOf(&c, totalNs); s == nil || len(s.Modes) != 2 || len(s.Marks) != 30 {
		t.Fatalf("%+v", s)
	}
	c.Samples[4] = results.Sample{Status: results.SampleTimeout}
	if s := shapeOf(&c, totalNs); s != nil {
		t.Errorf("with a sample that timed out: %+v", s)
	}
	c.Experiment = aslr
	if s := shapeOf(&c, "guest_ns"); s != nil {
		t.Errorf("of aslr: %+v", s)
	}
}

// TestMarksInStrips: the outliers are drawn with rings, and modes with brackets and names,
// which the words of points and drawings have as well.
func TestMarksInStrips(t *testing.T) {
	cells := allCells(shaped().Sources)
	f := distributionSection(cells).Figures[0]
	modal := f.Rows[0]
	for want, times := range map[string]int{`class="out"`: 4, "mode 1</text>": 1, "mode 2</text>": 1, "has 2 modes: ": 1, "has 2 outliers": 1} {
		if got := strings.Count(string(modal.SVG), want); got != times {
			t.Errorf("%q is there %d times, not %d:\n%s", want, got, times, modal.SVG)
		}
	}
	for want, times := range map[string]int{"outlier, far out": 2, "mode 2 of 2": 10} {
		if got := strings.Count(modal.Points, want); got != times {
			t.Errorf("%q is there %d times, not %d: %s", want, got, times, modal.Points)
		}
	}
	if len(modal.Notes) != 2 || len(f.Keys) == 0 {
		t.Errorf("notes %q, legend %v", modal.Notes, f.Keys)
	}
}
