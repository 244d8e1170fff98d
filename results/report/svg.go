// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// drawing is an SVG in the making. Positions across are percents of its width, which is the
// page's to choose, and positions down are pixels: so text keeps its size on a phone. What
// has to be a path is in percents both ways (see [drawing.plane]).
//
// All text goes through escape; there are no style attributes, which the page's
// Content-Security-Policy would not let pass.
type drawing struct{ strings.Builder }

// escape makes any text safe as text and as an attribute's value of HTML and SVG.
func escape(s string) string { return html.EscapeString(Options{}.Clean(s)) }

func percent(v float64) string { return decimal(v, 2) + "%" }

// decimal writes a number with at most so many digits after the point.
func decimal(v float64, digits int) string {
	s := strconv.FormatFloat(v, 'f', digits, 64)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	if s == "-0" {
		return "0"
	}
	return s
}

func (d *drawing) line(class string, x1, y1, x2, y2 float64) {
	fmt.Fprintf(d, `<line class="%s" x1="%s" y1="%s" x2="%s" y2="%s"/>`, class, percent(x1), decimal(y1, 1), percent(x2), decimal(y2, 1))
}

// rect draws from the top.
func (d *drawing) rect(class string, x, width, height float64) {
	fmt.Fprintf(d, `<rect class="%s" x="%s" y="0" width="%s" height="%s"/>`, class, percent(x), percent(width), decimal(height, 1))
}

// text writes at a percent across, shifted so that it stays inside at both ends.
func (d *drawing) text(class string, x, y float64, s string) {
	anchor := "middle"
	switch {
	case x < 3:
		anchor = "start"
	case x > 97:
		anchor = "end"
	}
	fmt.Fprintf(d, `<text class="%s" x="%s" y="%s" text-anchor="%s">%s</text>`, class, percent(x), decimal(y, 1), anchor, escape(s))
}

// mark draws a sign around a point, one of a series' shapes.
func (d *drawing) mark(class string, shape int, x, y float64) {
	if shape%markShapes == 0 {
		fmt.Fprintf(d, `<circle class="%s" cx="%s" cy="%s" r="4"/>`, class, percent(x), decimal(y, 1))
		return
	}
	// A nested svg carries the point in percents; its own coordinates are pixels.
	fmt.Fprintf(d, `<svg x="%s" y="%s" class="over"><path class="%s" d="%s"/></svg>`, percent(x), decimal(y, 1), class, markPaths[shape%markShapes-1])
}

const markShapes = 6

var markPaths = [markShapes - 1]string{
	"M-4-4h8v8h-8z", "M0-5l5 9h-10z", "M0-5.5l5.5 5.5l-5.5 5.5l-5.5-5.5z", "M0 5l5-9h-10z", "M-5-1.5h3.5v-3.5h3v3.5h3.5v3h-3.5v3.5h-3v-3.5h-3.5z",
}

// plane begins a nested drawing of a height in which both ways go from 0 to 1000: for paths.
func (d *drawing) plane(y, height float64) {
	fmt.Fprintf(d, `<svg x="0" y="%s" width="100%%" height="%s" viewBox="0 0 1000 1000" preserveAspectRatio="none">`, decimal(y, 1), decimal(height, 1))
}

func (d *drawing) end() { d.WriteString("</svg>") }

// html is the finished drawing.
func (d *drawing) html() template.HTML { return template.HTML(d.String()) }

// newDrawing begins a drawing that says of itself what it shows. Its id has to be unique.
func newDrawing(class, id, title, desc string, height float64) *drawing {
	return beginDrawing("img", class, id, title, desc, height)
}

// newGroup begins a drawing whose parts can be gone to, one by one.
func newGroup(class, id, title, desc string, height float64) *drawing {
	return beginDrawing("group", class, id, title, desc, height)
}

func beginDrawing(role, class, id, title, desc string, height float64) *drawing {
	d := new(drawing)
	fmt.Fprintf(d, `<svg class="%s" role="%s" aria-labelledby="%s-t %s-d" width="100%%" height="%s"><title id="%s-t">%s</title><desc id="%s-d">%s</desc>`,
		class, role, id, id, decimal(height, 0), id, escape(title), id, escape(desc))
	return d
}

// scale maps values to percents.
type scale struct {
	lo, hi float64
	log    bool
	metric string
}

