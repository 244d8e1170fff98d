// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ukprobe/ukprobe/results"
)

// SystemFacts are what is known of a system besides what a run measured.
type SystemFacts struct {
	System string
	Facts  []SystemFact // the same names, in the same order, for all systems
}

// SystemFact is one of them. Without sources it is missing, and its text says why.
type SystemFact struct {
	Name, Text string
	Sources    []string // in words
}

// Characterise adds a table of the systems: of each what its own project says, and what of
// it these runs have measured. Systems that only the runs know follow.
func (d *Document) Characterise(systems []SystemFacts) {
	if len(systems) == 0 {
		return
	}
	g := Grid{ID: "characteristics", Title: "Characteristics of the systems", Heads: []string{"system"}, Legend: []string{
		"What the systems' own projects say; the footnotes are the sources. What none of them says is missing, not guessed. The last column is what was measured in this report, with the version where the image's is known."}}
	for _, f := range systems[0].Facts {
		g.Columns = append(g.Columns, Column{Title: f.Name})
	}
	g.Columns = append(g.Columns, Column{Title: "measured here"})
	b := gridBuilder{Grid: &g, numbers: map[string]int{}}
	cells := allCells(d.Sources)
	for _, name := range inOrder(systemNames(systems), cells, systemOf) {
		row := Row{Heads: []string{display(name)}}
		at := slices.IndexFunc(systems, func(s SystemFacts) bool { return s.System == name })
		for i := range g.Columns[:len(g.Columns)-1] {
			fact := SystemFact{Text: "nothing was collected of this system (ukprobe systems)"}
			if at >= 0 && i < len(systems[at].Facts) {
				fact = systems[at].Facts[i]
			}
			row.Entries = append(row.Entries, b.fact(fact))
		}
		g.Rows = append(g.Rows, Row{Heads: row.Heads, Entries: append(row.Entries, b.measuredHere(selectCells(cells, func(c *results.Cell) bool { return c.System == name })))})
	}
	b.finish(nil)
	d.Grids = append(d.Grids, g)
}

func systemNames(systems []SystemFacts) []string {
	var out []string
	for _, s := range systems {
		out = append(out, s.System)
	}
	return out
}

func (b *gridBuilder) fact(f SystemFact) Entry {
	if len(f.Sources) == 0 {
		return Entry{Status: EntryMissing, Notes: []int{b.note(f.Text)}}
	}
	e := Entry{Status: results.CellOK, Text: f.Text}
	for _, s := range f.Sources {
		e.Notes = append(e.Notes, b.note(s))
	}
	slices.Sort(e.Notes)
	return e
}

// measuredHere lists the applications of which guests were measured, and on which platforms.
func (b *gridBuilder) measuredHere(cells []sourced) Entry {
	if len(cells) == 0 {
		return Entry{Status: EntryAbsent}
	}
	platforms := map[string][]string{} // by application
	unmeasured := map[string]int{}
	for _, c := range cells {
		switch p := displayPlatform(c.Platform); {
		case experimentOf(c.Cell) == imageSize: // which starts nothing
		case !c.HasFigures() || len(c.Samples) == 0:
			unmeasured[StatusWord(c.Status)]++
		case !slices.Contains(platforms[appWithVersion(c.Cell)], p):
			platforms[appWithVersion(c.Cell)] = append(platforms[appWithVersion(c.Cell)], p)
		}
	}
	if len(platforms) == 0 {
		return Entry{Status: EntryMissing, Notes: []int{b.note(strings.TrimSuffix("no guest of it was measured: "+countsOf(unmeasured), ": "))}}
	}
	apps := map[string][]string{} // by platforms
	for _, app := range slices.Sorted(maps.Keys(platforms)) {
		slices.Sort(platforms[app])
		where := strings.Join(platforms[app], ", ")
		apps[where] = append(apps[where], app)
	}
	var words []string
	for _, where := range slices.Sorted(maps.Keys(apps)) {
		words = append(words, strings.Join(apps[where], ", ")+" on "+where)
	}
	return Entry{Status: results.CellOK, Text: strings.Join(words, "; ")}
}

func appWithVersion(c *results.Cell) string {
	if c.Image != nil && c.Image.Version != "" {
		return c.App + " " + c.Image.Version
	}
	return c.App
}

// countsOf are words with how often each came, the commonest first.
func countsOf(counts map[string]int) string {
	var words []string
	for w := range counts {
		words = append(words, w)
	}
	slices.SortFunc(words, func(a, b string) int { return cmp.Or(counts[b]-counts[a], strings.Compare(a, b)) })
	for i, w := range words {
		words[i] = fmt.Sprintf("%s (%d)", w, counts[w])
	}
	return strings.Join(words, ", ")
}
