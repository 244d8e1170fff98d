// SPDX-License-Identifier: Apache-2.0

// Package matrix reads the matrix file: which cells a run has, and how often
// each is sampled. It parses, checks, expands, selects and orders. It is pure:
// it knows no guest, VMM, network or kernel, and which names exist it is told
// through a Vocabulary. The file is described in docs/matrix.md.
package matrix
