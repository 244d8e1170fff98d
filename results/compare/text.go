// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/ukprobe/ukprobe/internal/units"
	"github.com/ukprobe/ukprobe/results/report"
	"github.com/ukprobe/ukprobe/results/shape"
)

// block are the rows of one metric of one experiment, accelerator and level of probes: one
// table, as benchstat has one for each unit.
type block struct {
	heading string
	rows    []*Row
}

func (r *Report) blocks() []block {
	var out []block
	for i := range r.Rows {
		w := &r.Rows[i]
		heading := w.heading()
		at := slices.IndexFunc(out, func(b block) bool { return b.heading == heading })
		if at < 0 {
			at = len(out)
			out = append(out, block{heading: heading})
		}
		out[at].rows = append(out[at].rows, w)
	}
	return out
}

func (w *Row) heading() string {
	k := Key{Experiment: w.Experiment, Accel: w.Accel, Probes: w.Probes}
	h := strings.TrimPrefix(k.String(), "//, ") + ": " + w.Metric
	switch w.Better {
	case Less:
		h += " (less is better)"
	case More:
		h += " (more is better)"
	}
	return h
}

// name is what a row is called in its table.
func (w *Row) name() string {
	parts := slices.DeleteFunc([]string{w.System, w.App, w.Platform, w.Variant}, func(s string) bool { return s == "" })
	name := strings.Join(parts, "/")
	if w.FromA != w.FromB {
		name += ": " + orNothing(w.FromA) + " → " + orNothing(w.FromB)
	}
	return name
}

func orNothing(s string) string {
	if s == "" {
		return "(none)"
	}
	return s
}

// printer writes for a device.
type printer struct {
	o     report.Options
	units units.Style
}

// inASCII are what this package's own words are written with where nothing else is shown.
var inASCII = strings.NewReplacer("–", "-", "±", "+-", "→", "->", "µ", "u", "×", "x", "÷", "/")

// clean makes a text safe to print on one line.
func (p printer) clean(s string) string {
	if p.o.ASCII {
		s = inASCII.Replace(s)
	}
	return p.o.Clean(s)
}

// wrap breaks a text into lines.
func (p printer) wrap(s string) string { return report.Wrap(p.clean(s), p.width(), 0) }

// figure is a median, and in percent of it the larger distance to an end of its interval.
func (p printer) figure(metric string, f Figures) string {
	if f.Median == nil {
		return "timed out"
	}
	text := p.units.Quantity(metric, *f.Median)
	if f.CI95 == nil || *f.Median == 0 {
		return text
	}
	d := max(f.CI95[1]-*f.Median, *f.Median-f.CI95[0]) / math.Abs(*f.Median)
	return fmt.Sprintf("%s %s %s", text, p.o.Pick("±", "+-"), whole(100*d))
}

// whole writes a percentage with as many digits as it takes to see it.
func whole(percent float64) string {
	if percent != 0 && percent < 9.5 {
		return fmt.Sprintf("%.1f %%", percent)
	}
	return fmt.Sprintf("%.0f %%", percent)
}

// change is that with its interval.
func (p printer) change(w *Row) string {
	if w.ChangePercent == nil {
		return p.o.Pick("–", "-")
	}
	return p.size(*w.ChangePercent, w.ChangeCI95, w.Ratio, w.RatioCI95)
}

// evidence is the p value and how many samples there were.
func (w *Row) evidence() string {
	n := fmt.Sprintf("n=%d", w.A.N)
	if w.A.N != w.B.N {
		n = fmt.Sprintf("n=%d+%d", w.A.N, w.B.N)
	}
	if w.PCorrected == nil {
		return n
	}
	return shape.PWords(*w.PCorrected) + " " + n
}

// verdict is the row's, in a few words.
func (r *Report) verdict(w *Row) string {
	switch w.Verdict {
	case Same:
		return "~"
	case Improved, Worse, Different:
		if !w.Beyond {
			return fmt.Sprintf("%s, perhaps within %s %%", w.Verdict, units.Number(r.Threshold))
		}
	}
	return string(w.Verdict)
}

