// SPDX-License-Identifier: Apache-2.0

package report

import "github.com/ukprobe/ukprobe/internal/units"

func (o Options) units() units.Style { return units.Style{ASCII: o.ASCII} }

// number writes a figure with three digits that count.
func number(v float64) string { return units.Number(v) }

// duration writes nanoseconds.
func (o Options) duration(ns float64) string { return o.units().Duration(ns) }

// quantity writes a figure in the unit that its name ends with.
func (o Options) quantity(metric string, v float64) string { return o.units().Quantity(metric, v) }

func (o Options) plusMinus() string { return o.Pick("±", "+-") }
