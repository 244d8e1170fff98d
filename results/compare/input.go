// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"maps"
	"slices"
	"strings"

	"github.com/ukprobe/ukprobe/results"
)

// Set is one side of a comparison: what of a run is needed for it.
type Set struct {
	Label   string // for people: a folder
	Run     string // its ID
	Version string // of ukprobe
	Status  string // of the run
	Host    results.Host
	Cells   []Cell
}

// Key says which cell it is.
type Key struct {
	System     string `json:"system"`
	App        string `json:"app"`
	Platform   string `json:"platform"`
	Experiment string `json:"experiment"`
	Variant    string `json:"variant,omitempty"` // results.Variant's words
	Accel      string `json:"accel"`
	Probes     string `json:"probes"`
}

// String is the key in one line.
func (k Key) String() string {
	s := k.System + "/" + k.App + "/" + k.Platform
	if k.Variant != "" {
		s += "/" + k.Variant
	}
	s += ", " + k.Experiment
	if k.Accel != "" && k.Accel != "none" {
		s += ", " + k.Accel
	}
	if k.Probes != "" && k.Probes != results.ProbesBoot {
		s += ", probes " + k.Probes
	}
	return s
}

// Cell is a cell with its samples, by metric.
type Cell struct {
	Key
	Status, Reason string
	Image          string            // key of its files: the same for the same bytes
	ImageVersion   string            // of the app, as the catalogue says
	Settings       map[string]string // that change what is measured, by name
	Rungs          map[string]string // event -> the rung, or rungs, that it came from
	Samples        int               // that count
	Tainted        int               // of these
	Metrics        map[string]Series
}

// Series are the values of a metric in the order of measurement.
type Series struct {
	Values []float64
	// Beyond is how many samples timed out, which count as longer than all others.
	Beyond int
	// Whole: the one value is of all samples together, and no sample.
	Whole bool
}

// FromFile makes a set of a run. As in its summary, the last ok one of a disturbed sample
// and its repeats counts, tainted ones do, and in total_ns those that timed out.
func FromFile(label string, f *results.File) Set { return FromValues(label, f, results.FromFile(f)) }

// FromValues makes the same set of a run's head and the values of its cells
// ([results.Columns]), which a store has without its samples.
func FromValues(label string, head *results.File, cells []results.CellValues) Set {
	s := Set{Label: label, Run: head.Run.ID, Version: head.Run.Version, Status: head.Run.Status, Host: head.Host}
	for i := range cells {
		s.Cells = append(s.Cells, fromValues(&cells[i]))
	}
	return s
}

func fromValues(c *results.CellValues) Cell {
	out := Cell{
		Key: Key{System: c.System, App: c.App, Platform: c.Platform, Experiment: c.Experiment,
			Variant: c.Variant().String(), Accel: c.Accel, Probes: c.Probes},
		Status: c.Status, Reason: c.Reason, Settings: c.FigureSettings(), Rungs: joined(c.Rungs),
		Samples: c.Counts.OK + c.Counts.TimedOut, Tainted: c.Counts.Tainted, Metrics: map[string]Series{},
	}
	if out.Probes == "" { // before there was a choice
		out.Probes = results.ProbesBoot
	}
	if c.Image != nil {
		out.Image, out.ImageVersion = c.Image.Key, c.Image.Version
		if out.Image == "" {
			out.Image = c.Image.SHA256
		}
	}
	for name, values := range c.Values {
		out.Metrics[name] = Series{Values: values}
	}
	if total := out.Metrics[totalNs]; c.Counts.TimedOut > 0 {
		total.Beyond = c.Counts.TimedOut
		out.Metrics[totalNs] = total
	}
	for name, s := range c.Summary { // figures that no single sample has
		if _, has := out.Metrics[name]; !has {
			out.Metrics[name] = Series{Values: []float64{s.Median}, Whole: true}
		}
	}
	return out
}

// totalNs is the metric in which samples that timed out count.
const totalNs = "total_ns"

func joined(lists map[string][]string) map[string]string {
	out := make(map[string]string, len(lists))
	for name, list := range lists {
		out[name] = strings.Join(list, "+")
	}
	return out
}

// axisValue is what a cell is along an axis; by host all are the same within a run.
func (c *Cell) axisValue(by string) string {
	switch by {
	case BySystem:
		return c.System
	case ByPlatform:
		return c.Platform
	case ByVersion:
		if c.ImageVersion != "" {
			return c.ImageVersion
		}
		return imageWord(c.Variant)
	}
	return ""
}

// imageWord is the image that a variant names, "" if none.
func imageWord(variant string) string {
	for _, word := range strings.Split(variant, "/") {
		if name, is := strings.CutPrefix(word, "image="); is {
			return name
		}
	}
	return ""
}

// without is the key without what differs along an axis.
func (k Key) without(by string) Key {
	switch by {
	case BySystem:
		k.System = ""
	case ByPlatform:
		k.Platform = ""
	case ByVersion:
		words := slices.DeleteFunc(strings.Split(k.Variant, "/"), func(w string) bool { return strings.HasPrefix(w, "image=") })
		k.Variant = strings.Join(words, "/")
	}
	return k
}

func names[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
