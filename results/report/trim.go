// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"slices"
	"strings"
)

// trim leaves out the rows and columns of the evaluation's layout that the run has no cell
// for, and the parts of a figure (the VMM's time) that no row has: empty ones would hide the
// figures of the others. A line says which.
func (g *Grid) trim() {
	var rows, columns, parts []string
	g.Rows = slices.DeleteFunc(g.Rows, func(r Row) bool {
		empty := len(r.Entries) > 0 && !slices.ContainsFunc(r.Entries, func(e Entry) bool { return e.Status != EntryAbsent })
		if empty {
			rows = append(rows, r.Heads[0])
		}
		return empty
	})
	if g.trimmed = true; len(g.Rows) == 0 {
		return
	}
	for _, span := range slices.Backward(g.groups()) {
		if !g.some(span.from, span.to, func(e Entry) bool { return e.Status != EntryAbsent }) {
			columns = append([]string{g.Columns[span.from].group()}, columns...)
			g.drop(span.from, span.to)
			continue
		}
		said := func(e Entry) bool { return e.Status != EntryAbsent && (e.Status != EntryMissing || e.Bound != nil) }
		if !g.some(span.from, span.to, said) {
			continue // no part of the figure says more than another
		}
		group := g.Columns[span.from].group()
		var titles, why []string
		for i := span.to - 1; i >= span.from; i-- {
			if !g.some(i, i+1, said) {
				titles, why = append([]string{g.Columns[i].Title}, titles...), append(g.why(i), why...)
				g.drop(i, i+1)
			}
		}
		if len(titles) > 0 {
			slices.Sort(why)
			parts = append([]string{fmt.Sprintf("%s of %s (%s)", enumerated(titles), group, strings.Join(slices.Compact(why), "; "))}, parts...)
		}
	}
	g.renumber()
	if !g.some(0, len(g.Columns), func(e Entry) bool { return e.Status == EntryAbsent }) {
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
	if len(parts) > 0 {
		g.Legend = append(g.Legend, "Left out because no row has a figure: "+strings.Join(parts, "; ")+".")
	}
}

// span are neighbouring columns of one group.
type span struct{ from, to int }

func (g *Grid) groups() []span {
	var out []span
	for i, c := range g.Columns {
		if i > 0 && c.Group != "" && c.Group == g.Columns[i-1].Group {
			out[len(out)-1].to++
		} else {
			out = append(out, span{i, i + 1})
		}
	}
	return out
}

// group is a column's group, or itself.
func (c Column) group() string {
	if c.Group == "" {
		return c.Title
	}
	return c.Group
}

// some tells whether an entry in the columns is such.
func (g *Grid) some(from, to int, such func(Entry) bool) bool {
	return slices.ContainsFunc(g.Rows, func(r Row) bool { return slices.ContainsFunc(r.Entries[from:to], such) })
}

// drop takes columns out.
func (g *Grid) drop(from, to int) {
	g.Columns = slices.Delete(g.Columns, from, to)
	for i := range g.Rows {
		g.Rows[i].Entries = slices.Delete(g.Rows[i].Entries, from, to)
	}
}

// why says why the entries of a column have no figures.
func (g *Grid) why(column int) []string {
	var out []string
	for _, r := range g.Rows {
		for _, n := range r.Entries[column].Notes {
			if !slices.Contains(out, g.Notes[n-1]) {
				out = append(out, g.Notes[n-1])
			}
		}
	}
	return out
}

// renumber drops the footnotes that no entry has any more.
func (g *Grid) renumber() {
	var notes []string
	number := map[int]int{}
	for was, text := range g.Notes {
		if g.some(0, len(g.Columns), func(e Entry) bool { return slices.Contains(e.Notes, was+1) }) {
			notes = append(notes, text)
			number[was+1] = len(notes)
		}
	}
	g.Notes = notes
	for _, r := range g.Rows {
		for i := range r.Entries {
			for j, n := range r.Entries[i].Notes {
				r.Entries[i].Notes[j] = number[n]
			}
		}
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
