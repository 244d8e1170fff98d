// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"html/template"
	"strings"
)

// figure is a drawing with what is needed to read it, and the same as a table.
type figure struct {
	ID, Title, Caption string
	Plot               template.HTML // above the rows; may be empty
	YLabel, XLabel     string
	Keys               []figureKey
	Rows               []figureRow
	Axis               template.HTML // below the rows; may be empty
	Notes              []string      // of its cells, what is to be known
	Table              *figureTable
}

// figureKey is a line of a figure's legend.
type figureKey struct {
	Swatch template.HTML
	Label  string
}

// figureRow is one thing of several that are drawn above one axis.
type figureRow struct {
	Swatch template.HTML // of its series, where a plot above has it too
	Label  string
	Value  string // in words, at the right
	SVG    template.HTML
	Points string // the words of its points, in order, separated by |: for the tooltip
	Notes  []string
}

// figureTable is a figure's data.
type figureTable struct {
	Name string
	Head []string
	Rows [][]string
}

// section is a part of the page: figures, or why there are none.
type section struct {
	ID, Title, Intro string
	Figures          []figure
	Absent           string
}

func (s section) done() section {
	if len(s.Figures) > 0 {
		s.Absent = ""
	}
	for i := range s.Figures {
		s.Figures[i].Table.Name = "Figures of " + s.Figures[i].Title
	}
	return s
}

// Folded says whether a figure of the section is to be opened by hand: of many only the
// first ones are open.
func (s section) Folded(i int) bool { return i >= 6 && len(s.Figures) > 8 }

// colors is how many colours there are for series; the style sheet has them.
const colors = 8

// swatch is a sample of a class of areas.
func swatch(class string) template.HTML {
	return template.HTML(`<svg class="swatch" width="14" height="14" aria-hidden="true"><rect class="` + class + `" width="14" height="14"/></svg>`)
}

// lineSwatch is a sample of a series' line.
func lineSwatch(series int) template.HTML {
	return template.HTML(fmt.Sprintf(`<svg class="swatch" width="26" height="14" aria-hidden="true"><path class="ln l%d" d="M1 7H25"/></svg>`, series%colors))
}

// markSwatch is a sample of a series' mark.
func markSwatch(series int) template.HTML {
	d := new(drawing)
	d.WriteString(`<svg class="swatch over" width="14" height="14" aria-hidden="true">`)
	d.mark(fmt.Sprintf("mk f%d", series%colors), series, 50, 7)
	d.end()
	return d.html()
}

// cellLabel names a cell within a group that has app and experiment in common.
func cellLabel(c sourced) string {
	out := []string{display(c.System)}
	if c.Platform != c.System {
		out = append(out, displayPlatform(c.Platform))
	}
	if h := how(c.Cell); h != "" {
		out = append(out, h)
	}
	if c.run != "" {
		out = append(out, "run "+c.run)
	}
	return strings.Join(out, ", ")
}

// figureGroup are cells that one axis can have: same experiment, app, accelerator.
type figureGroup struct {
	experiment, app, accel string
	cells                  []sourced
	number, of             int // where one axis had too many
}

// figureGroups splits measured cells, at most so many to a group (0: any number).
func figureGroups(cells []sourced, byApp bool, most int) []figureGroup {
	var out []figureGroup
	for _, c := range cells {
		g := figureGroup{experiment: experimentOf(c.Cell), accel: accelOf(c.Cell)}
		if byApp {
			g.app = c.App
		}
		at := -1
		for i := range out {
			if out[i].experiment == g.experiment && out[i].app == g.app && out[i].accel == g.accel && (most == 0 || len(out[i].cells) < most) {
				at = i
			}
		}
		if at < 0 {
			at = len(out)
			out = append(out, g)
		}
		out[at].cells = append(out[at].cells, c)
	}
	for i := range out {
		for j := range out {
			if out[i].experiment == out[j].experiment && out[i].app == out[j].app && out[i].accel == out[j].accel {
				out[i].of++
				if j <= i {
					out[i].number++
				}
			}
		}
	}
	return out
}

func (g figureGroup) title() string {
	out := g.experiment
	if g.app != "" {
		out += ": " + g.app
	}
	if g.accel != "" {
		out += ", " + accelWords(g.accel)
	}
	if g.of > 1 {
		out += fmt.Sprintf(" (%d of %d)", g.number, g.of)
	}
	return out
}

func accelWords(accel string) string {
	switch accel {
	case "kvm", "tcg":
		return strings.ToUpper(accel)
	}
	return accel
}
