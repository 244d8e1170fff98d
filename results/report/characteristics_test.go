// SPDX-License-Identifier: Apache-2.0

package report

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/results"
)

// TestCharacterise: each system has its row; a fact that no source states is missing with
// the reason, and so is what nobody has measured.
func TestCharacterise(t *testing.T) {
	cell := func(system, app, platform, status string, samples int) results.Cell {
		c := results.Cell{System: system, App: app, Platform: platform, Experiment: "boot", Accel: "kvm", Status: status, Image: &results.Image{Version: "1.2"}}
		for range samples {
			c.Samples = append(c.Samples, boot(1, 1, 1))
		}
		return c
	}
	d := NewDocument(Source{"x", &results.File{Cells: []results.Cell{
		cell("osv", "redis", "qemu", results.CellOK, 1), cell("osv", "nginx", "qemu", results.CellFailed, 2), cell("osv", "nginx", "firecracker", results.CellOK, 1), cell("osv", "sqlite", "qemu", results.CellFailed, 0),
		cell("rump", "nginx", "qemu", results.CellNoImage, 0), cell("own", "hello", "qemu", results.CellOK, 1),
	}}})
	fact := func(text string, sources ...string) []SystemFact { return []SystemFact{{"languages", text, sources}} }
	d.Characterise([]SystemFacts{{"osv", fact("C", "its page", "its tree")}, {"rump", fact("not stated (its page)")}, {"unikraft", fact("C, Go", "its tree")}})
	g := d.Grids[len(d.Grids)-1]
	var got [][]string
	for _, r := range g.Rows {
		row := slices.Clone(r.Heads)
		for _, e := range r.Entries {
			words := Options{}.entryWords(e)
			for _, n := range e.Notes {
				words = append(words, g.Notes[n-1])
			}
			row = append(row, words...)
		}
		got = append(got, row)
	}
	want := [][]string{
		{"OSv", "C", "its page", "its tree", "nginx 1.2 on Firecracker, QEMU; redis 1.2 on QEMU"},
		{"rump", "–", "not stated (its page)", "–", "no guest of it was measured: image not given (1)"},
		{"Unikraft", "C, Go", "its tree", "–"},
		{"own", "–", "nothing was collected of this system (ukprobe systems)", "hello 1.2 on QEMU"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
