// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/ukprobe/ukprobe/internal/only"
	"github.com/ukprobe/ukprobe/results"
	"github.com/ukprobe/ukprobe/results/compare"
)

// exitRegression is the status of a comparison that found what --fail-on names.
const exitRegression = 3

// Values of flags of compare.
var (
	compareFormats = []string{"term", "md", "csv", "json", "go-bench"}
	failOnValues   = []string{"regression", "difference"}
)

func compareCommand() *cli.Command {
	return &cli.Command{
		Name:  "compare",
		Usage: "compare two runs cell by cell, or cells of a run along an axis",
		Description: "Medians with their intervals, the change with its own, and whether there is one:\n" +
			"Mann–Whitney's test, corrected for the number of comparisons. A is held to be the\n" +
			"older run, or the base. Figures of other accelerators, hosts or attach mechanisms\n" +
			"are compared only with --across. A change beyond --threshold is one whose whole\n" +
			"interval is. With --fail-on the exit status is 3 if there is any; a cell that has\n" +
			"figures in A and none in B, for whatever reason, is a finding too. docs/compare.md\n\n" +
			"Examples:\n" +
			"  ukprobe compare results-monday results-tuesday\n" +
			"  ukprobe compare A B --threshold 5% --fail-on regression\n" +
			"  ukprobe compare A --by platform --base qemu\n" +
			"  ukprobe compare A --by system --across accel --only app=hello\n" +
			"  ukprobe compare A B --by host\n" +
			"  ukprobe compare A B --metric 'frames_*' --format md\n" +
			"  ukprobe compare A B --format go-bench | benchstat -col set /dev/stdin",
		ArgsUsage: "A [B]",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "by", Usage: "compare cells that differ in `AXIS`: system, platform, host, or version (of the image)"},
			&cli.StringFlag{Name: "base", Usage: "the `VALUE` of the axis that the others of one run are held against; without it the first one"},
			&cli.StringFlag{Name: "threshold", Value: "0%", Usage: "how large a change counts, in `PERCENT`"},
			&cli.StringSliceFlag{Name: "metric", Usage: "compare this `METRIC` or pattern, or all; several times for several; without it the experiment's main ones"},
			onlyFlag(),
			&cli.StringSliceFlag{Name: "across", Usage: "compare in spite of another `WHAT`: rung, accel, host; with a warning"},
			&cli.StringFlag{Name: "correct", Value: compare.CorrectHolm, Usage: "how p is corrected for the number of comparisons: `METHOD` holm, bh or none"},
			&cli.StringFlag{Name: "fail-on", Usage: "exit with 3 at a `FINDING`: regression, or difference in any direction"},
			&cli.StringFlag{Name: "format", Value: "term", Usage: "`FORMAT` of the output: " + strings.Join(compareFormats, ", ")},
		},
		Action: compareRuns,
	}
}

func compareRuns(c *cli.Context) error {
	o, err := compareOptions(c)
	if err != nil {
		return usage(err)
	}
	var sets []compare.Set
	for _, dir := range c.Args().Slice() {
		head, cells, err := results.Columns(dir)
		if err != nil {
			return err
		}
		sets = append(sets, compare.FromValues(dir, head, cells))
	}
	if c.String("format") == "go-bench" {
		if sets, err = compare.Select(sets, o.Only); err != nil {
			return usage(err)
		}
		return compare.GoBench(c.App.Writer, o.Metrics, sets...)
	}
	var r *compare.Report
	if len(sets) == 1 {
		r, err = compare.Within(sets[0], o)
	} else {
		r, err = compare.Runs(sets[0], sets[1], o)
	}
	var wrong *compare.OptionError
	switch {
	case errors.As(err, &wrong):
		return usage(fmt.Errorf("compare: %w", err))
	case err != nil:
		return fmt.Errorf("compare: %w", err)
	}
	if err := writeComparison(c, r); err != nil {
		return err
	}
	return found(c.String("fail-on"), r)
}

// compareOptions checks what can be checked before anything is read.
func compareOptions(c *cli.Context) (o compare.Options, err error) {
	o = compare.Options{By: c.String("by"), Base: c.String("base"), Metrics: c.StringSlice("metric"), Correct: c.String("correct")}
	for _, list := range c.StringSlice("across") {
		o.Across = append(o.Across, strings.Split(list, ",")...)
	}
	for _, f := range []struct {
		flag string
		of   []string
	}{{"format", compareFormats}, {"fail-on", failOnValues}} {
		if v := c.String(f.flag); v != "" && !slices.Contains(f.of, v) {
			return o, fmt.Errorf("--%s %q: there are %s", f.flag, v, strings.Join(f.of, ", "))
		}
	}
	if o.Threshold, err = compare.ParseThreshold(c.String("threshold")); err != nil {
		return o, fmt.Errorf("--threshold: %w", err)
	}
	if err := o.Check(); err != nil {
		return o, err
	}
	if o.Only, err = only.ParseAll(c.StringSlice("only")); err != nil {
		return o, err
	}
	goBench := c.String("format") == "go-bench"
	switch n := c.NArg(); {
	case n == 0 || n > 2:
		return o, errors.New("compare takes two runs, or with --by system, platform or version one: the folders of their results")
	case goBench && (o.By != "" || c.IsSet("fail-on")):
		return o, errors.New("--format go-bench only prints samples: benchstat compares them, and takes neither --by nor --fail-on of ours")
	case n == 1 && !goBench && (o.By == "" || o.By == compare.ByHost):
		return o, fmt.Errorf("%s alone has nothing to be compared with: name another run, or compare within it with --by system, platform or version", c.Args().First())
	}
	return o, nil
}

func writeComparison(c *cli.Context, r *compare.Report) error {
	w := c.App.Writer
	switch c.String("format") {
	case "json":
		return r.JSON(w)
	case "csv":
		for _, text := range r.Warnings {
			fmt.Fprintln(os.Stderr, "ukprobe: warning:", streamOptions(os.Stderr).Clean(text))
		}
		for _, text := range r.NotCompared() {
			fmt.Fprintln(os.Stderr, "ukprobe:", streamOptions(os.Stderr).Clean(text))
		}
		return r.CSV(w)
	case "md":
		return r.Markdown(w)
	}
	return r.Term(w, reportOptions())
}

// found turns what --fail-on names into its exit status.
func found(failOn string, r *compare.Report) error {
	rows, broken := r.Regressions()
	var parts []string
	add := func(n int, one, several string) {
		switch {
		case n == 1:
			parts = append(parts, "1 "+one)
		case n > 1:
			parts = append(parts, fmt.Sprintf("%d %s", n, several))
		}
	}
	switch failOn {
	case "":
		return nil
	case "difference":
		add(r.Differences(), "difference", "differences")
	default:
		add(rows, "regression", "regressions")
	}
	add(broken, "cell that has no figures any more", "cells that have no figures any more")
	if len(parts) == 0 {
		return nil
	}
	return cli.Exit("compare: "+strings.Join(parts, ", "), exitRegression)
}
