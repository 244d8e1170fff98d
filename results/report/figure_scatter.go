// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/ukprobe/ukprobe/results"
	"github.com/ukprobe/ukprobe/results/stats"
)

// pair is a cell with two figures that are held against each other.
type pair struct {
	cell sourced
	x, y float64
}

// sizeSection holds image sizes against boot times.
func sizeSection(sources []Source) section {
	s := section{ID: "size-boot", Title: "Image size against boot time",
		Intro:  "Each mark is an image: the size of its files, and its median time until ready. Spearman's ρ says how well the order of sizes foretells the order of times: 1 exactly, -1 in reverse, 0 not at all; p is how often chance alone would give as much. Few images, which differ in more than their size, prove no cause. Cold caches and several guests at once are left out.",
		Absent: "For this it takes cells of boot and of image-size of the same image, of three images or more, in one run."}
	for i := range sources {
		f := sources[i].File
		for _, g := range groups(f.Cells) {
			if experimentOf(&results.Cell{Experiment: g.experiment}) != "boot" {
				continue
			}
			var pairs []pair
			for _, both := range g.sized(f.Cells) {
				x, okX := figureOf(both.size, "file_bytes")
				y, okY := figureOf(both.boot, totalNs)
				if okX && okY {
					pairs = append(pairs, pair{sourced{Cell: both.boot, cut: cutOf(f)}, x.Median, y.Median})
				}
			}
			if len(pairs) < 3 {
				continue
			}
			title := "boot, " + accelWords(accelOf(g.cells[0]))
			if len(sources) > 1 {
				title += ", run " + sources[i].Label
			}
			s.Figures = append(s.Figures, scatter(fmt.Sprintf("size-boot-%d", len(s.Figures)+1), title, pairs, "file_bytes", "image size (files)", totalNs, "time until ready"))
		}
	}
	return s.done()
}

// exitsSection holds throughput against the exits that a request takes.
func exitsSection(cells []sourced) section {
	s := section{ID: "throughput-exits", Title: "Throughput against exits per request",
		Intro:  "Each mark is a cell of the experiment throughput: how often its guest left to the host for a request, and how many requests it answered in a second.",
		Absent: "No cell of the experiment throughput has exits per request: it takes KVM with hardware virtualisation, and probes full."}
	own := selectCells(cells, func(c *results.Cell) bool {
		return experimentOf(c) == "throughput" && c.HasFigures() && hasMetric(c, "exits_per_request") && hasMetric(c, "requests_per_second")
	})
	for i, g := range figureGroups(own, true, 0) {
		var pairs []pair
		for _, c := range g.cells {
			pairs = append(pairs, pair{c, c.Summary["exits_per_request"].Median, c.Summary["requests_per_second"].Median})
		}
		s.Figures = append(s.Figures, scatter(fmt.Sprintf("throughput-exits-%d", i+1), g.title(), pairs, "exits_per_request", "exits per request", "requests_per_second", "requests per second"))
	}
	return s.done()
}

// scatter draws pairs. A system has one mark.
func scatter(id, title string, pairs []pair, xMetric, xTitle, yMetric, yTitle string) figure {
	const height = 220.0
	o := Options{}
	f := figure{ID: id, Title: title, Caption: correlation(pairs), XLabel: xTitle, YLabel: yTitle, Table: &figureTable{Head: []string{"cell", xTitle, yTitle}}}
	var xs, ys []float64
	for _, p := range pairs {
		xs, ys = append(xs, p.x), append(ys, p.y)
	}
	x, y := newScale(xMetric, false, xs...), newScale(yMetric, false, ys...)
	d := newGroup("plot", id+"-plot", title+": "+yTitle+" against "+xTitle, fmt.Sprintf("%d points; %s", len(pairs), f.Caption), height+20)
	d.sideAxis(y, height)
	d.axis(x, height, narrowPlot)
	var systems []string
	for _, p := range pairs {
		at := slices.Index(systems, p.cell.System)
		if at < 0 {
			at = len(systems)
			systems = append(systems, p.cell.System)
			f.Keys = append(f.Keys, figureKey{markSwatch(at), display(p.cell.System)})
		}
		label := pairLabel(p.cell)
		words := label + ": " + o.quantity(xMetric, p.x) + ", " + o.quantity(yMetric, p.y)
		fmt.Fprintf(d, `<g class="p" tabindex="0" role="img" aria-label="%s"><title>%s</title>`, escape(words), escape(words))
		d.mark(fmt.Sprintf("mk f%d", at%colors), at, x.at(p.x), height*(1-y.at(p.y)/100))
		d.WriteString("</g>")
		f.Table.Rows = append(f.Table.Rows, []string{label, o.quantity(xMetric, p.x), o.quantity(yMetric, p.y)})
	}
	d.end()
	f.Plot = d.html()
	var cells []sourced
	for _, p := range pairs {
		cells = append(cells, p.cell)
	}
	f.Notes = fewerNotes(cells, pairLabel)
	return f
}

func pairLabel(c sourced) string { return c.App + " on " + cellLabel(c) }

// correlation is Spearman's of the pairs, in words.
func correlation(pairs []pair) string {
	var xs, ys []float64
	for _, p := range pairs {
		xs, ys = append(xs, p.x), append(ys, p.y)
	}
	if len(pairs) == 1 {
		return "One cell only: there is nothing to hold it against."
	}
	rho, p, err := stats.Spearman(xs, ys)
	if err != nil {
		return "No rank correlation: " + err.Error() + "."
	}
	words := "p = " + strconv.FormatFloat(p, 'f', 3, 64)
	if p < 0.001 {
		words = "p < 0.001"
	}
	return fmt.Sprintf("Spearman's ρ = %.2f, %s, n = %d.", rho, words, len(pairs))
}
