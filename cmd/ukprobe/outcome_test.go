// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"

	"github.com/ukprobe/ukprobe/results"
)

// TestOutcome: what a run says at its end, and its exit status.
func TestOutcome(t *testing.T) {
	cell := func(status string, ok, not int) results.Cell {
		c := results.Cell{Status: status}
		for range ok {
			c.Samples = append(c.Samples, results.Sample{Status: results.SampleOK})
		}
		for range not {
			c.Samples = append(c.Samples, results.Sample{Status: results.SampleTimeout})
		}
		return c
	}
	repeated := cell(results.CellOK, 3, 2) // of five samples two are repeats: the third was ready at the third try
	repeated.Samples[2], repeated.Samples[4] = repeated.Samples[4], repeated.Samples[2]
	repeated.Samples[3].RepeatOf, repeated.Samples[4].RepeatOf = 3, 3
	lateAgain := cell(results.CellOK, 2, 2)
	lateAgain.Samples[3].RepeatOf = 3
	unsupported := cell(results.CellUnsupported, 0, 0)
	tests := []struct {
		name  string
		cells []results.Cell
		said  string
		err   string // "": exit status 0
	}{
		{"all well", []results.Cell{cell(results.CellOK, 4, 0)}, "", ""},
		{"half of a cell", []results.Cell{cell(results.CellOK, 2, 2), cell(results.CellOK, 4, 0)}, "2 of 8 samples of 2 cells were not ok\n", ""},
		{"more than half of a cell", []results.Cell{cell(results.CellOK, 9, 1), cell(results.CellOK, 2, 3)},
			"4 of 15 samples of 2 cells were not ok\n", "in 1 of 2 cells more than half of the samples were not ok: the reasons are below the table"},
		{"all of a cell", []results.Cell{cell(results.CellFailed, 0, 3), cell(results.CellOK, 3, 0)},
			"3 of 6 samples of 2 cells were not ok\n", "1 of 2 cells failed: the reasons are below the table"},
		{"failed before a sample", []results.Cell{cell(results.CellFailed, 0, 0), cell(results.CellOK, 3, 0)}, "", "1 of 2 cells failed: the reasons are below the table"},
		{"one was not started", []results.Cell{cell(results.CellSkipped, 0, 0), cell(results.CellOK, 3, 0)}, "", ""},
		{"repeats", []results.Cell{repeated}, "", ""},
		{"repeats that were not ok", []results.Cell{lateAgain, repeated}, "1 of 6 samples (+3 repeats) of 2 cells were not ok\n", ""},
		{"unsupported ones", []results.Cell{unsupported, unsupported, cell(results.CellOK, 3, 0)}, "2 of 3 cells are unsupported: the reasons are below the table\n", ""},
		{"without an image", []results.Cell{cell(results.CellNoImage, 0, 0), cell(results.CellOK, 3, 0)}, "1 of 2 cells have no image: below the table is how to give one\n", ""},
		{"none has an image", []results.Cell{cell(results.CellNoImage, 0, 0)}, "1 of 1 cells have no image: below the table is how to give one\n", "nothing was measured: the reasons are below the table"},
		{"unsupported ones only", []results.Cell{unsupported}, "1 of 1 cells are unsupported: the reasons are below the table\n", "nothing was measured: the reasons are below the table"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var said strings.Builder
			got := ""
			err := outcome(&said, &results.File{Cells: tt.cells})
			if err != nil {
				got = err.Error()
			}
			if said.String() != tt.said || got != tt.err {
				t.Errorf("%q, error %q; want %q, %q", said.String(), got, tt.said, tt.err)
			}
		})
	}
}
