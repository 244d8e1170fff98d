// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/ukprobe/ukprobe/results"
	"github.com/ukprobe/ukprobe/results/shape"
	"github.com/ukprobe/ukprobe/results/stats"
)

// mainTitles are the main figures of experiments ([results.MainFigures]) as an axis has them.
// Sizes of files have no distribution.
var mainTitles = []phase{
	{totalNs, "time until ready"}, {"memory_min_bytes", "least memory"}, {"guest_ready_bytes", "the guest's memory, when ready"},
	{"process_ready_bytes", "the process's memory, when ready"}, {"instances", "instances"}, {"requests_per_second", "requests per second"},
	{"latency_p50_ns", "median latency"}, {"read_latency_p50_ns", "median latency of reads"}, {"write_latency_p50_ns", "median latency of writes"},
	{"host_read_latency_p50_ns", "median latency of reads at the host"}, {"host_write_latency_p50_ns", "median latency of writes at the host"},
	{"entropy_bits", "entropy"},
}

// mainMetric is the figure of a cell of which the distribution is drawn, "" if it has none.
func mainMetric(c *results.Cell) string {
	for _, metric := range results.MainFigures(experimentOf(c)) {
		if len(pointsOf(c, metric)) > 0 {
			return metric
		}
	}
	return ""
}

// distributionSection draws every sample of every cell that has several.
func distributionSection(cells []sourced) section {
	s := section{ID: "distributions", Title: "Distributions",
		Intro: "Every sample of every cell with two or more. Above, the empirical distribution: how large a part of the samples is below a value; where some timed out it does not reach 100 %. " +
			"Below, the samples themselves, marked as the figure's legend says, with their median as an upright line and its 95 % interval as a band. Outliers, by Tukey's fences, count like all others. Where the samples form more than one mode a bracket is around each, from the smallest on, its outliers left out.",
		Absent: "No cell has two samples or more of its main figure."}
	for _, m := range mainTitles {
		several := selectCells(cells, func(c *results.Cell) bool { return len(c.Samples) > 1 && mainMetric(c) == m.metric })
		for _, g := range figureGroups(several, true, colors) {
			s.Figures = append(s.Figures, distributionFigure(fmt.Sprintf("distribution-%d", len(s.Figures)+1), g, m))
		}
	}
	return s.done()
}

// point is a sample as it is drawn.
type point struct {
	number  int // from 1
	value   float64
	has     bool // it has a value
	counts  bool // it is one of those that stand
	late    bool // it timed out, which in this metric is longer than all others
	ok      bool
	tainted bool
	far     stats.Far // of one that counts
	words   string
}

// pointsOf are all samples of a cell; none if no sample has the figure.
func pointsOf(c *results.Cell, metric string) []point {
	standing := c.Standing()
	var out []point
	some := false
	for i := range c.Samples {
		s := &c.Samples[i]
		p := point{number: i + 1, counts: slices.Contains(standing, i), ok: s.Status == results.SampleOK, tainted: len(s.Taints) > 0}
		p.value, p.has = metricOf(s, metric)
		p.has = p.has && p.ok && !notANumber(p.value)
		p.late = metric == totalNs && s.Status == results.SampleTimeout
		some = some || p.has
		p.words = fmt.Sprintf("sample %d: ", i+1)
		if p.has {
			p.words += Options{}.quantity(metric, p.value)
		} else {
			p.words += Options{}.Clean(s.Status)
		}
		if p.tainted {
			p.words += ", tainted"
		}
		if !p.counts {
			p.words += ", taken again"
		}
		out = append(out, p)
	}
	if !some {
		return nil
	}
	return out
}

// name tells of the points that count how far out they are, and in which mode.
func name(points []point, s *shape.Shape) {
	if s == nil {
		return
	}
	at := 0
	for i := range points {
		p := &points[i]
		if !p.counts || !p.has {
			continue
		}
		if at < len(s.Marks) {
			p.far = s.Marks[at]
		}
		at++
		switch p.far {
		case stats.Outside:
			p.words += ", outlier"
		case stats.FarOut:
			p.words += ", outlier, far out"
		}
		for j, m := range s.Modes {
			if p.value >= m.Lo && p.value <= m.Hi {
				p.words += fmt.Sprintf(", mode %d of %d", j+1, len(s.Modes))
			}
		}
	}
}

func distributionFigure(id string, g figureGroup, m phase) figure {
	o := Options{}
	f := figure{ID: id, Title: g.title(), YLabel: "part of the samples", XLabel: m.title, Table: &figureTable{Head: []string{"cell", "n", "median", "95 % interval", "least", "most", "quartiles", "modes", "drift over the run", "outliers", "not ok", "tainted"}}}
	var values []float64
	points, shapes := make([][]point, len(g.cells)), make([]*shape.Shape, len(g.cells))
	for i, c := range g.cells {
		points[i], shapes[i] = pointsOf(c.Cell, m.metric), shapeOf(c.Cell, m.metric)
		name(points[i], shapes[i])
		for _, p := range points[i] {
			if p.has {
				values = append(values, p.value)
			}
		}
	}
	x := rangeScale(m.metric, values...)
	f.XLabel += x.begins()
	plot := newDrawing("plot", id+"-ecdf", "Empirical distributions, "+g.title(), fmt.Sprintf("%s of %d cells; the table below has the figures", m.title, len(g.cells)), 150)
	plot.sideAxis(scale{lo: 0, hi: 100, metric: "percent"}, 130)
	plot.axis(x, 130, narrowPlot)
	plot.plane(0, 130)
	for i := range g.cells {
		fmt.Fprintf(plot, `<path class="ln l%d" d="%s"/>`, i%colors, ecdf(points[i], x))
	}
	plot.end()
	plot.end()
	f.Plot = plot.html()
	for i, c := range g.cells {
		f.Rows = append(f.Rows, stripRow(fmt.Sprintf("%s-%d", id, i+1), i, c, m, points[i], shapes[i], x))
		f.Table.Rows = append(f.Table.Rows, summaryRow(o, c, m.metric, points[i], shapes[i]))
	}
	f.Keys = stripKeys(points, shapes)
	f.Axis = sharedAxis(x, narrowPlot)
	return f
}

