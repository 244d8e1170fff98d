// SPDX-License-Identifier: Apache-2.0

package report

import (
	"slices"
	"strings"
)

// trim leaves out the rows and columns of the evaluation's layout that the run has no cell
// for, and says which in a line: empty ones would hide the figures of the others.
func (g *Grid) trim() {
	absent := func(e Entry) bool { return e.Status == EntryAbsent }
	var rows, columns []string
	g.Rows = slices.DeleteFunc(g.Rows, func(r Row) bool {
		empty := len(r.Entries) > 0 && !slices.ContainsFunc(r.Entries, func(e Entry) bool { return !absent(e) })
		if empty {
			rows = append(rows, r.Heads[0])
		}
		return empty
	})
	if g.trimmed = true; len(g.Rows) == 0 {
		return
	}
	for from := len(g.Columns); from > 0; {
		to := from
		for from--; from > 0 && g.Columns[from].Group != "" && g.Columns[from-1].Group == g.Columns[from].Group; {
			from--
		}
		if slices.ContainsFunc(g.Rows, func(r Row) bool {
			return slices.ContainsFunc(r.Entries[from:to], func(e Entry) bool { return !absent(e) })
		}) {
			continue
		}
		name := g.Columns[from].Group
		if name == "" {
			name = g.Columns[from].Title
		}
		columns = append([]string{name}, columns...)
		g.Columns = slices.Delete(g.Columns, from, to)
		for i := range g.Rows {
			g.Rows[i].Entries = slices.Delete(g.Rows[i].Entries, from, to)
		}
	}
	if !slices.ContainsFunc(g.Rows, func(r Row) bool { return slices.ContainsFunc(r.Entries, absent) }) {
		g.Legend = slices.DeleteFunc(g.Legend, func(line string) bool { return line == absentLegend })
	}
	var left []string
	if len(rows) > 0 {
		left = append(left, plural(len(rows), "row")+" "+enumerated(rows))
	}
	if len(columns) > 0 {
		left = append(left, plural(len(columns), "column")+" "+enumerated(columns))
	}
	if len(left) > 0 {
		g.Legend = append(g.Legend, "Not in the run and left out: "+strings.Join(left, "; ")+". With --whole they have their place.")
	}
}

// absentLegend explains the word of an entry that the run has no cell for.
const absentLegend = "– : not in the run."

// plural is a word for so many things, without their number.
func plural(n int, what string) string {
	if n == 1 {
		return what
	}
	return what + "s"
}

// enumerated is a list as a sentence has it.
func enumerated(words []string) string {
	words = slices.Compact(slices.Clone(words))
	if n := len(words); n > 1 {
		return strings.Join(words[:n-1], ", ") + " and " + words[n-1]
	}
	return strings.Join(words, "")
}
