// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/ukprobe/ukprobe/results"
)

// Table writes the medians of every cell with their intervals. Each
// accelerator, experiment and level of probes has a block of its own: figures
// from different ones do not compare. What needs a sentence is a footnote.
func Table(w io.Writer, f *results.File, o Options) error {
	var b strings.Builder
	if len(f.Cells) == 0 {
		b.WriteString("The run has no cells.")
	}
	for i, g := range groups(f.Cells) {
		if i > 0 {
			b.WriteByte('\n')
		}
		g.cut = cutOf(f)
		o.block(&b, g)
	}
	o.sizes(&b, f)
	lines := slices.Concat(o.legend(f.Cells), o.overhead(f), o.resumed(f))
	for _, line := range lines {
		b.WriteString("\n" + Wrap(line, o.width(), 0))
	}
	for _, line := range o.images(f.Cells) {
		b.WriteString("\n" + line)
	}
	b.WriteByte('\n')
	_, err := io.WriteString(w, b.String())
	return err
}

type group struct {
	accel, experiment, probes string
	cells                     []*results.Cell
	cut                       string // how the run ended before its last sample: interrupted, killed, or ""
}

// asked is how many samples of a cell were to be taken, if the run was ended before;
// repeats of disturbed ones are not counted.
func (g group) asked(c *results.Cell) (n int, short bool) {
	n = c.Taken()
	if c.CutShort() && c.Settings != nil { // its reason says how many
		return max(c.Settings.Samples, n), false
	}
	ended := c.Status == results.CellUnsupported || c.Status == results.CellNoImage || c.Status == results.CellFailed && n == 0
	if g.cut == "" || ended || c.Settings == nil || c.Stopped != nil {
		return n, false
	}
	if c.Settings.Until != nil {
		return max(c.Settings.Samples, n), true
	}
	return max(c.Settings.Samples, n), c.Settings.Samples > n
}

// groups splits the cells by accelerator, experiment and level of probes, in the
// order of their first cell.
func groups(cells []results.Cell) []group {
	var gs []group
	for i := range cells {
		c := &cells[i]
		accel, probes := howMeasured(c)
		at := slices.IndexFunc(gs, func(g group) bool { return g.accel == accel && g.experiment == c.Experiment && g.probes == probes })
		if at < 0 {
			at = len(gs)
			gs = append(gs, group{accel: accel, experiment: c.Experiment, probes: probes})
		}
		gs[at].cells = append(gs[at].cells, c)
	}
	return gs
}

// howMeasured is what cells of one table have in common; "" and "" of those that it did not
// come to, which have a table of their own. Sizes of files are all in one.
func howMeasured(c *results.Cell) (accel, probes string) {
	accel, probes = c.Accel, cmp.Or(c.Probes, results.ProbesBoot)
	switch {
	case c.Experiment == imageSize:
		return "none", results.ProbesBoot
	case accel == "" && len(c.Samples) == 0:
		return "", ""
	}
	return cmp.Or(accel, "none"), probes
}

func (o Options) heading(g group) string {
	out := o.Clean(g.experiment) + ", accelerator " + o.Clean(g.accel)
	switch {
	case g.experiment == imageSize:
		return imageSize
	case g.accel == "":
		return o.Clean(g.experiment) + ", not measured"
	case g.accel == "none":
		out = o.Clean(g.experiment) + ", no accelerator"
	}
	switch g.probes {
	case "", results.ProbesBoot:
		return out
	case results.ProbesNone:
		return out + ", probes none (user space's clock: upper bounds)"
	}
	return out + ", probes " + o.Clean(g.probes)
}

// phase is a metric of a boot and the title of its column.
type phase struct{ metric, title string }

var phases = []phase{
	{"vmm_ns", "VMM"}, {"firmware_ns", "firmware"}, {"guest_ns", "guest"}, {"total_ns", "total"},
}

