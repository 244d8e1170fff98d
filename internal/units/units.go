// SPDX-License-Identifier: Apache-2.0

// Package units writes figures for people: three digits that count, and the largest unit
// in which the figure is at least one. It is what tables, reports and the live view write
// with, so that the same figure reads the same everywhere. Files and JSON have figures in
// full, in base units.
package units

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// Style is what the output can show.
type Style struct{ ASCII bool } // nothing but ASCII

// step is a unit and how large it is.
type step struct {
	name string
	size float64
}

var (
	timeSteps   = []step{{"ns", 1}, {"µs", 1e3}, {"ms", 1e6}, {"s", 1e9}}
	binarySteps = []step{{"B", 1}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}}
	countSteps  = []step{{"", 1}, {"k", 1e3}, {"M", 1e6}, {"G", 1e9}}
)

// Number writes a figure with three digits that count; from 1000 on all of them before
// the point, and below 1 two after it. What is not finite is written as such.
func Number(v float64) string {
	decimals := 2
	switch a := math.Abs(v); {
	case v == 0 || a >= 99.95:
		decimals = 0
	case a >= 9.995:
		decimals = 1
	}
	return strconv.FormatFloat(v, 'f', decimals, 64)
}

// Whole writes a figure without what is behind the point.
func Whole(v float64) string { return strconv.FormatFloat(v, 'f', 0, 64) }

// most is from where on a figure of three digits would have a fourth.
const most = 999.5

// in writes a figure in the unit that suits it. most is reached one unit earlier than
// the next unit is, so that rounding never gives 1000 of one.
func in(v float64, steps []step) string {
	i := 0
	for i < len(steps)-1 && (math.Abs(v) >= steps[i+1].size || math.Abs(v)/steps[i].size >= most && steps[i+1].size/steps[i].size <= 1000) {
		i++
	}
	text := Number(v / steps[i].size)
	if i == 0 && v == math.Trunc(v) {
		text = Whole(v)
	}
	if steps[i].name == "" {
		return text
	}
	return text + " " + steps[i].name
}

// Duration writes nanoseconds.
func (s Style) Duration(ns float64) string {
	text := in(ns, timeSteps)
	if s.ASCII {
		return strings.Replace(text, "µ", "u", 1)
	}
	return text
}

// Time writes a span of time.
func (s Style) Time(d time.Duration) string { return s.Duration(float64(d.Nanoseconds())) }

// Size writes bytes with binary prefixes (IEC 80000-13).
func Size(v float64) string { return in(v, binarySteps) }

// Count writes a rate or a large count with decimal prefixes.
func Count(v float64) string { return in(v, countSteps) }

// Percent writes a share of 100.
func Percent(v float64) string { return Number(v) + " %" }

// Quantity writes a metric's value in the unit that its name ends with.
func (s Style) Quantity(metric string, v float64) string {
	switch {
	case strings.HasSuffix(metric, "_bytes_per_second"):
		return Size(v) + "/s"
	case strings.HasSuffix(metric, "_bytes"):
		return Size(v)
	case strings.HasSuffix(metric, "_ns"):
		return s.Duration(v)
	case strings.HasSuffix(metric, "_percent"):
		return Percent(v)
	case strings.HasSuffix(metric, "_bits"):
		return Number(v) + " bit"
	case !strings.HasSuffix(metric, "_per_second") && v == math.Trunc(v) && math.Abs(v) < 1e6:
		return Whole(v)
	}
	return Count(v)
}

// Left writes how long something will still take, which is only estimated: to the second
// below a minute, else to the largest two units.
func Left(d time.Duration) string {
	switch {
	case d < time.Minute:
		return d.Round(time.Second).String()
	case d < time.Hour:
		d = d.Round(5 * time.Second)
	default:
		d = d.Round(time.Minute)
	}
	if text, whole := strings.CutSuffix(d.String(), "m0s"); whole {
		return text + "m"
	}
	return d.String()
}