// Term writes tables for a terminal.
func (r *Report) Term(out io.Writer, o report.Options) error {
	p := printer{o, units.Style{ASCII: o.ASCII}}
	var b strings.Builder
	for _, line := range r.sides() {
		b.WriteString(report.Wrap(p.clean(line), p.width(), 2) + "\n")
	}
	for _, w := range r.Warnings {
		b.WriteString(p.o.Paint(text.FgYellow, p.wrap("warning: "+w)) + "\n")
	}
	for _, bl := range r.blocks() {
		b.WriteString("\n" + p.o.Paint(text.Bold, p.wrap(bl.heading)) + "\n")
		lines, notes := p.lines(r, bl.rows)
		b.WriteString(p.table(lines))
		for i, n := range notes {
			b.WriteString(report.Wrap(p.clean(fmt.Sprintf("[%d] %s", i+1, n)), p.width(), 4) + "\n")
		}
	}
	for _, l := range r.NotCompared() {
		b.WriteString("\n" + p.wrap(l))
	}
	b.WriteString("\n" + p.wrap(r.legend()) + "\n")
	_, err := io.WriteString(out, b.String())
	return err
}

// leastWidth is what an interval and its change need.
const leastWidth = 30

func (p printer) width() int {
	if p.o.Width <= 0 {
		return 100
	}
	return max(p.o.Width, leastWidth)
}

func color(w *Row) text.Color {
	switch {
	case w.Regression:
		return text.FgRed
	case w.Verdict == Improved:
		return text.FgGreen
	}
	return text.Reset
}

// mark adds what is new of a row's notes to those of its table, and returns their numbers.
func mark(notes *[]string, of []string) string {
	var b strings.Builder
	for _, n := range of {
		at := slices.Index(*notes, n)
		if at < 0 {
			at = len(*notes)
			*notes = append(*notes, n)
		}
		fmt.Fprintf(&b, "[%d]", at+1)
	}
	return b.String()
}

// sides are what A and B are.
func (r *Report) sides() []string {
	line := func(name string, s Side) string {
		text := fmt.Sprintf("%s: %s, run %s", name, s.Label, s.Run)
		if s.Status != "ok" {
			text += ", " + s.Status
		}
		return text
	}
	if r.B == nil {
		return []string{line("A and B", r.A) + ", by " + r.By}
	}
	return []string{line("A", r.A), line("B", *r.B)}
}

// notes are what a reader of the row must know besides its figures.
func (w *Row) notes(p printer) []string {
	out := slices.Clone(w.Notes)
	for _, s := range []struct {
		name string
		f    Figures
	}{{"A", w.A}, {"B", w.B}} {
		for _, note := range s.f.Notes(w.Metric, p.units) {
			out = append(out, s.name+" "+note)
		}
	}
	return out
}

// NotCompared are the cells that were not, those with the same reason in one line.
func (r *Report) NotCompared() []string {
	var reasons []string
	cells := map[string][]string{}
	for _, l := range r.Left {
		reason := l.Reason
		if l.Broken {
			reason = "BROKEN in B: " + reason
		}
		if cells[reason] == nil {
			reasons = append(reasons, reason)
		}
		cells[reason] = append(cells[reason], l.Cell)
	}
	var out []string
	for _, reason := range reasons {
		out = append(out, fmt.Sprintf("Not compared: %s (%s)", someOf(cells[reason]), reason))
	}
	return out
}

func (r *Report) legend() string {
	text := "Medians, ± the larger distance to an end of the 95 % interval; B against A is the median of the ratios of all pairs of samples, with its 95 % interval"
	if slices.ContainsFunc(r.Rows, func(w Row) bool { return w.Ratio != nil && isFar(*w.Ratio) }) {
		text += "; from twice or half on it is told as a factor, ×2.00 or ÷2.00"
	}
	text += ". "
	if r.Comparisons > 0 {
		text += "p by Mann–Whitney, " + r.corrected() + ". "
	}
	return text + "~ is no difference seen, which is not that there is none."
}

func (r *Report) corrected() string {
	how := map[string]string{CorrectHolm: "Holm", CorrectBH: "Benjamini–Hochberg"}[r.Correction]
	switch {
	case how == "":
		return "not corrected for the number of comparisons"
	case r.Comparisons == 1:
		return "of one comparison"
	}
	return fmt.Sprintf("corrected for %d comparisons (%s)", r.Comparisons, how)
}