// ecdf is the path of the empirical distribution of the samples that the summary is of
// ([results.Cell.Summarize]): of total_ns also those that timed out, above all others.
func ecdf(points []point, x scale) string {
	var values []float64
	n := 0
	for _, p := range points {
		if !p.counts || !p.has && !p.late {
			continue
		}
		n++
		if p.has {
			values = append(values, p.value)
		}
	}
	slices.Sort(values)
	var b strings.Builder
	b.WriteString("M0 1000")
	for i, v := range values {
		fmt.Fprintf(&b, "H%.0fV%.0f", 10*x.at(v), 1000*(1-float64(i+1)/float64(n)))
	}
	b.WriteString("H1000")
	return b.String()
}

// stripRow draws a cell's samples, in the order of measurement from top to bottom.
func stripRow(id string, series int, c sourced, m phase, points []point, s *shape.Shape, x scale) figureRow {
	const height = 30.0
	o := Options{}
	label := cellLabel(c)
	summary, ok := figureOf(c.Cell, m.metric)
	words, value := fmt.Sprintf("%s: %d samples", label, len(points)), ""
	if ok {
		value = o.onOneLine(m.metric, summary)
		words += ", median " + value + ", from " + o.quantity(m.metric, summary.Min) + " to " + o.quantity(m.metric, summary.Max)
	}
	brackets, more := bracketsOf(s, points, x)
	var notes []string
	if s != nil {
		notes = s.Notes(m.metric, o.units())
	}
	d := newDrawing("strip", id, words, strings.Join(slices.Concat(c.tallies(), c.rowNotes(notes...)), "; "), height+more)
	if ok && summary.CI95 != nil {
		d.rect("ci", x.at(summary.CI95[0]), x.at(summary.CI95[1])-x.at(summary.CI95[0]), height)
	}
	if ok {
		d.line("median", x.at(summary.Median), 0, x.at(summary.Median), height)
	}
	var words2 []string
	for i, p := range points {
		y := 4 + (height-8)*spread(i, len(points))
		switch {
		case !p.has:
			fmt.Fprintf(d, `<svg x="100%%" y="%s" class="over p"><path class="bad" d="M-3-3l6 6M3-3l-6 6"/></svg>`, decimal(y, 1))
		case !p.counts:
			fmt.Fprintf(d, `<svg x="%s" y="%s" class="over p"><path class="again" d="M0-4l4 4l-4 4l-4-4z"/></svg>`, percent(x.at(p.value)), decimal(y, 1))
		case p.tainted:
			fmt.Fprintf(d, `<circle class="p t s%d" cx="%s" cy="%s" r="3"/>`, series%colors, percent(x.at(p.value)), decimal(y, 1))
		default:
			fmt.Fprintf(d, `<circle class="p f%d" cx="%s" cy="%s" r="3"/>`, series%colors, percent(x.at(p.value)), decimal(y, 1))
		}
		if p.has && p.counts {
			d.rings(p.far, percent(x.at(p.value)), y)
		}
		words2 = append(words2, strings.ReplaceAll(p.words, "|", "/"))
	}
	for _, b := range brackets {
		d.bracket(b, height)
	}
	d.end()
	return figureRow{Swatch: lineSwatch(series), Label: label, Value: value, SVG: d.html(), Points: strings.Join(words2, "|"), Notes: c.rowNotes(notes...)}
}

// spread puts n points between 0 and 1 in such an order that neighbours are apart.
func spread(i, n int) float64 {
	if n < 2 {
		return 0.5
	}
	_, f := math.Modf(0.5 + float64(i)*0.618033988749895) // the golden ratio: a low-discrepancy sequence
	return f
}

// tallies count what is not as it should be with a cell's samples.
func (c sourced) tallies() []string {
	tainted, bad, again := 0, 0, len(c.Samples)-len(c.Standing())
	for i := range c.Samples {
		if len(c.Samples[i].Taints) > 0 {
			tainted++
		}
		if c.Samples[i].Status != results.SampleOK {
			bad++
		}
	}
	return []string{fmt.Sprintf("%d tainted", tainted), fmt.Sprintf("%d not ok", bad), fmt.Sprintf("%d taken again", again)}
}

func summaryRow(o Options, c sourced, metric string, points []point, sh *shape.Shape) []string {
	bad, tainted := 0, 0
	for _, p := range points {
		if !p.ok {
			bad++
		}
		if p.tainted {
			tainted++
		}
	}
	s, ok := figureOf(c.Cell, metric)
	row := []string{cellLabel(c), fmt.Sprint(len(points)), "–", "–", "–", "–"}
	if ok {
		row[2], row[4], row[5] = o.quantity(metric, s.Median), o.quantity(metric, s.Min), o.quantity(metric, s.Max)
		if s.CI95 != nil {
			row[3] = o.quantity(metric, s.CI95[0]) + " to " + o.quantity(metric, s.CI95[1])
		}
	}
	return append(append(row, shapeRow(o, metric, sh)...), fmt.Sprint(bad), fmt.Sprint(tainted))
}
