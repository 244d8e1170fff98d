// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"maps"
	"strings"

	"github.com/ukprobe/ukprobe/results"
)

// cellRow is a row of a table: a cell, or a part of it. again says that it is not the
// cell's first.
type cellRow struct {
	cell  *results.Cell
	again bool
}

// rows are the cells as a table shows them: one of experiment fs with several block sizes
// has a row for each, since their figures do not compare. What the host saw is of all of
// them together, and in the first one's row alone.
func (g group) rows() []cellRow {
	var out []cellRow
	for _, c := range g.cells {
		if c.Settings == nil || c.Settings.Load == nil || len(c.Settings.Load.BlockBytes) < 2 || !c.HasFigures() {
			out = append(out, cellRow{cell: c})
			continue
		}
		for i, size := range c.Settings.Load.BlockBytes {
			out = append(out, cellRow{blockOf(c, size, i == 0), i > 0})
		}
	}
	return out
}

// blockOf is a cell with the figures of one block size under their plain names.
func blockOf(c *results.Cell, size int, first bool) *results.Cell {
	row := *c
	prefix := fmt.Sprintf("block_%d_", size)
	row.Summary = maps.Clone(c.Summary)
	maps.DeleteFunc(row.Summary, func(name string, _ results.Summary) bool {
		return !first || !strings.HasPrefix(name, "host_")
	})
	for name, s := range c.Summary {
		if plain, ok := strings.CutPrefix(name, prefix); ok {
			row.Summary[plain] = s
		}
	}
	return &row
}