// newScale is one on which all the values are. It is logarithmic if they spread over more
// than a factor of 20 and none is 0; else it begins at 0 if that costs less than half of
// the width, or if it has to.
func newScale(metric string, zero bool, values ...float64) scale {
	s := scale{lo: math.Inf(1), hi: math.Inf(-1), metric: metric}
	for _, v := range values {
		if !notANumber(v) && math.Abs(v) < math.MaxFloat64/4 {
			s.lo, s.hi = min(s.lo, v), max(s.hi, v)
		}
	}
	switch {
	case s.lo > s.hi:
		s.lo, s.hi = 0, 1
	case zero:
		s.lo = min(s.lo, 0)
	case s.lo > 0 && s.hi/s.lo > 20:
		s.log = true
	}
	if s.log {
		span := (math.Log(s.hi) - math.Log(s.lo)) * 0.04
		s.lo, s.hi = max(s.lo*math.Exp(-span), math.SmallestNonzeroFloat64), min(s.hi*math.Exp(span), math.MaxFloat64)
		return s
	}
	if s.lo >= 0 && s.lo < s.hi/2 {
		s.lo = 0
	}
	margin := (s.hi - s.lo) * 0.04
	if margin == 0 {
		margin = max(math.Abs(s.hi)*0.05, 0.5)
	}
	s.hi += margin
	if s.lo != 0 {
		s.lo -= margin
	}
	return s
}

// rangeScale is newScale from the least to the largest value, wherever zero is: of how values
// are spread their distance from it says nothing.
func rangeScale(metric string, values ...float64) scale {
	s := newScale(metric, false, values...)
	least, most := math.Inf(1), math.Inf(-1)
	for _, v := range values {
		if !notANumber(v) {
			least, most = min(least, v), max(most, v)
		}
	}
	if s.log || s.lo != 0 || least >= most { // it is, or there is no range
		return s
	}
	margin := (most - least) * 0.04
	s.lo, s.hi = max(0, least-margin), most+margin
	return s
}

// begins says of an axis where it begins, if that is not at zero.
func (s scale) begins() string {
	switch {
	case s.log:
		return "; logarithmic axis"
	case s.lo > 0:
		return "; the axis does not begin at zero"
	}
	return ""
}

func notANumber(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) }

// at is the place of a value in percent, never outside.
func (s scale) at(v float64) float64 {
	p := (v - s.lo) / (s.hi - s.lo)
	if s.log {
		p = (math.Log(v) - math.Log(s.lo)) / (math.Log(s.hi) - math.Log(s.lo))
	}
	if math.IsNaN(p) {
		return 0
	}
	return 100 * min(max(p, 0), 1)
}

// tick is a value with its words on an axis.
type tick struct {
	at    float64
	label string
}

// ticks are at most six, at round values in the metric's unit.
func (s scale) ticks() []tick {
	const most = 5
	unit, step := s.unit(), 0.0
	var values []float64
	if s.log {
		values = s.decades(most + 1)
	}
	if len(values) < 2 {
		values = nil
		step = niceStep((s.hi-s.lo)/unit/most) * unit
		first := math.Ceil(s.lo / step)
		for i := range most + 2 { // counted: values may be so close that adding a step changes nothing
			if v := (first + float64(i)) * step; v <= s.hi {
				values = append(values, v)
			}
		}
	}
	var out []tick
	for _, v := range values {
		t := tick{s.at(v), s.label(v, step)}
		if n := len(out); n > 0 && (out[n-1].label == t.label || out[n-1].at >= t.at) {
			continue // absurd values, which no number of digits tells apart
		}
		out = append(out, t)
	}
	return out
}

// decades are round values of a logarithmic scale, as many as there is place for.
func (s scale) decades(most int) []float64 {
	base := 10.0
	if strings.HasSuffix(s.metric, "_bytes") {
		base = 2
	}
	for _, digits := range [][]float64{{1, 2, 5}, {1, 3}, {1}} {
		if base == 2 && len(digits) > 1 {
			continue
		}
		for skip := 1; skip < 1100; skip++ {
			if len(digits) > 1 && skip > 1 {
				break
			}
			var out []float64
			from := math.Floor(math.Log(s.lo) / math.Log(base))
			for e := from; math.Pow(base, e) <= s.hi; e++ {
				if len(out) > most {
					break
				}
				for _, d := range digits {
					if v := d * math.Pow(base, e); v >= s.lo && v <= s.hi && math.Mod(e, float64(skip)) == 0 {
						out = append(out, v)
					}
				}
			}
			if len(out) <= most {
				return out
			}
		}
	}
	return nil
}

