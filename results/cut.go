// SPDX-License-Identifier: Apache-2.0

package results

// CutShort tells of a cell that failed whether it was interrupted in the midst: it has
// samples that are ok, and those that it lacks cannot be taken any more, as its reason
// says. Its figures are those of the samples that there are.
func (c *Cell) CutShort() bool { return c.Status == CellFailed && c.OKSamples() > 0 }

// HasFigures tells whether the cell's summary says something of it: it is ok, or was cut
// short.
func (c *Cell) HasFigures() bool { return c.Status == CellOK || c.CutShort() }
