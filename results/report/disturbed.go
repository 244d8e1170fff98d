// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/ukprobe/ukprobe/results"
)

// counted is a number of things: "1 sample", "2 samples".
func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// interference tells whether somebody looked who else ran.
func (g group) interference() bool {
	return slices.ContainsFunc(g.cells, func(c *results.Cell) bool { _, known := c.DisturbedSamples(); return known })
}

// disturbed is how many of a cell's samples that count were disturbed.
func (o Options) disturbed(c *results.Cell) string {
	n, known := c.DisturbedSamples()
	of := len(c.Standing())
	switch {
	case of == 0:
		return ""
	case !known:
		return o.Pick("–", "-")
	case n == 0:
		return fmt.Sprintf("0/%d", of)
	}
	return o.Paint(text.FgYellow, fmt.Sprintf("%d/%d", n, of))
}

// repeats says what came of taking disturbed samples again.
func repeats(c *results.Cell, n int) string {
	again := counted(len(c.Samples)-n, "repeat")
	d, _ := c.DisturbedSamples()
	switch {
	case d == 0:
		return fmt.Sprintf("%s (+%s of disturbed ones)", counted(n, "sample"), again)
	case d == n && n == 1:
		return fmt.Sprintf("1 sample, still disturbed after %s", again)
	case d == n:
		return fmt.Sprintf("%d samples, all still disturbed after %s", n, again)
	}
	return fmt.Sprintf("%s, %d of them still disturbed after %s", counted(n, "sample"), d, again)
}

// lasting are the taints that every sample has because of the CPU plan or of a setting that
// the host does not have: they are said once, below the table.
var lasting = regexp.MustCompile(`, which is not isolated$|^cpu plan: | share cpus? | not set: `)

// taintedSamples is how many of a cell's samples that count have a taint of their own.
func taintedSamples(c *results.Cell) int {
	n := 0
	for _, i := range c.Standing() {
		if slices.ContainsFunc(c.Samples[i].Taints, func(t string) bool { return !lasting.MatchString(t) }) {
			n++
		}
	}
	return n
}
