// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"html/template"
	"slices"
	"strings"

	"github.com/ukprobe/ukprobe/results"
)

// memoryCurves are those of memory-use that are drawn, in this order.
var memoryCurves = []phase{
	{"guest_bytes", "guest"}, {"process_bytes", "process"}, {"vmm_bytes", "VMM's own"}, {"pss_bytes", "all (PSS)"}, {"page_tables_bytes", "page tables"}, {"charged_bytes", "charged to its cgroup"},
}

// memorySection draws memory over time, and over the number of guests.
func memorySection(cells []sourced) section {
	s := section{ID: "memory-curves", Title: "Memory over time",
		Intro:  "Experiment memory-use: what a guest, its VMM or a process has, from when it is ready, through idling, to under load; a line for each sample. Experiment density: what all guests together have been charged with, the more of them run.",
		Absent: "The run has no curves of memory: they come with the experiments memory-use and density."}
	for _, c := range cells {
		var f figure
		id := fmt.Sprintf("memory-curves-%d", len(s.Figures)+1)
		switch experimentOf(c.Cell) {
		case "memory-use":
			f = memoryFigure(id, c)
		case "density":
			f = densityFigure(id, c)
		}
		if f.Plot != "" {
			s.Figures = append(s.Figures, f)
		}
	}
	return s.done()
}

// curve is a line of a plot: time in ns (or a number), value.
type curve struct {
	series int
	points [][2]float64
}

func memoryFigure(id string, c sourced) figure {
	title := "memory-use: " + c.App + ", " + cellLabel(c)
	var curves []curve
	f := figure{ID: id, Title: title, Notes: c.rowNotes(), YLabel: "memory", XLabel: "time since the VMM's exec", Table: &figureTable{Head: []string{"curve", "samples", "first", "least", "most", "last"}}}
	for series, m := range memoryCurves {
		var own []curve
		for i := range c.Samples {
			s := &c.Samples[i]
			points := s.Curves[m.metric]
			if len(points) == 0 || s.Status != results.SampleOK {
				continue
			}
			zero := curveZero(s, points)
			one := curve{series: series}
			for _, p := range thinned(points) {
				one.points = append(one.points, [2]float64{float64(p.NS - zero), p.Value})
			}
			own = append(own, one)
		}
		if len(own) == 0 {
			continue
		}
		curves = append(curves, own...)
		f.Keys = append(f.Keys, figureKey{lineSwatch(series), m.title})
		f.Table.Rows = append(f.Table.Rows, curveRow(m, own))
	}
	if len(curves) == 0 {
		return figure{}
	}
	f.Plot = linePlot(id+"-plot", title, totalNs, "pss_bytes", curves)
	return f
}

func densityFigure(id string, c sourced) figure {
	title := "density: " + c.App + ", " + cellLabel(c)
	var curves []curve
	for i := range c.Samples {
		one := curve{series: 0}
		for n, p := range c.Samples[i].Curves["memory_bytes"] {
			one.points = append(one.points, [2]float64{float64(n + 1), p.Value})
		}
		if len(one.points) > 1 {
			curves = append(curves, one)
		}
	}
	if len(curves) == 0 {
		return figure{}
	}
	f := figure{ID: id, Title: title, Notes: c.rowNotes(), YLabel: "memory of all", XLabel: "guests", Plot: linePlot(id+"-plot", title, "count", "pss_bytes", curves),
		Table: &figureTable{Head: []string{"curve", "samples", "first", "least", "most", "last"}, Rows: [][]string{curveRow(phase{"memory_bytes", "memory of all guests"}, curves)}}}
	return f
}

// linePlot draws curves above one pair of axes.
func linePlot(id, title, xMetric, yMetric string, curves []curve) template.HTML {
	const height = 170.0
	var xs, ys []float64
	for _, c := range curves {
		for _, p := range c.points {
			xs, ys = append(xs, p[0]), append(ys, p[1])
		}
	}
	x, y := newScale(xMetric, false, xs...), newScale(yMetric, true, ys...)
	if x.log {
		x = newScale(xMetric, true, xs...)
	}
	d := newDrawing("plot", id, title, fmt.Sprintf("%d lines; the table below has their ends", len(curves)), height+20)
	d.sideAxis(y, height)
	d.axis(x, height, narrowPlot)
	d.plane(0, height)
	for _, c := range curves {
		var path strings.Builder
		for i, p := range c.points {
			command := "L"
			if i == 0 {
				command = "M"
			}
			fmt.Fprintf(&path, "%s%.0f %.0f", command, 10*x.at(p[0]), 1000-10*y.at(p[1]))
		}
		fmt.Fprintf(d, `<path class="ln l%d" d="%s"/>`, c.series%colors, path.String())
	}
	d.end()
	d.end()
	return d.html()
}

// thinned keeps at most so many points of a curve that a screen can show them, the first
// and the last, and of each stretch the least and the most.
func thinned(points []results.Point) []results.Point {
	const most = 120
	if len(points) <= most {
		return points
	}
	out := []results.Point{points[0]}
	stretches := most/2 - 1
	for i := range stretches {
		part := points[1+i*(len(points)-2)/stretches : 1+(i+1)*(len(points)-2)/stretches]
		lo, hi := part[0], part[0]
		for _, p := range part {
			if p.Value < lo.Value {
				lo = p
			}
			if p.Value > hi.Value {
				hi = p
			}
		}
		if lo.NS > hi.NS {
			lo, hi = hi, lo
		}
		out = append(out, lo)
		if hi != lo {
			out = append(out, hi)
		}
	}
	return append(out, points[len(points)-1])
}

func curveRow(m phase, curves []curve) []string {
	o := Options{}
	var first, last, all []float64
	for _, c := range curves {
		first, last = append(first, c.points[0][1]), append(last, c.points[len(c.points)-1][1])
		for _, p := range c.points {
			all = append(all, p[1])
		}
	}
	middle := func(v []float64) string {
		s, _ := results.Summarize(v)
		return o.quantity(m.metric, s.Median)
	}
	return []string{m.title, fmt.Sprint(len(curves)), middle(first), o.quantity(m.metric, slices.Min(all)), o.quantity(m.metric, slices.Max(all)), middle(last)}
}
