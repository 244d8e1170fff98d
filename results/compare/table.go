// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/ukprobe/ukprobe/results/report"
)

// line is a row as a device shows it.
type line struct {
	name, a, b, change, evidence, verdict string
	color                                 text.Color
}

// lines are a block's rows, its geomean, and the notes that they refer to.
func (p printer) lines(r *Report, rows []*Row) (out []line, notes []string) {
	for _, w := range rows {
		l := line{name: p.clean(w.name()), a: p.figure(w.Metric, w.A), b: p.figure(w.Metric, w.B), change: p.change(w),
			evidence: w.evidence(), verdict: r.verdict(w), color: color(w)}
		if n := w.notes(p); len(n) > 0 {
			l.name += " " + mark(&notes, n)
		}
		out = append(out, l)
	}
	if g := p.geomean(rows); g != "" {
		out = append(out, line{name: "geomean", change: g, color: text.Reset})
	}
	return out, notes
}

// table is the widest form of the lines that the device shows: one line for each row, or
// parts of it below each other, or no table at all. Where the width is not known nothing is
// broken, for programs that read it line by line.
func (p printer) table(lines []line) string {
	t := p.drawn(lines, func(s string) string { return s }, 0)
	if p.o.Width <= 0 || report.Widest(t) <= p.width() {
		return report.RenderTable(t)
	}
	for _, name := range []int{32, 28, 24} { // columns of it
		if t = p.drawn(lines, folded, name); report.Widest(t) <= p.width() {
			return report.RenderTable(t)
		}
	}
	return p.list(lines)
}

func (p printer) drawn(lines []line, fold func(string) string, name int) table.Writer {
	t := table.NewWriter()
	t.SetStyle(p.o.TableStyle())
	t.AppendHeader(table.Row{"cell", "A", "B", "B against A", "", "verdict"})
	configs := []table.ColumnConfig{{Number: 2, Align: text.AlignRight}, {Number: 3, Align: text.AlignRight}, {Number: 4, Align: text.AlignRight}}
	if name > 0 {
		configs = append(configs, table.ColumnConfig{Number: 1, WidthMax: name, WidthMaxEnforcer: text.WrapSoft},
			table.ColumnConfig{Number: 6, WidthMax: len("verdict"), WidthMaxEnforcer: text.WrapSoft})
	}
	t.SetColumnConfigs(configs)
	for _, l := range lines {
		t.AppendRow(table.Row{l.name, fold(l.a), fold(l.b), fold(l.change), fold(l.evidence), p.o.Paint(l.color, l.verdict)})
	}
	return t
}

// folded has what goes with a figure below it: its interval, or how many samples.
func folded(s string) string {
	for _, before := range []string{" ±", " +-", " [", " n="} {
		if at := strings.Index(s, before); at > 0 {
			return s[:at] + "\n" + s[at+1:]
		}
	}
	return s
}

// list has each row in lines of its own.
func (p printer) list(lines []line) string {
	var b strings.Builder
	for _, l := range lines {
		words := []string{l.change}
		if l.a != "" {
			words = []string{"A " + l.a, "B " + l.b, l.change, l.evidence, p.o.Paint(l.color, l.verdict)}
		}
		b.WriteString(report.Wrap(l.name, p.width(), 2) + "\n  " + p.flow(words) + "\n")
	}
	return b.String()
}

// flow puts parts into indented lines, as many in each as fit; none is broken.
func (p printer) flow(parts []string) string {
	var b strings.Builder
	at := 2
	for i, part := range parts {
		width := text.StringWidthWithoutEscSequences(part)
		switch {
		case i == 0:
		case at+2+width+1 > p.width():
			b.WriteString(",\n  ")
			at = 2
		default:
			b.WriteString(", ")
			at += 2
		}
		b.WriteString(part)
		at += width
	}
	return b.String()
}
