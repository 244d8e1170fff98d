// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"strings"

	"github.com/ukprobe/ukprobe/results"
)

// entryWords are the lines of an entry: a figure and its interval, or a word for why
// there is none. Footnotes are not in it. An entry is never empty: one that only repeats
// its neighbour's word has its footnotes alone, or a dash.
func (o Options) entryWords(e Entry) []string {
	switch {
	case e.Text != "":
		return []string{o.words(e.Text)}
	case e.Bound != nil:
		return []string{o.boundWords(e.Metric, *e.Bound)}
	case e.Summary != nil:
		return strings.Split(o.summary(e.Metric, *e.Summary), "\n")
	case e.Again && len(e.Notes) > 0:
		return nil
	}
	switch e.Status {
	case EntryAbsent, EntryMissing:
		return []string{o.Pick("–", "-")}
	case EntryNoData, results.CellSkipped:
		return []string{"not run"}
	case results.CellNoImage:
		return []string{"no image"}
	}
	return []string{o.Clean(e.Status)}
}

// marks are an entry's footnotes: [1,2].
func marks(notes []int) string {
	if len(notes) == 0 {
		return ""
	}
	words := make([]string, len(notes))
	for i, n := range notes {
		words[i] = fmt.Sprint(n)
	}
	return "[" + strings.Join(words, ",") + "]"
}

// heading is the title of a column with that of its group.
func (c Column) heading() string {
	if c.Group == "" {
		return c.Title
	}
	return c.Group + ", " + c.Title
}

// ascii makes a text of ours fit for a device that shows nothing but ASCII.
var ascii = strings.NewReplacer("±", "+-", "µ", "u", "–", "-", "×", "x", "“", `"`, "”", `"`, "…", "...", "≥", ">=", "ρ", "rho")

// words makes a text safe to print on one line of the device.
func (o Options) words(s string) string {
	if o.ASCII {
		s = ascii.Replace(s)
	}
	return o.Clean(s)
}
