// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/ukprobe/ukprobe/results/report"
)

// writeColumns prints rows below a head, or where the device is too narrow for that a list of
// what each row says, made by words: its name, and sentences about it.
func writeColumns(w io.Writer, o report.Options, head []string, rows [][]string, words func(row []string) (name string, about []string)) error {
	var wide strings.Builder
	t := tabwriter.NewWriter(&wide, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, strings.Join(head, "\t"))
	for _, row := range rows {
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if o.Width <= 0 || text.LongestLineLen(wide.String()) <= o.Width {
		_, err := io.WriteString(w, wide.String())
		return err
	}
	var b strings.Builder
	for _, row := range rows {
		name, about := words(row)
		b.WriteString(report.Wrap(name, max(o.Width, 20), 2) + "\n")
		for _, line := range about {
			b.WriteString("  " + report.Wrap(line, max(o.Width-2, 20), 4) + "\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
