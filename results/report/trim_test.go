// SPDX-License-Identifier: Apache-2.0

package report

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ukprobe/ukprobe/matrices"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/results"
)

// TestTrim: rows and columns that no cell is in are left out, and a line says which; a cell
// without figures keeps its row and its column.
func TestTrim(t *testing.T) {
	doc := NewDocument(Source{"small", small()})
	at := slices.IndexFunc(doc.Grids, func(g Grid) bool { return g.ID == "boot-nginx" })
	g := doc.Grids[at]
	var rows, columns []string
	for _, r := range g.Rows {
		rows = append(rows, r.Heads[0])
		if len(r.Entries) != len(g.Columns) {
			t.Errorf("%s: %d entries for %d columns", r.Heads, len(r.Entries), len(g.Columns))
		}
		for i, e := range r.Entries {
			if e.Metric != g.Columns[i].Metric {
				t.Errorf("%s: entry %d is of %s, its column of %s", r.Heads, i, e.Metric, g.Columns[i].Metric)
			}
		}
	}
	for _, c := range g.Columns {
		columns = append(columns, c.Group)
	}
	if diff := cmp.Diff([]string{"OSv", "OSv", "HermiTux", "Lupine", "Unikraft", "Docker"}, rows); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"Firecracker", "QEMU", "own platform"}, slices.Compact(columns)); diff != "" {
		t.Errorf("columns (-want +got):\n%s", diff)
	}
	if line := "Not in the run and left out: row MirageOS; columns QEMU 1 NIC and QEMU microvm. With --whole they have their place."; !slices.Contains(g.Legend, line) {
		t.Errorf("the legend has no %q:\n%q", line, g.Legend)
	}
}

// TestFullIsWhole: what the built-in matrix full asks for is the evaluation's whole layout:
// of its runs nothing is left out, whatever became of the cells.
func TestFullIsWhole(t *testing.T) {
	text, err := matrices.FS.ReadFile("full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	m, err := matrix.Parse("full.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	cells, err := m.Expand()
	if err != nil {
		t.Fatal(err)
	}
	f := &results.File{}
	for _, c := range cells {
		f.Cells = append(f.Cells, results.Cell{System: c.System, App: c.App, Platform: c.Platform, Experiment: c.Experiment, Status: results.CellNoImage})
	}
	whole, trimmed := NewWholeDocument(Source{"full", f}), NewDocument(Source{"full", f})
	if diff := cmp.Diff(whole.Grids, trimmed.Grids, cmpopts.IgnoreFields(Entry{}, "Cell"), cmpopts.IgnoreUnexported(Grid{})); diff != "" {
		t.Errorf("left out (-whole +got):\n%s", diff)
	}
}