// niceStep is the next of 1, 2 and 5 times a power of ten.
func niceStep(v float64) float64 {
	p := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5} {
		if m*p >= v*0.999 {
			return m * p
		}
	}
	return 10 * p
}

// unit is what steps are round in: powers of 1024 of bytes.
func (s scale) unit() float64 {
	u := 1.0
	if strings.HasSuffix(s.metric, "_bytes") || strings.HasSuffix(s.metric, "_bytes_per_second") {
		for s.hi/u >= 1024 {
			u *= 1024
		}
	}
	return u
}

// label is a tick's value in words: in its own unit where the scale is logarithmic, else in
// that of the scale's end, with as many digits as tell the steps apart.
func (s scale) label(v, step float64) string {
	if v == 0 {
		return "0"
	}
	end := max(math.Abs(s.hi), math.Abs(s.lo))
	if s.log || step == 0 {
		end, step = v, v
	}
	name, size := tickUnit(s.metric, end)
	digits := int(min(max(math.Ceil(-math.Log10(step/size)-1e-9), 0), 9))
	out := decimal(v/size, digits)
	if name == "" {
		return out
	}
	return out + " " + name
}

// tickUnit is the largest unit of a metric that fits into a value.
func tickUnit(metric string, v float64) (name string, size float64) {
	steps, factor := []string{"", "k", "M", "G"}, 1000.0
	switch unit := unitOf(metric); {
	case metric == "percent":
		return "%", 1
	case unit == "ns":
		steps = []string{"ns", "µs", "ms", "s"}
	case unit == "B":
		steps, factor = []string{"B", "KiB", "MiB", "GiB", "TiB"}, 1024
	case unit == "B/s":
		steps, factor = []string{"B/s", "KiB/s", "MiB/s", "GiB/s", "TiB/s"}, 1024
	}
	size = 1
	for i, step := range steps {
		name = step
		if i == len(steps)-1 || math.Abs(v) < size*factor*(1-1e-12) {
			break
		}
		size *= factor
	}
	return name, size
}

// Widths in pixels that drawings have on the narrowest phone (320): beside an axis, and
// without.
const (
	narrowPlot = 190
	narrowBar  = 262
)

// axis draws ticks and their words below a drawing, at the given height from its top; the
// grid lines go up to the top. Words that would lie over their neighbours on the
// narrowest phone are left out.
func (d *drawing) axis(s scale, y float64, narrow float64) {
	const perLetter, apart = 7.0, 5.0
	d.line("base", 0, y, 100, y)
	end := -apart
	for _, t := range s.ticks() {
		d.line("grid", t.at, 0, t.at, y)
		width := perLetter * float64(utf8.RuneCountInString(t.label))
		left := t.at/100*narrow - width/2
		switch {
		case t.at < 3:
			left = t.at / 100 * narrow
		case t.at > 97:
			left -= width / 2
		}
		if left < end+apart {
			continue
		}
		end = left + width
		d.text("tick", t.at, y+15, t.label)
	}
}

// sharedAxis is a drawing of nothing but an axis, for below the rows of a figure. The rows
// say their values themselves, so it is hidden from who hears the page.
func sharedAxis(s scale, narrow float64) template.HTML {
	d := new(drawing)
	d.WriteString(`<svg class="axis" aria-hidden="true" width="100%" height="22">`)
	d.axis(s, 2, narrow)
	d.end()
	return d.html()
}

// sideAxis draws ticks and their words at the left of a drawing's upper part.
func (d *drawing) sideAxis(s scale, height float64) {
	for _, t := range s.ticks() {
		y := height * (1 - t.at/100)
		d.line("grid", 0, y, 100, y)
		fmt.Fprintf(d, `<text class="tick" x="-6" y="%s" text-anchor="end">%s</text>`, decimal(y+4, 1), escape(t.label))
	}
	d.line("base", 0, height, 100, height)
}
