// SPDX-License-Identifier: Apache-2.0

package matrix

import "github.com/ukprobe/ukprobe/internal/only"

// Select returns the cells that any of the selectors picks, in their order; all of them
// when there is no selector. A selector that picks nothing, or names a value that no cell
// has, is an error that lists what there is.
func Select(cells []Cell, selectors []only.Selector) ([]Cell, error) {
	return only.Select(cells, chosenBy, selectors)
}

// chosenBy is what a cell is chosen by: what the file says of it.
func chosenBy(c *Cell) only.Cell {
	return only.Cell{System: c.System, App: c.App, Platform: c.Platform, Experiment: c.Experiment,
		Image: c.Image, Variant: c.Variant(), Accel: c.Accel, Probes: c.Probes}
}