func (o Options) block(b *strings.Builder, g group) {
	b.WriteString(o.Paint(text.Bold, o.heading(g)) + "\n")
	t := table.NewWriter()
	t.SetStyle(o.TableStyle())
	header := table.Row{"system", "app", "platform", "ok/n"}
	for _, p := range g.columns() {
		header = append(header, p.title)
	}
	if g.interference() {
		header = append(header, "disturbed")
	}
	t.AppendHeader(append(header, "taints"))
	t.SetColumnConfigs(columns(len(header) + 1))
	var notes []string
	for _, r := range g.rows() {
		row, note := o.row(g, r.cell, len(notes)+1)
		if note != "" && r.again { // as the row before
			row, _ = o.row(g, r.cell, len(notes))
		} else if note != "" {
			notes = append(notes, note)
		}
		t.AppendRow(row)
	}
	writeTable(b, t)
	for _, n := range notes {
		b.WriteString(Wrap(n, o.width(), 4) + "\n")
	}
	if g.likeBoot() {
		o.parts(b, g)
	}
	o.rounds(b, g)
}

func writeTable(b *strings.Builder, t table.Writer) { b.WriteString(RenderTable(t)) }

// RenderTable is a table as it is printed: each line with its end, and without blanks
// before that.
func RenderTable(t table.Writer) string {
	var b strings.Builder
	for _, line := range strings.Split(t.Render(), "\n") {
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}

func columns(n int) []table.ColumnConfig {
	cs := make([]table.ColumnConfig, n)
	for i := range cs {
		cs[i] = table.ColumnConfig{Number: i + 1, Align: text.AlignRight, AlignHeader: text.AlignRight}
		if i < 3 {
			cs[i] = nameColumn(i + 1)
		}
	}
	return cs
}

func nameColumn(number int) table.ColumnConfig {
	const width = 16
	return table.ColumnConfig{Number: number, WidthMax: width, WidthMaxEnforcer: text.WrapText}
}

// TableStyle is how tables are drawn.
func (o Options) TableStyle() table.Style {
	s := table.StyleLight
	if o.ASCII {
		s = table.StyleDefault
	}
	s.Format.Header = text.FormatDefault
	s.Options = table.Options{SeparateHeader: true}
	s.Box.PaddingLeft = ""
	return s
}

// row returns a cell's row, and its footnote with the given number where it
// needs one.
func (o Options) row(g group, c *results.Cell, number int) (table.Row, string) {
	ok, tainted := c.OKSamples(), taintedSamples(c)
	mark, note := "", o.note(c)
	note = o.boundNote(c, g.columns(), note)
	asked, short := g.asked(c)
	if short {
		note = strings.TrimPrefix(note+"; "+g.cutShort(c, asked), "; ")
	}
	if note != "" {
		mark = fmt.Sprintf("[%d]", number)
		note = mark + " " + note
	}
	row := table.Row{o.Clean(c.System), o.Clean(c.App), o.platform(c), strings.TrimSuffix(fmt.Sprintf("%d/%d\n%s", ok, asked, mark), "\n")}
	if !c.HasFigures() {
		row = append(row, o.Paint(statusColor(c.Status), o.Clean(StatusWord(c.Status))))
		for range g.columns()[1:] {
			row = append(row, "")
		}
	} else {
		for _, p := range g.columns() {
			row = append(row, o.figure(c, p.metric))
		}
	}
	if g.interference() {
		row = append(row, o.disturbed(c))
	}
	taints := fmt.Sprint(tainted)
	if tainted > 0 {
		taints = o.Paint(text.FgYellow, taints)
	}
	return append(row, taints), note
}

// boundNote adds to a row's note why figures of it are bounds.
func (o Options) boundNote(c *results.Cell, columns []phase, note string) string {
	for _, p := range columns {
		words := someBound(c, p.metric)
		if b, ok := boundOf(c, p.metric); ok && words == "" {
			words = b.Why
		}
		if words != "" {
			note = strings.TrimPrefix(note+"; "+o.Clean(words), "; ")
		}
	}
	return note
}

// cutOf is how a run ended before its last sample, "" if it did not.
func cutOf(f *results.File) string {
	if s := f.Run.Status; s == results.RunInterrupted || s == results.RunKilled {
		return s
	}
	return ""
}

// cutShort says what a run that was interrupted or killed has not taken of a cell.
func (g group) cutShort(c *results.Cell, asked int) string {
	if n := c.Taken(); n < asked || c.Settings.Until == nil {
		return fmt.Sprintf("%s: %d of %s were taken", g.cut, n, counted(asked, "sample"))
	}
	return fmt.Sprintf("%s after %s, before its stopping rule (±%d %%) was met", g.cut, counted(c.Taken(), "sample"), c.Settings.Until.WithinPercent)
}

// platform is a cell's platform, and below it what tells the cell from others on it.
func (o Options) platform(c *results.Cell) string {
	name := o.Clean(c.Platform)
	for _, word := range c.Variant().Words() {
		name += "\n" + o.Clean(word)
	}
	return name
}

func (o Options) figure(c *results.Cell, metric string) string {
	if s, ok := c.Summary[metric]; ok {
		return o.narrow(metric, s)
	}
	if b, ok := boundOf(c, metric); ok {
		return o.boundWords(metric, b)
	}
	return o.Pick("–", "-")
}

// StatusWord is a cell's status for people.
func StatusWord(status string) string {
	if status == results.CellNoImage {
		return "image not given"
	}
	return status
}

func statusColor(status string) text.Color {
	if status == results.CellFailed {
		return text.FgRed
	}
	return text.Faint
}

// note is what a reader of the cell's row must know besides its figures.
func (o Options) note(c *results.Cell) string { return strings.Join(o.notes(c), "; ") }

// notes are the parts of note.
func (o Options) notes(c *results.Cell) []string {
	var parts []string
	if c.Status != results.CellOK {
		words := o.Clean(StatusWord(c.Status)) + ": " + o.reason(c)
		if c.CutShort() {
			words = o.interruptedWords(c)
		}
		parts = append(parts, words)
	} else if c.Reason != "" {
		parts = append(parts, o.Clean(c.Reason))
	}
	if c.HasFigures() {
		parts = append(parts, timedOut(c)...)
	}
	if n := c.Taken(); n < len(c.Samples) {
		parts = append(parts, repeats(c, n))
	}
	if c.Stopped != nil {
		parts = append(parts, o.Clean(strings.ReplaceAll(c.Stopped.Reason, "±", o.plusMinus())))
	}
	parts = append(parts, o.mixedRungs(c)...)
	parts = append(parts, o.madeHow(c)...)
	parts = append(parts, addressWords(c)...)
	if s, ok := c.Summary[quantilesRate]; ok {
		parts = append(parts, fmt.Sprintf("quantiles are of another run, at %s/s", o.quantity(quantilesRate, s.Median)))
	}
	return parts
}

// reason is a cell's, for what it is.
func (o Options) reason(c *results.Cell) string {
	if reason := o.Clean(c.Reason); reason != "" {
		return reason
	}
	return "no reason was given"
}

// quantilesRate is the rate of the run that a load's quantiles are of, where all else is of
// another one.
const quantilesRate = "quantiles_requests_per_second"

// madeHow says of an image what no figure does, without which figures do not compare.
func (o Options) madeHow(c *results.Cell) []string {
	if c.Experiment != imageSize || len(c.Samples) == 0 {
		return nil
	}
	facts := c.Samples[len(c.Samples)-1].Facts
	var out []string
	for _, f := range []struct{ name, words string }{
		{"unikernel_stripped", "stripped: "}, {"kernel_stripped", "kernel stripped: "}, {"app_stripped", "app stripped: "},
		{"optimisations", "optimisations "}, {"libc", "C library "},
	} {
		text := facts[f.name]
		if text == "" {
			continue
		}
		if less, ok := c.Summary[f.name+"_bytes"]; ok && text != "yes" {
			text += " (" + o.quantity(f.name+"_bytes", less.Median) + " without)"
		}
		out = append(out, o.Clean(f.words+text))
	}
	return out
}

// timedOut says how the samples that timed out are counted.
func timedOut(c *results.Cell) []string {
	n, ok := c.TimedOut(), c.OKSamples()
	if n == 0 || ok == 0 {
		return nil
	}
	after := timeLimits(c)
	if after != "" {
		after = " after " + after
	}
	how := "in total they count as longer than all others"
	if n >= ok {
		how = "total has no median, for that is one of them"
	}
	return []string{fmt.Sprintf("%d of %d timed out%s: %s; the other figures are of the %d that did not", n, n+ok, after, how, ok)}
}

// timeLimits are those under which a cell's samples timed out, "" if they are not known:
// the one of its settings, or those that were learnt.
func timeLimits(c *results.Cell) string {
	var least, most float64
	for _, i := range c.Standing() {
		s := &c.Samples[i]
		if limit, ok := s.Values[results.TimeLimitNs]; ok && s.Status == results.SampleTimeout {
			if least == 0 || limit < least {
				least = limit
			}
			most = max(most, limit)
		}
	}
	text := func(ns float64) string { return time.Duration(ns).Round(time.Millisecond).String() }
	switch {
	case most > least:
		return text(least) + " to " + text(most)
	case most > 0:
		return text(most)
	case c.Settings == nil || c.Settings.TimeoutNs <= 0:
		return ""
	}
	return time.Duration(c.Settings.TimeoutNs).String()
}

// mixedRungs names the events that were not taken by the same rung in every ok
// sample that counts: their figures must not be read as one.
func (o Options) mixedRungs(c *results.Cell) []string {
	var out []string
	for name, rs := range c.EventRungs() {
		if len(rs) > 1 {
			out = append(out, o.Clean(name+" comes from different rungs: "+strings.Join(rs, ", ")))
		}
	}
	slices.Sort(out)
	return out
}

// legend explains the table: what stands below a median, and what the samples were tainted by.
func (o Options) legend(cells []results.Cell) []string {
	interval, few, beyond := false, false, false
	taints := map[string]int{}
	for i := range cells {
		c := &cells[i]
		g := group{experiment: c.Experiment}
		shown := slices.Clone(g.columns())
		if g.likeBoot() {
			shown = append(shown, parts...)
		}
		for _, p := range shown {
			if s, ok := c.Summary[p.metric]; ok && c.Experiment != imageSize && c.Experiment != aslr { // whose figures are no medians
				interval = interval || s.CI95 != nil
				few = few || s.CI95 == nil && s.N < results.LeastForInterval
				beyond = beyond || s.CI95 == nil && s.N >= results.LeastForInterval
			}
		}
		for _, j := range c.Standing() {
			for _, t := range c.Samples[j].Taints {
				taints[o.Clean(kindOfTaint(t))]++
			}
		}
	}
	var out []string
	if interval {
		out = append(out, "Medians; below each the two ends of its 95 % interval, in the same unit.")
	}
	switch {
	case few && beyond:
		out = append(out, "A median without an interval has fewer than 6 samples, or the interval's end timed out.")
	case few:
		out = append(out, "A median without an interval has fewer than 6 samples.")
	case beyond:
		out = append(out, "A median has no interval where the interval's end timed out.")
	}
	if len(taints) > 0 {
		out = append(out, "Taints: "+o.countedTaints(taints)+".")
	}
	return out
}

// resumed says that a run has parts, and on what it went on.
func (o Options) resumed(f *results.File) []string {
	n := len(f.Run.Parts)
	if n < 2 {
		return nil
	}
	line := fmt.Sprintf("The run was interrupted and resumed %d times.", n-1)
	if n == 2 {
		line = fmt.Sprintf("The run was interrupted after %d samples and resumed.", f.Run.Parts[1].From)
	}
	for _, p := range f.Run.Parts {
		if len(p.Differences) > 0 {
			line += fmt.Sprintf(" After %d samples it went on with --force, with differences: %s.", p.From, o.Clean(strings.Join(p.Differences, "; ")))
		}
	}
	return []string{line}
}

// measured is what of a taint differs from sample to sample.
var measured = regexp.MustCompile(` (ran|took) [0-9.]+(ns|µs|ms|s|m[0-9.]+s) \([0-9.]+ %\)| \([0-9.]+ %\)`)

// kindOfTaint is a taint without its figures: so many samples were disturbed by the
// same.
func kindOfTaint(t string) string { return measured.ReplaceAllString(t, "") }

// countedTaints lists the most frequent taints.
func (o Options) countedTaints(taints map[string]int) string {
	const most = 5
	names := make([]string, 0, len(taints))
	for t := range taints {
		names = append(names, t)
	}
	slices.SortFunc(names, func(a, b string) int {
		if d := taints[b] - taints[a]; d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	rest := ""
	if len(names) > most {
		rest = fmt.Sprintf(", and %d more kinds", len(names)-most)
		names = names[:most]
	}
	for i, t := range names {
		names[i] = fmt.Sprintf("%s (%d)", t, taints[t])
	}
	return strings.Join(names, ", ") + rest
}
