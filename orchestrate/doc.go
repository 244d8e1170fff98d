// SPDX-License-Identifier: Apache-2.0

// Package orchestrate is the laboratory: it takes a matrix, prepares images,
// networks, cgroups and CPUs, runs the samples of all cells in an interleaved
// order, and stores each as it finishes.
//
// It knows guests, VMMs and experiments through its subpackages. It knows no
// BPF: package probe is the instrument.
package orchestrate
