// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ukprobe/ukprobe/results"
	"github.com/ukprobe/ukprobe/results/shape"
)

// Source is a run that a report is about.
type Source struct {
	Label string // what tells it apart: unique in a report
	File  *results.File
}

// Document is what a report says in tables, on whatever device: each format is a way to
// write it. Texts in it are as they are in run.json; who writes them makes them safe.
type Document struct {
	Sources  []Source
	Warnings []string // why figures in it must not be read as one
	Grids    []Grid
	Images   []string // how each image was built, a line for each

	cells []sourced // of all sources
}

// Grid is one table in the evaluation's own layout: each row and column that the runs have
// cells for (or each, of the whole layout) has its place whether or not there is a figure for
// it, and an entry without a figure says why.
type Grid struct {
	ID      string   // unique in the document, a word of letters, digits and hyphens
	Part    int      // of the evaluation's five tables; 0 is none of them
	Title   string   // of the table
	Heads   []string // titles of the columns that say what a row is about
	Columns []Column
	Rows    []Row
	Notes   []string // footnote n is Notes[n-1]
	Legend  []string // what holds for the whole table
	Absent  string   // not empty: there is no table, and this is why

	trimmed bool   // rows without a cell are left out, also of a piece
	unasked string // the experiment that the run has no cell of, of a grid that is absent for that
}

// Column is a column of entries. Neighbours of one group stand under one heading.
type Column struct {
	Group  string // "" stands for itself
	Title  string
	Metric string // "" of a column of words
}

// Words tells of a column that its entries are words and no figures.
func (c Column) Words() bool { return c.Metric == "" }

// Row is a row of a grid, with an entry for each column.
type Row struct {
	Heads   []string
	Entries []Entry
}

// Statuses of an entry, beside those of a cell.
const (
	EntryAbsent  = "absent"  // the run has no such cell
	EntryMissing = "missing" // the cell was measured, but this figure could not be
	EntryNoData  = "no-data" // the cell has not been measured yet
)

// Entry is a figure, or why there is none.
type Entry struct {
	Status  string // results.CellOK, another status of a cell, or one of those above
	Metric  string
	Summary *results.Summary // not nil if Status is results.CellOK
	Shape   *shape.Shape     // of the samples that Summary is of, if that can be said
	Bound   *Bound           // of an entry that is missing: what is known all the same
	Text    string           // in place of a figure: of entries that are words
	Notes   []int            // numbers of footnotes, from 1
	// Again: the entry before it in the group says the same, and has the same footnotes.
	Again bool
	Cell  *results.Cell // nil if Status is EntryAbsent
}

// NewDocument makes the tables of one run or several, with the rows and columns of the
// evaluation's layout for which there are cells, measured or not, and a sentence that names
// the tables for which there is none.
func NewDocument(sources ...Source) *Document {
	d := NewWholeDocument(sources...)
	for i := range d.Grids {
		d.Grids[i].trim()
	}
	d.Grids = foldAbsent(d.Grids)
	return d
}

// NewWholeDocument makes the tables in the evaluation's whole layout, whatever the runs have.
func NewWholeDocument(sources ...Source) *Document {
	cells := allCells(sources)
	d := &Document{Sources: sources, cells: cells, Warnings: slices.Concat(hostsDiffer(sources), versionsDiffer(sources), noteSettings(cells))}
	d.Grids = slices.Concat(sizeGrids(sources, cells), bootGrids(sources, cells), memoryGrids(sources, cells), throughputGrids(sources, cells), optionalGrids(sources, cells))
	for i := range sources {
		lines := Options{Width: 1 << 20}.images(sources[i].File.Cells)
		for _, line := range lines[min(1, len(lines)):] {
			if line = strings.TrimSpace(line); !slices.Contains(d.Images, line) {
				d.Images = append(d.Images, line)
			}
		}
	}
	return d
}

// sourced is a cell and the run that it is of.
type sourced struct {
	*results.Cell
	run   string // "" where there is only one
	accel string // as a row's head shows it
	cut   string // see group

	source  int    // its index
	differs string // what it was asked that the same cell of another run was not
}

func allCells(sources []Source) []sourced {
	var out []sourced
	for i := range sources {
		s, label := &sources[i], ""
		if len(sources) > 1 {
			label = s.Label
		}
		for j := range s.File.Cells {
			c := &s.File.Cells[j]
			out = append(out, sourced{Cell: c, run: label, accel: accelOf(c), cut: cutOf(s.File), source: i})
		}
	}
	return out
}

// hostsDiffer warns where runs were not made on the same machine in the same state.
func hostsDiffer(sources []Source) []string {
	var out []string
	for i := range sources[min(1, len(sources)):] {
		a, b := sources[0].File, sources[i+1].File
		var what []string
		for _, d := range results.HostChanges(a.Host, b.Host) {
			what = append(what, d.String())
		}
		if len(what) == 0 {
			continue
		}
		const most = 4
		more := ""
		if n := len(what) - most; n > 0 {
			what, more = what[:most], fmt.Sprintf(" and %d more", n)
		}
		out = append(out, fmt.Sprintf("%s and %s are from hosts that differ, so that their figures do not compare: %s%s.",
			sources[0].Label, sources[i+1].Label, strings.Join(what, "; "), more))
	}
	return out
}
