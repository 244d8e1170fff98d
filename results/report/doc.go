// SPDX-License-Identifier: Apache-2.0

// Package report draws a run for a terminal: a table of the cells, and one
// timeline of a real sample for each. It knows only what is in package
// results; it measures nothing and decides nothing.
package report
