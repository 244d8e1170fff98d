// SPDX-License-Identifier: Apache-2.0

package report

import (
	_ "embed" // the page's template, style sheet and script
	"fmt"
	"html/template"
	"io"

	"github.com/ukprobe/ukprobe/internal/csp"
	"github.com/ukprobe/ukprobe/results"
)

//go:embed page.tmpl
var pageTemplate string

//go:embed page.css
var pageStyle string

//go:embed page.js
var pageScript string

// page is what the template is given.
type page struct {
	Policy   string // Content-Security-Policy
	Style    template.CSS
	Script   template.JS
	Title    string
	Sources  []pageSource
	Warnings []string
	Grids    []pageGrid
	Images   []string
	Sections []section
	Failures []failure
	Method   []methodRun
}

// pageSource is a run in the page's head.
type pageSource struct{ Label, Text string }

// HTML writes the document, with figures, as one page that needs nothing but itself: its
// Content-Security-Policy lets pass no request, and no style and script but its own.
func (d *Document) HTML(w io.Writer) error {
	t, err := template.New("page").Funcs(template.FuncMap{"clean": Options{}.Clean, "inc": func(i int) int { return i + 1 }}).Parse(pageTemplate)
	if err != nil {
		return fmt.Errorf("report: the page's template: %w", err)
	}
	if err := t.Execute(w, d.page()); err != nil {
		return fmt.Errorf("report: write the page: %w", err)
	}
	return nil
}

func (d *Document) page() page {
	cells := d.cells
	p := page{
		Policy:   "default-src 'none'; style-src " + csp.Hash(pageStyle) + "; script-src " + csp.Hash(pageScript) + "; base-uri 'none'; form-action 'none'",
		Style:    template.CSS(pageStyle),
		Script:   template.JS(pageScript),
		Title:    "ukprobe report",
		Warnings: d.Warnings,
		Images:   d.Images,
		Failures: failures(cells),
	}
	for i := range d.Sources {
		s := &d.Sources[i]
		p.Sources = append(p.Sources, pageSource{s.Label, s.describe()})
		p.Method = append(p.Method, method(s))
	}
	if len(d.Sources) == 1 {
		p.Title += ", run " + d.Sources[0].Label
	}
	for i := range d.Grids {
		p.Grids = append(p.Grids, newPageGrid(&d.Grids[i]))
	}
	p.Sections = []section{timelineSection(cells), distributionSection(cells), sizeSection(d.Sources), exitsSection(cells), breakdownSection(cells), memorySection(cells), claimSection(cells)}
	return p
}

// pageGrid is a grid for the template: heads and entries with the words they show.
type pageGrid struct {
	*Grid
	Heading string
	Groups  []pageGroup // of columns, if any has one
	Lines   []pageLine
}

// pageGroup is a heading above neighbouring columns.
type pageGroup struct {
	Title string
	Span  int
}

type pageLine struct {
	Heads   []string
	Entries []pageEntry
}

// pageEntry is one table cell.
type pageEntry struct {
	Class  string
	Figure string   // the first line
	Rest   []string // below it
	Title  string   // of a dash, what it means
	Label  string   // of its column, for where that has no head
	Notes  []int
	Span   int
}

func newPageGrid(g *Grid) pageGrid {
	p := pageGrid{Grid: g, Heading: g.heading()}
	grouped := false
	for i, c := range g.Columns {
		if i > 0 && c.Group != "" && c.Group == g.Columns[i-1].Group {
			p.Groups[len(p.Groups)-1].Span++
			continue
		}
		grouped = grouped || c.Group != ""
		p.Groups = append(p.Groups, pageGroup{c.Group, 1})
	}
	if !grouped {
		p.Groups = nil
	}
	for _, r := range g.Rows {
		line := pageLine{Heads: r.Heads}
		for i, e := range r.Entries {
			c := g.Columns[i]
			if e.Again && len(line.Entries) > 0 {
				line.Entries[len(line.Entries)-1].Span++
				line.Entries[len(line.Entries)-1].Label = c.group()
				continue
			}
			entry := newPageEntry(e)
			entry.Label = c.heading()
			line.Entries = append(line.Entries, entry)
		}
		for i := range line.Entries {
			if line.Entries[i].Span > 3 {
				line.Entries[i].Class += " wide"
			}
		}
		p.Lines = append(p.Lines, line)
	}
	return p
}

func newPageEntry(e Entry) pageEntry {
	words := Options{}.entryWords(e)
	out := pageEntry{Class: "none", Notes: e.Notes, Span: 1}
	if len(words) > 0 {
		out.Figure, out.Rest = words[0], words[1:]
	}
	switch {
	case e.Metric == "":
		out.Class = "words"
	case e.Status == results.CellOK || e.Bound != nil:
		out.Class = "figure"
	case e.Status == results.CellFailed:
		out.Class = "none failed"
	case e.Status == EntryAbsent:
		out.Class, out.Title = "none absent", "not in the run"
	case e.Status == EntryMissing:
		out.Title = "no figure: see the footnote"
	}
	return out
}
