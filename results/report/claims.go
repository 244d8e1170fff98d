// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
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
// each. A row's figures are those of the sample whose deviation is the median.
func Claims(w io.Writer, f *results.File, o Options) error {
	var b strings.Builder
	for i := range f.Cells {
		if i > 0 {
			b.WriteByte('\n')
		}
		o.claimsBlock(&b, &f.Cells[i])
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (o Options) claimsBlock(b *strings.Builder, c *results.Cell) {
	b.WriteString(o.paint(text.Bold, o.guest(c)) + "\n")
	groups := claimGroups(c)
	if len(groups) == 0 {
		b.WriteString(wrap(o.noClaims(c), o.width(), 0) + "\n")
		return
	}
	t := table.NewWriter()
	t.SetStyle(o.style())
	t.AppendHeader(table.Row{"claim", "verdict", "n", "it says", "host saw", "off by", o.plusMinus(), ""})
	t.SetColumnConfigs(claimColumns())
	var notes []string
	for _, g := range groups {
		notes = append(notes, fmt.Sprintf("[%d] %s", len(notes)+1, o.claimSentence(g)))
		t.AppendRow(o.claimRow(g, len(notes)))
	}
	for _, line := range strings.Split(t.Render(), "\n") {
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	for _, n := range notes {
		b.WriteString(wrap(n, o.width(), 4) + "\n")
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

// claimGroup is one claim of a cell, in all its ok samples.
type claimGroup struct {
	name   string
	claims []results.Claim
	counts map[string]int // by status
	// middle is the one whose deviation is the median, or the first if none has one.
	middle results.Claim
}

// claimGroups puts the claims of a cell's ok samples together, in the order of
// their first appearance, controls last.
func claimGroups(c *results.Cell) []claimGroup {
	var out []claimGroup
	for i := range c.Samples {
		if c.Samples[i].Status != results.SampleOK {
			continue
		}
		for _, one := range c.Samples[i].Claims {
			at := slices.IndexFunc(out, func(g claimGroup) bool {
				return g.name == one.Name && g.claims[0].ControlNS == one.ControlNS
			})
			if at < 0 {
				at = len(out)
				out = append(out, claimGroup{name: one.Name, counts: map[string]int{}})
			}
			out[at].claims = append(out[at].claims, one)
			out[at].counts[one.Status]++
		}
	}
	for i := range out {
		out[i].middle = middleClaim(out[i].claims)
	}
	slices.SortStableFunc(out, func(a, b claimGroup) int {
		return cmp.Compare(abs(a.middle.ControlNS), abs(b.middle.ControlNS))
	})
	return out
}

func abs(n int64) int64 {
	if n < 0 {
		return -n
	}
	return n
}

func middleClaim(claims []results.Claim) results.Claim {
	var told []results.Claim
	for _, c := range claims {
		if c.OffNS != nil && c.ErrNS != nil {
			told = append(told, c)
		}
	}
	if len(told) == 0 {
		return claims[0]
	}
	slices.SortStableFunc(told, func(a, b results.Claim) int { return cmp.Compare(*a.OffNS, *b.OffNS) })
	return told[(len(told)-1)/2]
}

func (o Options) guest(c *results.Cell) string {
	name := o.clean(c.System + "/" + c.App + "/" + c.Platform)
	if c.Accel != "" && c.Accel != "none" {
		name += ", " + o.clean(c.Accel)
	}
	return name
}

func (o Options) noClaims(c *results.Cell) string {
	switch {
	case c.Status != results.CellOK:
		return o.note(c)
	case c.Experiment != "timing-validation":
		return "Claims are looked for in the experiment timing-validation; this is " + o.clean(c.Experiment) + "."
	}
	return "The guest printed nothing that is known as a claim: give its pattern in the matrix (claims:)."
}

func (o Options) claimRow(g claimGroup, note int) table.Row {
	m := g.middle
	row := table.Row{g.title(o), o.verdictWord(m), fmt.Sprintf("%d/%d", g.counts[m.Status], len(g.claims)),
		o.optional(m.ClaimNS), o.optional(m.HostNS)}
	mark := fmt.Sprintf("[%d]", note)
	if m.OffNS == nil || m.ErrNS == nil {
		return append(row, o.pick("–", "-"), "", mark)
	}
	return append(row, o.delta(float64(*m.OffNS)), o.duration(float64(*m.ErrNS)), mark)
}

func (g claimGroup) title(o Options) string {
	if g.middle.ControlNS != 0 {
		return "control, " + o.delta(float64(g.middle.ControlNS))
	}
	return o.clean(g.name)
}

func (o Options) verdictWord(c results.Claim) string {
	switch c.Status {
	case results.ClaimAgrees:
		return "agrees"
	case results.ClaimOff:
		return o.paint(text.FgYellow, "off")
	}
	return o.paint(text.Faint, "cannot be told")
}

func (o Options) optional(ns *int64) string {
	if ns == nil {
		return o.pick("–", "-")
	}
	return o.delta(float64(*ns))
}

// claimSentence is a claim's verdict in words.
func (o Options) claimSentence(g claimGroup) string {
	m := g.middle
	if m.OffNS == nil || m.ErrNS == nil {
		return fmt.Sprintf("%s cannot be told: %s.%s", g.title(o), o.clean(m.Reason), o.leavesOut(m))
	}
	s := g.title(o) + " "
	if m.ControlNS != 0 {
		s = fmt.Sprintf("Control: %s under a mapping that is wrong by %s on purpose ", o.clean(g.name), o.delta(float64(m.ControlNS)))
	}
	if m.Status == results.ClaimAgrees {
		s += "agrees within " + o.duration(float64(abs(*m.OffNS)+*m.ErrNS))
	} else {
		s += fmt.Sprintf("is off by %s %s %s", o.delta(float64(*m.OffNS)), o.plusMinus(), o.duration(float64(*m.ErrNS)))
	}
	s += " (" + o.terms(m) + ")"
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
		s += "; TSC: " + o.clean(m.Mapping)
	}
	return s + "." + o.leavesOut(m)
}

// terms lists what the error is made of.
func (o Options) terms(c results.Claim) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(c.Terms)) {
		parts = append(parts, o.clean(name)+" "+o.duration(float64(c.Terms[name])))
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
		parts = append(parts, o.clean(s.Name)+" "+o.duration(float64(s.NS)))
	}
	out := fmt.Sprintf(" It leaves out %s since the VMM's exec: %s", o.duration(float64(sum)), strings.Join(parts, "; "))
	if c.NotApart != "" {
		out += " (" + o.clean(c.NotApart) + ")"
	}
	return out + "."
}
