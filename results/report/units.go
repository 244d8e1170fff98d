// SPDX-License-Identifier: Apache-2.0

package report

import (
	"strconv"
)

// unit is a unit of time for people.
type unit struct {
	name string
	ns   float64
}

// unitFor returns the largest unit in which v nanoseconds is at least one.
func (o Options) unitFor(v float64) unit {
	switch {
	case v >= 1e9:
		return unit{"s", 1e9}
	case v >= 1e6:
		return unit{"ms", 1e6}
	case v >= 1e3:
		return unit{o.pick("µs", "us"), 1e3}
	}
	return unit{"ns", 1}
}

// number writes a figure with three digits that count.
func number(v float64) string {
	decimals := 2
	switch {
	case v == 0:
		decimals = 0
	case v >= 99.95:
		decimals = 0
	case v >= 9.995:
		decimals = 1
	}
	return strconv.FormatFloat(v, 'f', decimals, 64)
}

func (o Options) duration(ns float64) string {
	u := o.unitFor(ns)
	return number(ns/u.ns) + " " + u.name
}

// number0 writes a whole number.
func number0(v float64) string { return strconv.FormatFloat(v, 'f', 0, 64) }

func (o Options) plusMinus() string { return o.pick("±", "+-") }
