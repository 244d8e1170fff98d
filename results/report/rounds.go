// SPDX-License-Identifier: Apache-2.0

package report

import (
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/ukprobe/ukprobe/results"
)

// rounds are the figures of samples that start several guests at once.
var rounds = []phase{
	{"starts_spread_ns", "starts within"}, {"first_ready_ns", "first ready"}, {"all_ready_ns", "all ready"},
	{"total_median_ns", "median total"}, {"boots_per_second", "boots/s"},
}

// rounds writes a table of the cells whose samples start several guests at once: in the
// first table their phases are the slowest guest's.
func (o Options) rounds(b *strings.Builder, g group) {
	cells := slices.DeleteFunc(slices.Clone(g.cells), func(c *results.Cell) bool {
		return !c.HasFigures() || c.Settings == nil || c.Settings.Parallel < 2
	})
	if len(cells) == 0 {
		return
	}
	t := table.NewWriter()
	t.SetStyle(o.TableStyle())
	header := table.Row{"guests at once", "", ""}
	configs := []table.ColumnConfig{nameColumn(1), nameColumn(2), nameColumn(3)}
	for _, p := range rounds {
		header = append(header, p.title)
		configs = append(configs, table.ColumnConfig{Number: len(header), Align: text.AlignRight, AlignHeader: text.AlignRight})
	}
	t.AppendHeader(header)
	t.SetColumnConfigs(configs)
	for _, c := range cells {
		row := table.Row{o.Clean(c.System), o.Clean(c.App), o.platform(c)}
		for _, p := range rounds {
			row = append(row, o.figure(c, p.metric))
		}
		t.AppendRow(row)
	}
	b.WriteByte('\n')
	writeTable(b, t)
	b.WriteString(Wrap("Above, the phases of several guests at once are those of each sample's slowest one.", o.width(), 0) + "\n")
}
