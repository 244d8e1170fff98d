// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/ukprobe/ukprobe/orchestrate"
	"github.com/ukprobe/ukprobe/orchestrate/characteristics"
)

func systemsCommand() *cli.Command {
	return &cli.Command{
		Name:  "systems",
		Usage: "print the systems' characteristics, and which of them this machine can run",
		Description: "The characteristics are the projects' own words, each with the number of its source;\n" +
			"--sources lists those. What can be run now is asked of this machine: programs, KVM,\n" +
			"Docker's engine, images. Nothing is built, pulled or started.\n\n" +
			"Examples:\n" +
			"  ukprobe systems osv unikraft\n" +
			"  ukprobe systems --sources\n" +
			"  ukprobe systems --json",
		ArgsUsage: "[SYSTEM…]",
		Flags: []cli.Flag{cacheFlag(), catalogueFlag(), jsonFlag(),
			&cli.BoolFlag{Name: "sources", Usage: "list the sources in full"}},
		Action: systems,
	}
}

// systemsReport is what `systems --json` prints.
type systemsReport struct {
	Characteristics []characteristics.System `json:"characteristics"`
	Runnable        []orchestrate.Runnable   `json:"runnable"`
	Sources         []characteristics.Source `json:"sources"`
}

func systems(c *cli.Context) error {
	all, err := images(c)
	if err != nil {
		return err
	}
	r := systemsReport{characteristics.Systems, orchestrate.CanRun(c.Context, all), characteristics.Sources}
	if err := r.only(c.Args().Slice()); err != nil {
		return err
	}
	if c.Bool("json") {
		return printJSON(c.App.Writer, r)
	}
	return r.write(c.App.Writer, c.Bool("sources"))
}

// only keeps the systems of those names.
func (r *systemsReport) only(names []string) error {
	var known []string
	for _, s := range r.Runnable {
		known = append(known, s.System)
	}
	for _, n := range names {
		if !slices.Contains(known, n) {
			return usage(fmt.Errorf("no system %q: %s", n, see("ukprobe systems", "", n, known)))
		}
	}
	if len(names) > 0 {
		r.Characteristics = slices.DeleteFunc(slices.Clone(r.Characteristics), func(s characteristics.System) bool { return !slices.Contains(names, s.Name) })
		r.Runnable = slices.DeleteFunc(r.Runnable, func(s orchestrate.Runnable) bool { return !slices.Contains(names, s.System) })
	}
	return nil
}

func (r *systemsReport) write(w io.Writer, sources bool) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, s := range r.Characteristics {
		fmt.Fprintln(t, s.Name)
		for _, row := range s.Rows() {
			writeFact(t, row)
		}
		fmt.Fprintln(t)
	}
	r.writeRunnable(t)
	if !sources {
		fmt.Fprintln(t, "\nThe numbers are sources: `ukprobe systems --sources` lists them.")
		return t.Flush()
	}
	fmt.Fprintln(t, "\nsources")
	for i, s := range r.Sources {
		fmt.Fprintf(t, "  [%d]\t%s: %s\n", i+1, s.Title, s.Where)
	}
	return t.Flush()
}

// writeFact prints a characteristic in lines of a column.
func writeFact(w io.Writer, row characteristics.Row) {
	text := row.Fact.Text + marks(row.Fact.Sources)
	head := row.Name
	for _, line := range wrap(text, 72) {
		fmt.Fprintf(w, "  %s\t%s\n", head, line)
		head = ""
	}
}

// marks are the numbers of sources.
func marks(keys []string) string {
	var b strings.Builder
	for _, key := range keys {
		i := slices.IndexFunc(characteristics.Sources, func(s characteristics.Source) bool { return s.Key == key })
		fmt.Fprintf(&b, " [%d]", i+1)
	}
	return b.String()
}

// wrap breaks a text into lines of at most width bytes, at blanks.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines, line = append(lines, line), ""
		}
		line = strings.TrimSpace(line + " " + word)
	}
	return append(lines, line)
}

func (r *systemsReport) writeRunnable(w io.Writer) {
	fmt.Fprintln(w, "what this machine can run now")
	for _, s := range r.Runnable {
		can, what := "yes", strings.Join(s.Apps, ", ")
		if len(s.Apps) == 0 {
			can, what = "no", s.Reason
		}
		for i, line := range wrap(what, 72) {
			if i > 0 {
				fmt.Fprintf(w, "\t\t\t%s\n", line)
				continue
			}
			fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", s.System, s.Platform, can, line)
		}
	}
}
