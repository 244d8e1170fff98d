// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"

	"github.com/ukprobe/ukprobe/results"
)

// interruptedWords say of a cell that was cut short why it has no more samples.
func (o Options) interruptedWords(c *results.Cell) string {
	return results.RunInterrupted + ": " + o.reason(c)
}

// fewer says of a cell with figures that an end of the run has left it fewer samples than it
// was to have, "" if that is not so: wherever its figures are shown this is, in the same words.
func (g group) fewer(o Options, c *results.Cell) string {
	if c.CutShort() {
		return o.interruptedWords(c)
	}
	if asked, short := g.asked(c); short && c.HasFigures() {
		return g.cutShort(c, asked)
	}
	return ""
}

// fewer is that of a cell and its run.
func (c *sourced) fewer() string {
	g := group{experiment: c.Experiment, cut: c.cut}
	return c.general(g.fewer(Options{}, c.Cell))
}

// fewerNotes are those of a figure of several cells: each with its label.
func fewerNotes(cells []sourced, label func(sourced) string) []string {
	var out []string
	for _, c := range cells {
		if words := c.fewer(); words != "" {
			out = append(out, fmt.Sprintf("%s: %s", label(c), words))
		}
	}
	return out
}

// rowNotes are those of a row that is about one cell.
func (c *sourced) rowNotes(more ...string) []string {
	if words := c.fewer(); words != "" {
		return append([]string{words}, more...)
	}
	return more
}
