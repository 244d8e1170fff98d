// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// Term writes the document for a terminal. A table that is wider than the device is
// written in pieces, each with the rows' heads.
func (d *Document) Term(w io.Writer, o Options) error {
	var b strings.Builder
	for _, line := range d.Warnings {
		b.WriteString(o.Paint(text.FgYellow, Wrap("Warning: "+o.words(line), o.width(), 2)) + "\n\n")
	}
	for i := range d.Grids {
		if i > 0 {
			b.WriteByte('\n')
		}
		o.termGrid(&b, &d.Grids[i])
	}
	if len(d.Images) > 0 {
		b.WriteString("\n" + o.Paint(text.Bold, "Images") + "\n")
		for _, line := range d.Images {
			b.WriteString("  " + Wrap(o.words(line), o.width()-2, 4) + "\n")
		}
	}
	o.termMethod(&b, d)
	_, err := io.WriteString(w, b.String())
	return err
}

// termMethod is short: the other formats have the rest.
func (o Options) termMethod(b *strings.Builder, d *Document) {
	b.WriteString("\n" + o.Paint(text.Bold, "Method") + "\n")
	for i := range d.Sources {
		s := &d.Sources[i]
		for _, f := range methodFacts(s.File) {
			line := f.Name + ": " + f.Text
			if len(d.Sources) > 1 {
				line = s.Label + ", " + line
			}
			b.WriteString("  " + Wrap(o.words(line), o.width()-2, 4) + "\n")
		}
	}
	b.WriteString("  " + Wrap("Command lines of the guests, settings, host and rungs: --format html or md; json has the cells' own.", o.width()-2, 2) + "\n")
}

// heading is a table's title with its number in the evaluation.
func (g *Grid) heading() string {
	if g.Part == 0 {
		return g.Title
	}
	return fmt.Sprintf("Table %d. %s", g.Part, g.Title)
}

func (o Options) termGrid(b *strings.Builder, g *Grid) {
	b.WriteString(o.Paint(text.Bold, Wrap(o.words(g.heading()), o.width(), 2)) + "\n")
	if g.Absent != "" {
		b.WriteString(Wrap(o.words(g.Absent), o.width(), 0) + "\n")
		return
	}
	for _, columns := range o.pieces(g) {
		writeTable(b, o.termTable(g, columns))
	}
	for i, n := range g.Notes {
		b.WriteString(Wrap(fmt.Sprintf("[%d] %s", i+1, o.words(n)), o.width(), 4) + "\n")
	}
	for _, line := range g.Legend {
		b.WriteString(Wrap(o.words(line), o.width(), 0) + "\n")
	}
}

// pieces are the columns of a table, as many groups of them at a time as fit on the device.
func (o Options) pieces(g *Grid) [][]int {
	var groups [][]int
	for i, c := range g.Columns {
		if i > 0 && c.Group != "" && c.Group == g.Columns[i-1].Group {
			groups[len(groups)-1] = append(groups[len(groups)-1], i)
			continue
		}
		groups = append(groups, []int{i})
	}
	out := [][]int{groups[0]}
	for _, more := range groups[1:] {
		last := len(out) - 1
		both := slices.Concat(out[last], more)
		if Widest(o.termTable(g, both)) <= o.width() {
			out[last] = both
		} else {
			out = append(out, more)
		}
	}
	return out
}

// Widest is how many columns a table takes.
func Widest(t table.Writer) int {
	most := 0
	for _, line := range strings.Split(t.Render(), "\n") {
		most = max(most, text.StringWidthWithoutEscSequences(strings.TrimRight(line, " ")))
	}
	return most
}

func (o Options) termTable(g *Grid, columns []int) table.Writer {
	t := table.NewWriter()
	t.SetStyle(o.TableStyle())
	grouped := slices.ContainsFunc(columns, func(i int) bool { return g.Columns[i].Group != "" })
	above, header := table.Row{}, table.Row{}
	var configs []table.ColumnConfig
	for i, h := range g.Heads {
		above, header = append(above, ""), append(header, h)
		configs = append(configs, table.ColumnConfig{Number: i + 1, WidthMax: 20, WidthMaxEnforcer: text.WrapSoft})
	}
	for _, i := range columns {
		c := g.Columns[i]
		above, header = append(above, o.words(c.Group)), append(header, o.words(c.Title))
		config := table.ColumnConfig{Number: len(header), Align: text.AlignRight, AlignHeader: text.AlignRight}
		if c.Words() {
			config = table.ColumnConfig{Number: len(header), WidthMax: 28, WidthMaxEnforcer: text.WrapSoft}
		}
		configs = append(configs, config)
	}
	if grouped {
		t.AppendHeader(above, table.RowConfig{AutoMerge: true, AutoMergeAlign: text.AlignLeft})
	}
	t.AppendHeader(header)
	t.SetColumnConfigs(configs)
	for _, r := range g.Rows {
		if g.trimmed && !slices.ContainsFunc(columns, func(i int) bool { return r.Entries[i].Status != EntryAbsent }) {
			continue // it is in another piece
		}
		row := table.Row{}
		for _, h := range r.Heads {
			row = append(row, o.words(h))
		}
		for _, i := range columns {
			row = append(row, o.termEntry(r.Entries[i]))
		}
		t.AppendRow(row)
	}
	return t
}

func (o Options) termEntry(e Entry) string {
	lines := o.entryWords(e)
	if e.Summary != nil && e.Text == "" && e.Bound == nil {
		lines = strings.Split(o.narrow(e.Metric, *e.Summary), "\n")
	} else {
		for i := range lines {
			lines[i] = o.Paint(statusColor(e.Status), lines[i])
		}
	}
	if m := marks(e.Notes); m != "" {
		lines = append(lines, o.Paint(text.Faint, m))
	}
	return strings.Join(lines, "\n")
}
