// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"html/template"
	"slices"
	"strings"

	"github.com/ukprobe/ukprobe/results/shape"
	"github.com/ukprobe/ukprobe/results/stats"
)

// rings are drawn around an outlier: one, or two if it is far out. They add to the sample's
// own mark, so that a tainted one is still to be seen as that.
func (d *drawing) rings(far stats.Far, x string, y float64) {
	for i := range int(far) {
		fmt.Fprintf(d, `<circle class="out" cx="%s" cy="%s" r="%s"/>`, x, decimal(y, 1), decimal(5.5+2.5*float64(i), 1))
	}
}

// bracket is around the samples of a mode, below a strip.
type bracket struct {
	name   string
	lo, hi float64 // in percent across
	level  int     // from 0: so deep that names do not lie over each other
}

// Pixels that a level of brackets takes.
const bracketHeight = 19.0

// bracketsOf are those of the modes, if there are several, and the pixels that they take.
func bracketsOf(s *shape.Shape, points []point, x scale) (out []bracket, height float64) {
	const apart = 100 * 52.0 / narrowPlot // of the names, on the narrowest phone
	if s == nil {
		return nil, 0
	}
	var last []float64 // by level
	for i, m := range s.Modes {
		lo, hi := within(m, points)
		b := bracket{name: fmt.Sprintf("mode %d", i+1), lo: x.at(lo), hi: x.at(hi)}
		middle := (b.lo + b.hi) / 2
		b.level = slices.IndexFunc(last, func(at float64) bool { return middle-at >= apart })
		if b.level < 0 {
			b.level, last = len(last), append(last, 0)
		}
		last[b.level] = middle
		out = append(out, b)
	}
	return out, bracketHeight * float64(len(last))
}

// within are the ends of a mode without its outliers.
func within(m stats.Mode, points []point) (lo, hi float64) {
	lo, hi = m.Hi, m.Lo
	for _, p := range points {
		if p.has && p.counts && p.far == stats.Inside && p.value >= m.Lo && p.value <= m.Hi {
			lo, hi = min(lo, p.value), max(hi, p.value)
		}
	}
	return lo, hi
}

func (d *drawing) bracket(b bracket, below float64) {
	y := below + bracketHeight*float64(b.level) + 5
	hi := max(b.hi, b.lo+0.5) // of equal values
	d.line("bracket", b.lo, y, hi, y)
	d.line("bracket", b.lo, y-4, b.lo, y)
	d.line("bracket", hi, y-4, hi, y)
	d.text("tick", (b.lo+hi)/2, y+11, b.name)
}

// stripKeys are the legend of the marks that the strips of a figure have.
func stripKeys(points [][]point, shapes []*shape.Shape) []figureKey {
	any := func(is func(point) bool) bool {
		return slices.ContainsFunc(points, func(ps []point) bool { return slices.ContainsFunc(ps, is) })
	}
	const disc, ring = `<circle class="k" cx="9" cy="9" r="3"/>`, `<circle class="out" cx="9" cy="9" r="%s"/>`
	keys := []struct {
		there       bool
		mark, label string
	}{
		{any(func(p point) bool { return p.has && p.counts && !p.tainted }), disc, "sample"},
		{any(func(p point) bool { return p.has && p.counts && p.tainted }), `<circle class="t kt" cx="9" cy="9" r="3"/>`, "tainted"},
		{any(func(p point) bool { return p.far == stats.Outside }), disc + fmt.Sprintf(ring, "5.5"), "outlier"},
		{any(func(p point) bool { return p.far == stats.FarOut }), disc + fmt.Sprintf(ring, "5.5") + fmt.Sprintf(ring, "8"), "outlier, far out"},
		{any(func(p point) bool { return !p.has }), `<path class="bad" d="M6 6l6 6M12 6l-6 6"/>`, "timed out or failed"},
		{any(func(p point) bool { return p.has && !p.counts }), `<path class="again" d="M9 5l4 4l-4 4l-4-4z"/>`, "taken again, does not count"},
		{slices.ContainsFunc(shapes, func(s *shape.Shape) bool { return s != nil && len(s.Modes) > 1 }), `<path class="bracket" d="M1 6v4H17V6"/>`, "mode"},
	}
	var out []figureKey
	for _, k := range keys {
		if k.there {
			out = append(out, figureKey{template.HTML(`<svg class="swatch" width="18" height="18" aria-hidden="true">` + k.mark + `</svg>`), k.label})
		}
	}
	return out
}

// shapeRow are the columns of a figure's table that say what its samples look like.
func shapeRow(o Options, metric string, s *shape.Shape) []string {
	row := []string{"–", "–", "–", "–"}
	if s == nil {
		return row
	}
	if s.Quartiles != nil {
		row[0] = o.quantity(metric, s.Quartiles[0]) + " and " + o.quantity(metric, s.Quartiles[1])
	}
	var modes []string
	for _, m := range s.Modes {
		modes = append(modes, shape.ModeWords(m, metric, o.units()))
	}
	if len(modes) > 0 {
		row[1] = strings.Join(modes, ", ")
	}
	if s.DriftP != nil {
		row[2] = fmt.Sprintf("%+.1f %% (%s)", *s.DriftPercent, shape.PWords(*s.DriftP))
	}
	if s.Marks != nil {
		row[3] = fmt.Sprint(s.Outliers)
	}
	return row
}
