// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/ukprobe/ukprobe/results"
)

// Claims writes what the guests of a run said of their own time beside what the
// host saw: for each guest a row for each claim, and below them a sentence for
// each. All rows of a guest are of one boot, so that they compare: the one that is
// nearest to the medians.
func Claims(w io.Writer, f *results.File, o Options) error {
	var b strings.Builder
	for i := range f.Cells {
		if i > 0 {
			b.WriteByte('\n')
		}
		o.claimsBlock(&b, &f.Cells[i])
		if words := (group{cut: cutOf(f)}).fewer(o, &f.Cells[i]); words != "" {
			b.WriteString(Wrap(words, o.width(), 0) + "\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (o Options) claimsBlock(b *strings.Builder, c *results.Cell) {
	b.WriteString(o.Paint(text.Bold, o.guest(c)) + "\n")
	groups, boot := claimGroups(c)
	if len(groups) == 0 {
		b.WriteString(Wrap(o.noClaims(c), o.width(), 0) + "\n")
		return
	}
	t := table.NewWriter()
	t.SetStyle(o.TableStyle())
	t.AppendHeader(table.Row{"claim", "verdict", "n", "it says", "host saw", "off by", o.plusMinus(), ""})
	t.SetColumnConfigs(claimColumns())
	var notes []string
	for _, g := range groups {
		notes = append(notes, fmt.Sprintf("[%d] %s", len(notes)+1, o.claimSentence(g)))
		t.AppendRow(o.claimRow(g, len(notes)))
	}
	writeTable(b, t)
	if n := len(c.Samples); n > 1 {
		b.WriteString(Wrap(fmt.Sprintf("Rows are of boot %d of %d, the nearest to the medians.", boot+1, n), o.width(), 0) + "\n")
	}
	for _, n := range notes {
		b.WriteString(Wrap(n, o.width(), 4) + "\n")
	}
}

func claimColumns() []table.ColumnConfig {
	const nameWidth = 22
	cs := make([]table.ColumnConfig, 8)
	for i := range cs {
		cs[i] = table.ColumnConfig{Number: i + 1, Align: text.AlignRight, AlignHeader: text.AlignRight}
	}
	cs[0] = table.ColumnConfig{Number: 1, WidthMax: nameWidth, WidthMaxEnforcer: text.WrapHard}
	cs[1] = table.ColumnConfig{Number: 2}
	return cs
}

func (o Options) guest(c *results.Cell) string {
	name := o.Clean(c.System + "/" + c.App + "/" + c.Platform)
	if c.Accel != "" && c.Accel != "none" {
		name += ", " + o.Clean(c.Accel)
	}
	return name
}

func (o Options) noClaims(c *results.Cell) string {
	switch {
	case !c.HasFigures():
		return o.note(c)
	case c.Experiment != "timing-validation":
		return "Claims are looked for in the experiment timing-validation; this is " + o.Clean(c.Experiment) + "."
	}
	return "The guest printed nothing that is known as a claim: give its pattern in the matrix (claims:)."
}

func (o Options) claimRow(g claimGroup, note int) table.Row {
	m := g.shown
	n := g.counts[m.Status]
	if m.Text == "" { // no line says so
		n = 0
	}
	row := table.Row{g.title(o), o.verdictWord(m), fmt.Sprintf("%d/%d", n, len(g.claims)),
		o.optional(m.ClaimNS), o.optional(m.HostNS)}
	mark := fmt.Sprintf("[%d]", note)
	if m.OffNS == nil || m.ErrNS == nil {
		return append(row, o.Pick("–", "-"), "", mark)
	}
	return append(row, o.delta(float64(*m.OffNS)), o.duration(float64(*m.ErrNS)), mark)
}

func (g claimGroup) title(o Options) string {
	if g.shown.ControlNS != 0 {
		return "control, " + o.delta(float64(g.shown.ControlNS))
	}
	return o.Clean(g.name)
}

func (o Options) verdictWord(c results.Claim) string {
	switch c.Status {
	case results.ClaimAgrees:
		return "agrees"
	case results.ClaimOff:
		return o.Paint(text.FgYellow, "off")
	}
	return o.Paint(text.Faint, "cannot be told")
}

func (o Options) optional(ns *int64) string {
	if ns == nil {
		return o.Pick("–", "-")
	}
	return o.delta(float64(*ns))
}

// claimSentence is a claim's verdict in words.
func (o Options) claimSentence(g claimGroup) string {
	m := g.shown
	if m.OffNS == nil || m.ErrNS == nil {
		return fmt.Sprintf("%s cannot be told: %s.%s", g.title(o), o.Clean(m.Reason)+g.unmatched(), o.leavesOut(m))
	}
	s := g.title(o) + " "
	if m.ControlNS != 0 {
		s = fmt.Sprintf("Control: %s under a mapping that is wrong by %s on purpose ", o.Clean(g.name), o.delta(float64(m.ControlNS)))
	}
	off, within := o.delta(float64(*m.OffNS)), o.plusMinus()+" "+o.duration(float64(*m.ErrNS))
	if m.Status == results.ClaimAgrees {
		s += "agrees: off by " + off + ", within " + within
	} else {
		s += "is off by " + off + " " + within
	}
	s += " (" + o.terms(m) + ")"
	if m.Against != "" && m.ControlNS == 0 {
		s += ", held against " + o.Clean(m.Against)
	}
	if m.Rate != nil {
		s += fmt.Sprintf("; its clock counts %.6f s in a second of the host, by %d stamps", 1 / *m.Rate, m.Stamps)
		if m.Earlier > 0 {
			s += fmt.Sprintf(" since it was set back (%d before)", m.Earlier)
		}
	}
	if m.LagMedianNS != nil && m.LagMaxNS != nil {
		s += fmt.Sprintf("; a line leaves it %s after its stamp (median; at most %s)", o.duration(float64(*m.LagMedianNS)), o.duration(float64(*m.LagMaxNS)))
	}
	if m.Mapping != "" && m.ControlNS == 0 {
		s += "; TSC: " + o.Clean(m.Mapping)
	}
	if g.elsewhere {
		s += "; it is of another boot, as this one has none"
	}
	return s + "." + o.leavesOut(m)
}

// terms lists what the error is made of.
func (o Options) terms(c results.Claim) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(c.Terms)) {
		parts = append(parts, o.Clean(name)+" "+o.duration(float64(c.Terms[name])))
	}
	return strings.Join(parts, ", ")
}

func (o Options) leavesOut(c results.Claim) string {
	if len(c.LeavesOut) == 0 {
		return ""
	}
	var sum int64
	var parts []string
	for _, s := range c.LeavesOut {
		sum += s.NS
		parts = append(parts, o.Clean(s.Name)+" "+o.duration(float64(s.NS)))
	}
	out := fmt.Sprintf(" It leaves out %s since the VMM's exec: %s", o.duration(float64(sum)), strings.Join(parts, "; "))
	if c.NotApart != "" {
		out += " (" + o.Clean(c.NotApart) + ")"
	}
	return out + "."
}
