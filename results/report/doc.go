// SPDX-License-Identifier: Apache-2.0

// Package report draws runs: for a terminal a table of the cells, and one timeline of a real
// sample for each; and the evaluation's tables, with figures on a page. It knows only what is
// in package results, and what it is handed of systems ([Document.Characterise]); it measures
// nothing and decides nothing.
package report
