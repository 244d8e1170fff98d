// SPDX-License-Identifier: Apache-2.0

package report

import (
	"encoding/json"
	"io"
	"time"

	"github.com/ukprobe/ukprobe/internal/plainjson"
	"github.com/ukprobe/ukprobe/results"
	"github.com/ukprobe/ukprobe/results/shape"
)

// JSONFormat and JSONVersion are the "format" and "format_version" of the machine form.
const (
	JSONFormat  = "ukprobe-report"
	JSONVersion = 1
)

type jsonDocument struct {
	Format   string     `json:"format"`
	Version  int        `json:"format_version"`
	Runs     []jsonRun  `json:"runs"`
	Warnings []string   `json:"warnings"`
	Tables   []jsonGrid `json:"tables"`
	Images   []string   `json:"images"`
}

type jsonRun struct {
	Label   string       `json:"label"`
	ID      string       `json:"id"`
	Started time.Time    `json:"started"`
	Status  string       `json:"status"`
	Version string       `json:"version"`
	Seed    uint64       `json:"seed"`
	Host    results.Host `json:"host"`
	Cells   []jsonCell   `json:"cells"`
}

// jsonCell is a cell as an entry names it, with what its figures depend on.
type jsonCell struct {
	Name       string                     `json:"cell"`
	System     string                     `json:"system"`
	App        string                     `json:"app"`
	Platform   string                     `json:"platform"`
	Experiment string                     `json:"experiment"`
	Variant    string                     `json:"variant"`
	Accel      string                     `json:"accel"`
	Probes     string                     `json:"probes"`
	Settings   map[string]json.RawMessage `json:"settings"`
	Differs    string                     `json:"settings_differ,omitempty"`
	Image      *results.Image             `json:"image,omitempty"`
	Firmware   string                     `json:"firmware,omitempty"`
	Argv       []string                   `json:"argv"`
}

type jsonGrid struct {
	ID      string       `json:"id"`
	Part    int          `json:"part"`
	Title   string       `json:"title"`
	Absent  string       `json:"absent,omitempty"`
	Heads   []string     `json:"heads"`
	Columns []jsonColumn `json:"columns"`
	Rows    []jsonRow    `json:"rows"`
	Notes   []string     `json:"footnotes"`
	Legend  []string     `json:"legend"`
}

type jsonColumn struct {
	Group  string `json:"group,omitempty"`
	Title  string `json:"title"`
	Metric string `json:"metric,omitempty"`
	Unit   string `json:"unit,omitempty"`
}

type jsonRow struct {
	Heads   []string    `json:"heads"`
	Entries []jsonEntry `json:"entries"`
}

type jsonEntry struct {
	Status  string           `json:"status"`
	Cell    string           `json:"cell,omitempty"`
	Summary *results.Summary `json:"summary,omitempty"`
	Shape   *shape.Shape     `json:"shape,omitempty"`
	AtLeast *results.Summary `json:"at_least,omitempty"`
	Text    string           `json:"text,omitempty"`
	Notes   []int            `json:"footnotes,omitempty"`
}

// JSON writes the tables for machines; docs/report.md describes the form.
func (d *Document) JSON(w io.Writer) error {
	out := jsonDocument{Format: JSONFormat, Version: JSONVersion, Runs: []jsonRun{}, Warnings: list(d.Warnings), Tables: []jsonGrid{}, Images: list(d.Images)}
	for i := range d.Sources {
		r := &d.Sources[i].File.Run
		out.Runs = append(out.Runs, jsonRun{d.Sources[i].Label, r.ID, r.Started, r.Status, r.Version, r.Seed, d.Sources[i].File.Host, d.jsonCells(i)})
	}
	for i := range d.Grids {
		out.Tables = append(out.Tables, d.Grids[i].json())
	}
	e := plainjson.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(out)
}

// jsonCells are those of a source.
func (d *Document) jsonCells(source int) []jsonCell {
	out := []jsonCell{}
	for _, s := range d.cells {
		c := s.Cell
		if s.source != source {
			continue
		}
		one := jsonCell{Name: c.Name(), System: c.System, App: c.App, Platform: c.Platform, Experiment: experimentOf(c), Variant: c.Variant().String(),
			Accel: c.Accel, Probes: csvProbes(c), Settings: map[string]json.RawMessage{}, Differs: s.differs,
			Image: c.Image, Firmware: c.Firmware, Argv: list(c.Argv)}
		for name, value := range c.FigureSettings() {
			one.Settings[name] = json.RawMessage(value)
		}
		out = append(out, one)
	}
	return out
}

func (g *Grid) json() jsonGrid {
	out := jsonGrid{ID: g.ID, Part: g.Part, Title: g.Title, Absent: g.Absent, Heads: list(g.Heads), Columns: []jsonColumn{}, Rows: []jsonRow{}, Notes: list(g.Notes), Legend: list(g.Legend)}
	for _, c := range g.Columns {
		out.Columns = append(out.Columns, jsonColumn{c.Group, c.Title, c.Metric, ""})
		if !c.Words() {
			out.Columns[len(out.Columns)-1].Unit = unitOf(c.Metric)
		}
	}
	for _, r := range g.Rows {
		row := jsonRow{Heads: r.Heads, Entries: []jsonEntry{}}
		for _, e := range r.Entries {
			one := jsonEntry{Status: e.Status, Summary: e.Summary, Shape: e.Shape, Text: e.Text, Notes: e.Notes}
			if e.Cell != nil {
				one.Cell = e.Cell.Name()
			}
			if e.Bound != nil {
				one.AtLeast = &e.Bound.Summary
			}
			row.Entries = append(row.Entries, one)
		}
		out.Rows = append(out.Rows, row)
	}
	return out
}

// list is never null in JSON.
func list(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}
