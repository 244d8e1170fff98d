// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/ukprobe/ukprobe/results"
)

// sizePhases are the figures of an image and of its boots that stand beside each other.
var sizePhases = struct{ size, boot []phase }{
	[]phase{{"file_bytes", "files"}, {"unpacked_bytes", "unpacked"}},
	[]phase{{"total_ns", "total"}, {"guest_ns", "guest"}},
}

// sizedBoot is a cell of boot, and the one of image-size that is about the same image.
type sizedBoot struct{ size, boot *results.Cell }

// sizes writes how the size of images relates to the time that they take to boot: a table
// for each accelerator and level of probes, the smallest image first, of the images for
// which the run has both. One row alone would show no relation.
func (o Options) sizes(b *strings.Builder, f *results.File) {
	for _, g := range groups(f.Cells) {
		if g.experiment != "boot" {
			continue
		}
		g.cut = cutOf(f)
		rows := g.sized(f.Cells)
		if len(rows) < 2 {
			continue
		}
		t := table.NewWriter()
		t.SetStyle(o.TableStyle())
		header := table.Row{"system", "app", "platform"}
		configs := []table.ColumnConfig{nameColumn(1), nameColumn(2), nameColumn(3)}
		for _, p := range slices.Concat(sizePhases.size, sizePhases.boot) {
			header = append(header, p.title)
			configs = append(configs, table.ColumnConfig{Number: len(header), Align: text.AlignRight, AlignHeader: text.AlignRight})
		}
		t.AppendHeader(header)
		t.SetColumnConfigs(configs)
		var notes []string
		for _, r := range rows {
			row := table.Row{o.Clean(r.boot.System), o.Clean(r.boot.App), o.platform(r.boot)}
			if words := g.fewer(o, r.boot); words != "" {
				mark := fmt.Sprintf("[%d]", len(notes)+1)
				notes = append(notes, mark+" "+words)
				row[2] = row[2].(string) + "\n" + mark
			}
			for _, p := range sizePhases.size {
				row = append(row, o.figure(r.size, p.metric))
			}
			for _, p := range sizePhases.boot {
				row = append(row, o.figure(r.boot, p.metric))
			}
			t.AppendRow(row)
		}
		b.WriteString("\n" + o.Paint(text.Bold, "image size and "+o.heading(g)) + "\n")
		writeTable(b, t)
		for _, n := range notes {
			b.WriteString(Wrap(n, o.width(), 4) + "\n")
		}
	}
}

// sized are the group's cells whose image's size is known, the smallest first. Boots of
// several guests at once take longer for another reason than their image, and so do those
// with a cold cache: they are left out.
func (g group) sized(cells []results.Cell) []sizedBoot {
	var out []sizedBoot
	for _, c := range g.cells {
		if !c.HasFigures() || c.Image == nil || c.Image.Key == "" || c.Settings != nil && (c.Settings.Parallel > 1 || c.Settings.Cache == "cold") {
			continue
		}
		at := slices.IndexFunc(cells, func(s results.Cell) bool {
			return s.Experiment == imageSize && s.HasFigures() && s.Image != nil && s.Image.Key == c.Image.Key && s.System == c.System && s.App == c.App
		})
		if at >= 0 {
			out = append(out, sizedBoot{&cells[at], c})
		}
	}
	slices.SortStableFunc(out, func(a, b sizedBoot) int {
		return cmp.Compare(a.size.Summary["file_bytes"].Median, b.size.Summary["file_bytes"].Median)
	})
	return out
}
