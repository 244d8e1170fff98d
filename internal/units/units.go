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
	percentStep = []step{{"%", 1}}
	bitStep     = []step{{"bit", 1}}
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

// suits is the index of the unit that suits a figure. most is reached one unit earlier than
// the next unit is, so that rounding never gives 1000 of one.
func suits(v float64, steps []step) int {
	i := 0
	for i < len(steps)-1 && (math.Abs(v) >= steps[i+1].size || math.Abs(v)/steps[i].size >= most && steps[i+1].size/steps[i].size <= 1000) {
		i++
	}
	return i
}

// in writes a figure in the unit that suits it.
func in(v float64, steps []step) string {
	s := steps[suits(v, steps)]
	return s.with(s.number(v))
}

// number writes a figure in the unit, without its name: what cannot be divided is whole.
func (s step) number(v float64) string {
	if s.size == 1 && s.name != "%" && s.name != "bit" && v == math.Trunc(v) {
		return Whole(v)
	}
	return Number(v / s.size)
}

func (s step) with(number string) string {
	if s.name == "" {
		return number
	}
	return number + " " + s.name
}

// Duration writes nanoseconds.
func (s Style) Duration(ns float64) string {
	return s.plain(in(ns, timeSteps))
}

// plain is a text as the output can show it.
func (s Style) plain(text string) string {
	if s.ASCII {
		return strings.NewReplacer("µ", "u", "–", "-").Replace(text)
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
func Percent(v float64) string { return in(v, percentStep) }

// Quantity writes a metric's value in the unit that its name ends with.
func (s Style) Quantity(metric string, v float64) string {
	steps, after := stepsOf(metric)
	if after == "" && countable(metric, v) {
		return Whole(v)
	}
	return s.plain(in(v, steps) + after)
}

// stepsOf are the units of a metric, and what stands after each of their names.
func stepsOf(metric string) (steps []step, after string) {
	switch {
	case strings.HasSuffix(metric, "_bytes_per_second"):
		return binarySteps, "/s"
	case strings.HasSuffix(metric, "_bytes"):
		return binarySteps, ""
	case strings.HasSuffix(metric, "_ns"):
		return timeSteps, ""
	case strings.HasSuffix(metric, "_percent"):
		return percentStep, ""
	case strings.HasSuffix(metric, "_bits"):
		return bitStep, ""
	}
	return countSteps, ""
}

// countable: the value is a number of things, and not so large that nobody would count them.
func countable(metric string, v float64) bool {
	steps, _ := stepsOf(metric)
	return steps[0].name == "" && !strings.HasSuffix(metric, "_per_second") && v == math.Trunc(v) && math.Abs(v) < 1e6
}

// Interval writes the two ends of an interval around a metric's value: both in the unit
// that the value is written in, which stands behind the second, so that the three can be
// held against one another: "41.1–139 ms" of 68.0 ms. An end that would be less than a
// tenth in it, or have five digits, makes both have units of their own.
func (s Style) Interval(metric string, v, lo, hi float64) string {
	steps, after := stepsOf(metric)
	to := "–"
	if lo < 0 || hi < 0 {
		to = " to "
	}
	if countable(metric, lo) && countable(metric, hi) {
		return s.plain(Whole(lo) + to + Whole(hi))
	}
	unit := steps[suits(v, steps)]
	least, largest := math.Min(math.Abs(lo), math.Abs(hi))/unit.size, math.Max(math.Abs(lo), math.Abs(hi))/unit.size
	if least != 0 && least < 0.1 && unit.size > 1 || largest >= 9999.5 && unit.name != steps[len(steps)-1].name {
		return s.Quantity(metric, lo) + s.plain(to) + s.Quantity(metric, hi)
	}
	return s.plain(unit.with(unit.number(lo)+to+unit.number(hi)) + after)
}

// Ends is an interval as [Style.Interval] wrote it without its unit, if that is the one of
// the value beside it: for where there is little room.
func Ends(value, interval string) string {
	if _, unit, ok := strings.Cut(value, " "); ok && strings.Count(interval, " ") == 1 {
		return strings.TrimSuffix(interval, " "+unit)
	}
	return interval
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
