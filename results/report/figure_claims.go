// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"html/template"
	"slices"
	"strings"

	"github.com/ukprobe/ukprobe/results"
)

// claimSection holds what guests said of their own time against what the host saw.
func claimSection(cells []sourced) section {
	s := section{ID: "claims", Title: "What guests claim, and what the host saw",
		Intro:  "Each row is one claim of a guest: the ring is what it says, the disc what the host saw, both of the boot that is nearest to the medians. Controls are mapped wrongly on purpose, to show that it would be noticed. Rows whose claim cannot be told say why.",
		Absent: "No guest's claims were looked for, or none was found: they are of the experiment timing-validation."}
	var silent []string
	for _, c := range cells {
		groups, boot := claimGroups(c.Cell)
		switch {
		case !c.HasFigures():
		case len(groups) == 0:
			if experimentOf(c.Cell) == "timing-validation" {
				silent = append(silent, c.App+", "+cellLabel(c))
			}
		default:
			s.Figures = append(s.Figures, claimFigure(fmt.Sprintf("claims-%d", len(s.Figures)+1), c, groups, boot))
		}
	}
	if len(silent) > 0 && len(s.Figures) > 0 {
		s.Intro += " No claim was found in what these printed: " + strings.Join(silent, "; ") + "."
	}
	return s.done()
}

func claimFigure(id string, c sourced, groups []claimGroup, boot int) figure {
	o := Options{}
	title := c.App + ", " + cellLabel(c)
	if a := accelOf(c.Cell); a != "" {
		title += ", " + accelWords(a)
	}
	f := figure{ID: id, Title: title, XLabel: "time", Notes: c.rowNotes(), Table: &figureTable{Head: []string{"claim", "verdict", "it says", "host saw", "off by", "±", "in words"}},
		Keys: []figureKey{{claimSwatch("claimed", 5.5), "it says"}, {claimSwatch("seen", 3.5), "host saw"}}}
	if n := len(c.Samples); n > 1 {
		f.Caption = fmt.Sprintf("Boot %d of %d.", boot+1, n)
	}
	var values []float64
	for _, g := range groups {
		for _, v := range []*int64{g.shown.ClaimNS, g.shown.HostNS} {
			if v != nil && g.told() {
				values = append(values, float64(*v))
			}
		}
	}
	x := newScale(totalNs, len(values) > 0 && slices.Min(values) >= 0, values...)
	for i, g := range groups {
		m := g.shown
		verdict := m.Status
		if verdict == results.ClaimUnknown {
			verdict = "cannot be told"
		}
		row := []string{g.title(o), verdict, o.optional(m.ClaimNS), o.optional(m.HostNS), "–", "–", o.claimSentence(g)}
		value := verdict
		d := newDrawing("strip", fmt.Sprintf("%s-%d", id, i+1), g.title(o)+": "+verdict, o.claimSentence(g), 22)
		if g.told() {
			row[4], row[5] = o.delta(float64(*m.OffNS)), o.duration(float64(*m.ErrNS))
			value = "off by " + row[4] + " ± " + row[5]
			if verdict != results.ClaimOff {
				value = verdict + ", " + value
			}
			a, b := x.at(float64(*m.ClaimNS)), x.at(float64(*m.HostNS))
			d.line("link", min(a, b), 11, max(a, b), 11)
			fmt.Fprintf(d, `<circle class="mk seen" cx="%s" cy="11" r="3.5"/><circle class="mk claimed" cx="%s" cy="11" r="6.5"/>`, percent(b), percent(a))
		}
		d.end()
		f.Table.Rows = append(f.Table.Rows, row)
		f.Rows = append(f.Rows, figureRow{Label: g.title(o), Value: value, SVG: d.html()})
	}
	if len(values) > 0 {
		f.Axis = sharedAxis(x, narrowBar)
	}
	return f
}

// told says whether there is something to draw of a claim.
func (g *claimGroup) told() bool {
	m := g.shown
	return m.OffNS != nil && m.ErrNS != nil && m.ClaimNS != nil && m.HostNS != nil
}

func claimSwatch(class string, radius float64) template.HTML {
	return template.HTML(fmt.Sprintf(`<svg class="swatch" width="14" height="14" aria-hidden="true"><circle class="mk %s" cx="7" cy="7" r="%s"/></svg>`, class, decimal(radius, 1)))
}
