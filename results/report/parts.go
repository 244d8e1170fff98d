// SPDX-License-Identifier: Apache-2.0

package report

import (
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/ukprobe/ukprobe/results"
)

// parts are what firmware and guest consist of, in the order of a boot.
var parts = []phase{
	{"bios_ns", "BIOS"}, {"option_rom_ns", "option ROM"},
	{"setup_ns", "setup"}, {"decompress_ns", "decompress"}, {"kernel_ns", "kernel"},
}

// partEvents says which event a part begins or ends with that only guests have
// which have the part.
var partEvents = map[string]string{
	"bios_ns": results.EventOptionROM, "option_rom_ns": results.EventOptionROM,
	"setup_ns": results.EventDecompress, "decompress_ns": results.EventDecompress, "kernel_ns": results.EventKernel,
}

// parts writes a second table, of the cells whose phases have parts. A column that
// no cell has anything in is left out; a part that a cell does not have is blank,
// one that is missing is not.
func (o Options) parts(b *strings.Builder, g group) {
	cells := slices.DeleteFunc(slices.Clone(g.cells), func(c *results.Cell) bool {
		return !c.HasFigures() || !slices.ContainsFunc(parts, func(p phase) bool { return hasMetric(c, p.metric) })
	})
	if len(cells) == 0 {
		return
	}
	columns := slices.DeleteFunc(slices.Clone(parts), func(p phase) bool {
		return !slices.ContainsFunc(cells, func(c *results.Cell) bool { return hasMetric(c, p.metric) })
	})
	t := table.NewWriter()
	t.SetStyle(o.TableStyle())
	header := table.Row{"of which", "", "", "firmware"}
	configs := []table.ColumnConfig{nameColumn(1), nameColumn(2), nameColumn(3), nameColumn(4)}
	for _, p := range columns {
		header = append(header, p.title)
		configs = append(configs, table.ColumnConfig{Number: len(header), Align: text.AlignRight, AlignHeader: text.AlignRight})
	}
	t.AppendHeader(header)
	t.SetColumnConfigs(configs)
	for _, c := range cells {
		row := table.Row{o.Clean(c.System), o.Clean(c.App), o.platform(c), o.Clean(c.Firmware)}
		for _, p := range columns {
			row = append(row, o.part(c, p.metric))
		}
		t.AppendRow(row)
	}
	b.WriteByte('\n')
	writeTable(b, t)
}

func (o Options) part(c *results.Cell, metric string) string {
	if hasMetric(c, metric) || misses(c, partEvents[metric]) {
		return o.figure(c, metric)
	}
	return ""
}

func hasMetric(c *results.Cell, metric string) bool {
	_, ok := c.Summary[metric]
	return ok
}

// misses reports whether a sample of the cell should have had the event.
func misses(c *results.Cell, event string) bool {
	return slices.ContainsFunc(c.Samples, func(s results.Sample) bool {
		return slices.ContainsFunc(s.Missing, func(m results.Missing) bool { return m.Name == event })
	})
}
