// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ukprobe/ukprobe/results"
)

// phaseClasses are the style sheet's names for the pieces of a boot, by what they are in
// the bar of a terminal.
var phaseClasses = map[string]string{"▒": "ph-vmm", "░": "ph-fw", "▚": "ph-rom", "▤": "ph-setup", "▓": "ph-unpack", "█": "ph-guest", "·": "ph-rest"}

// timelineSection draws the boot whose total is the median of each cell, as stacked phases.
func timelineSection(cells []sourced) section {
	s := section{ID: "timelines", Title: "Boot timelines",
		Intro:  "Of each cell the boot whose total is nearest to the median: one that was really measured. Of an even number of boots the median, which the tables show, lies between two: the lower one is drawn. The upright line is at the median. A bar's pieces are its phases, on one axis for all bars of a figure.",
		Absent: "No cell has a boot of which the whole time was measured."}
	boots := selectCells(cells, func(c *results.Cell) bool {
		at, _ := pickSample(c)
		return experimentColumns[experimentOf(c)] == nil && at >= 0 && c.Samples[at].Phases.TotalNs != nil
	})
	for i, g := range figureGroups(boots, true, 24) {
		s.Figures = append(s.Figures, timelineFigure(fmt.Sprintf("timeline-%d", i+1), g))
	}
	return s.done()
}

func timelineFigure(id string, g figureGroup) figure {
	o := Options{}
	f := figure{ID: id, Title: g.title(), XLabel: "time since the VMM's exec (of a container: since the request)", Table: &figureTable{Head: []string{"cell", "phase", "time"}}}
	var totals []float64
	for _, c := range g.cells {
		at, _ := pickSample(c.Cell)
		totals = append(totals, float64(*c.Samples[at].Phases.TotalNs))
	}
	all := slices.Clone(totals)
	for _, c := range g.cells {
		if s, ok := figureOf(c.Cell, totalNs); ok {
			all = append(all, s.Median)
		}
	}
	x := newScale(totalNs, true, all...)
	var keys []string
	withMedian := false
	for i, c := range g.cells {
		at, median := pickSample(c.Cell)
		sample := &c.Samples[at]
		label := cellLabel(c)
		segments := pieces(sample.Phases, firmwareName(c.Firmware))
		words := fmt.Sprintf("%s in %s", label, o.beside(c.Cell, totalNs, totals[i]))
		d := new(drawing)
		var left float64
		for _, seg := range segments {
			class := phaseClasses[seg.utf8]
			width := x.at(left+float64(seg.ns)) - x.at(left)
			d.rect("seg "+class, x.at(left), max(width, 0.2), 18) // what is there is to be seen
			left += float64(seg.ns)
			words += fmt.Sprintf("; %s %s", seg.name, o.duration(float64(seg.ns)))
			f.Table.Rows = append(f.Table.Rows, []string{label, seg.name, o.duration(float64(seg.ns))})
			name := phaseWords(seg.name)
			if at := slices.Index(keys, class); at < 0 {
				keys = append(keys, class)
				f.Keys = append(f.Keys, figureKey{swatch("seg " + class), name})
			} else if key := &f.Keys[at]; !strings.Contains(key.Label, name) { // another firmware
				key.Label += " or " + name
			}
		}
		out := newDrawing("bar", fmt.Sprintf("%s-%d", id, i+1), words, sampleWords(at, len(c.Samples), median), 18)
		out.WriteString(d.String())
		if s, ok := figureOf(c.Cell, totalNs); ok {
			out.line("median", x.at(s.Median), 0, x.at(s.Median), 20)
			withMedian = true
		}
		out.end()
		value := o.duration(totals[i])
		if m, ok := o.medianOf(c.Cell, totalNs); ok && m != value {
			value += ", median " + m
		}
		f.Rows = append(f.Rows, figureRow{Label: label, Value: value, SVG: out.html(), Notes: c.rowNotes()})
	}
	if withMedian {
		f.Keys = append(f.Keys, figureKey{`<svg class="swatch" width="14" height="14" aria-hidden="true"><path class="median" d="M7 0V14"/></svg>`, "median of all samples, as in the table"})
	}
	f.Axis = sharedAxis(x, narrowBar)
	return f
}

// phaseWords are a phase's name for its key.
func phaseWords(name string) string {
	switch name {
	case "guest":
		return "guest, until ready"
	case "in no phase":
		return "in no phase (not told apart)"
	}
	return name
}

func sampleWords(at, n int, median bool) string {
	if median {
		return fmt.Sprintf("sample %d of %d, the nearest to the median", at+1, n)
	}
	return fmt.Sprintf("sample %d of %d", at+1, n)
}
