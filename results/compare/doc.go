// SPDX-License-Identifier: Apache-2.0

// Package compare holds two sets of cells against each other: the same cells of two runs,
// or cells that differ in one thing (system, platform, version of the image) within one or
// two.
//
// It knows which cells may be compared, which direction of a metric is the better one, and
// when a difference is one. It does not know how a test works (package results/stats), nor
// how anything was measured. docs/compare.md is for people.
package compare
