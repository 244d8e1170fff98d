// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/ukprobe/ukprobe/internal/plainjson"
	"github.com/ukprobe/ukprobe/results"
	"github.com/ukprobe/ukprobe/results/report"
)

func runsCommand() *cli.Command {
	return &cli.Command{
		Name:      "runs",
		Usage:     "list the runs of a results folder",
		ArgsUsage: "[DIR…]",
		Description: "Without a folder it is the current one; of a folder that holds no runs, the results\n" +
			"folders in it. The last column is what was asked for beside the matrix. A run is named\n" +
			"DIR, the latest one, or DIR@RUN: the beginning of its id, latest, or -1 for the one\n" +
			"before the latest, wherever a command takes one (docs/results.md).\n\n" +
			"Examples:\n" +
			"  ukprobe runs results-nightly\n" +
			"  ukprobe runs --json results-nightly | jq -r '.[] | select(.status == \"killed\") | .id'",
		Flags:  []cli.Flag{jsonFlag()},
		Action: listRuns,
	}
}

func listRuns(c *cli.Context) error {
	dirs, err := runFolders(c.Args().Slice())
	if err != nil {
		return err
	}
	all := []results.RunInfo{}
	var bad []error
	for _, dir := range dirs {
		list, err := results.List(dir)
		if err != nil {
			bad = append(bad, err)
			continue
		}
		all = append(all, list...)
	}
	slices.SortStableFunc(all, func(a, b results.RunInfo) int { return a.Started.Compare(b.Started) })
	switch {
	case len(all) == 0 && len(bad) > 0:
	case c.Bool("json"):
		bad = append(bad, printJSON(c.App.Writer, all))
	default:
		bad = append(bad, writeRuns(c.App.Writer, reportOptions(), all, len(dirs) > 1 || dirs[0] != c.Args().First()))
	}
	return errors.Join(bad...)
}

// runFolders are the folders that are meant: those that are named, the current one if none
// is. In the place of one that holds no runs are the folders in it that do.
func runFolders(named []string) (out []string, err error) {
	if len(named) == 0 {
		if out, err = foldersOf("."); err == nil && len(out) == 0 {
			err = errors.New("runs: neither the current folder nor one in it holds results: name a results folder")
		}
		return out, err
	}
	for _, dir := range named {
		in, err := foldersOf(dir)
		if err != nil || len(in) == 0 {
			in = []string{dir} // whoever lists it says what is wrong
		}
		out = append(out, in...)
	}
	return out, nil
}

// foldersOf is a folder, if it holds runs, or those in it that do.
func foldersOf(dir string) (out []string, err error) {
	if results.Holds(dir) {
		return []string{dir}, nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if path := filepath.Join(dir, e.Name()); e.IsDir() && results.Holds(path) {
			out = append(out, path)
		}
	}
	return out, nil
}

// writeRuns prints a line for each run, or a few on a narrow terminal. Where the folder is not
// plain from the command line, it is part of it. What was asked for beside the matrix has a
// column if anything was. The texts may be those of a file from elsewhere.
func writeRuns(w io.Writer, o report.Options, runs []results.RunInfo, folders bool) error {
	head := []string{"RUN", "STARTED (UTC)", "TOOK", "STATUS", "MATRIX", "CELLS", "OK/FAILED/UNSUPPORTED", "SAMPLES", "HOST", "VERSION"}
	asked := slices.ContainsFunc(runs, func(r results.RunInfo) bool { return len(r.Asked) > 0 })
	if asked {
		head = append(head, "ASKED FOR")
	}
	var rows [][]string
	for _, r := range runs {
		rows = append(rows, runRow(o.Clean, r, folders, asked))
	}
	return writeColumns(w, o, head, rows, narrowRun)
}

func runRow(clean func(string) string, r results.RunInfo, folders, asked bool) []string {
	name, matrix, took := r.ID, r.Matrix, "-"
	if folders {
		name = r.Dir + "@" + r.ID
	}
	switch {
	case r.ClockSet:
		took = "- (the clock was set)"
	case r.RanNs != nil:
		took = time.Duration(*r.RanNs).Round(time.Second).String()
	}
	if matrix == "" {
		matrix = "-"
	} else if filepath.IsAbs(matrix) {
		matrix = filepath.Base(matrix)
	}
	cells := fmt.Sprintf("%d/%d/%d", r.OK, r.Failed, r.Unsupported)
	if r.Unfinished > 0 {
		cells += fmt.Sprintf(", %d unfinished", r.Unfinished)
	}
	row := []string{clean(name), r.Started.UTC().Format(time.DateTime), took, clean(r.Status), clean(matrix), strconv.Itoa(r.Cells),
		cells, strconv.Itoa(r.Samples), clean(r.Kernel) + ", " + clean(r.CPUModel), clean(r.Version)}
	if asked {
		row = append(row, cmp.Or(clean(strings.Join(r.Asked, " ")), "-"))
	}
	return row
}

// narrowRun is a row as a heading and lines below it.
func narrowRun(row []string) (string, []string) {
	ended, matrix := row[3], ""
	if !strings.HasPrefix(row[2], "-") {
		ended += " after " + row[2]
	} else if row[2] != "-" {
		ended += " " + strings.TrimPrefix(row[2], "- ")
	}
	if row[4] != "-" {
		matrix = row[4] + "; "
	}
	counts, unfinished, some := strings.Cut(row[6], ", ")
	if some {
		unfinished = ", " + unfinished
	}
	n := strings.Split(counts, "/")
	lines := []string{
		fmt.Sprintf("%s UTC, %s", row[1], ended),
		fmt.Sprintf("%scells: %s (%s ok, %s failed, %s unsupported%s), samples: %s", matrix, row[5], n[0], n[1], n[2], unfinished, row[7]),
		fmt.Sprintf("%s; ukprobe %s", row[8], row[9]),
	}
	if len(row) > 10 && row[10] != "-" {
		lines = append(lines, "asked for: "+row[10])
	}
	return row[0], lines
}

func exportCommand() *cli.Command {
	return &cli.Command{
		Name:      "export",
		Usage:     "write a run as run.json, one portable file",
		ArgsUsage: "DIR[@RUN]",
		Description: "Examples:\n" +
			"  ukprobe export --out nightly-0312.json results-nightly@20260312\n" +
			"  ukprobe export results-nightly@-1 | jq .host\n" +
			"  ukprobe export --salvage --out saved.json results-damaged",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "out", Usage: "`FILE` to write; another run.json there is replaced", DefaultText: "standard output"},
			&cli.BoolFlag{Name: "salvage", Usage: "from a damaged store: what can still be read, and what is missing on standard error"},
		},
		Action: export,
	}
}

func export(c *cli.Context) error {
	if c.NArg() != 1 {
		return usage(errors.New("export: name one run: DIR, DIR@RUN or FILE"))
	}
	run, out := c.Args().First(), c.String("out")
	switch {
	case c.Bool("salvage") && out == "":
		return usage(errors.New("export --salvage: name the file to write with --out"))
	case c.Bool("salvage"):
		lost, err := results.Salvage(out, run)
		if err != nil {
			return err
		}
		for _, l := range lost {
			fmt.Fprintln(c.App.ErrWriter, "lost:", streamOptions(os.Stderr).Clean(l))
		}
		if len(lost) > 0 {
			return cli.Exit(fmt.Sprintf("%s has what could be read: %d lines above say what could not", out, len(lost)), exitFailed)
		}
		return nil
	case out != "":
		return results.ExportFile(out, run)
	}
	return results.Export(plainjson.NewWriter(c.App.Writer), run)
}

func importCommand() *cli.Command {
	return &cli.Command{
		Name:      "import",
		Usage:     "take runs of other folders, and run.json files, into the store of a folder",
		ArgsUsage: "FILE|DIR[@RUN]…",
		Description: "Of a folder without @RUN all runs are taken. A run that is there already is left as it\n" +
			"is, or brought up to date if it was resumed elsewhere; two states of which neither goes\n" +
			"on from the other are refused (docs/results.md). Folders of older versions (run.json and\n" +
			"no ukprobe.db) are read too.\n\n" +
			"Examples:\n" +
			"  ukprobe import --into results-all results-2026*\n" +
			"  ukprobe import --into results-mine nightly-0312.json",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "into", Usage: "results `DIR` with a store, new or empty", Required: false},
		},
		Action: importRuns,
	}
}

func importRuns(c *cli.Context) error {
	switch {
	case c.String("into") == "":
		return usage(errors.New("import: name the results folder with --into DIR"))
	case c.NArg() == 0:
		return usage(errors.New("import: name what to import: run.json files, or results folders"))
	}
	clean := reportOptions().Clean
	return results.Import(c.String("into"), c.Args().Slice(), func(i results.Imported) {
		fmt.Fprintf(c.App.Writer, "%s: run %s, %d samples, from %s\n", became(i), clean(i.ID), i.Samples, clean(i.From))
	})
}

// became says what became of a run that was to be imported.
func became(i results.Imported) string {
	switch {
	case i.Already && i.There > i.Samples:
		return fmt.Sprintf("there already, with %d samples more", i.There-i.Samples)
	case i.Already:
		return "there already"
	case i.Updated:
		return fmt.Sprintf("brought up to date, %d samples more", i.Samples-i.There)
	}
	return "imported"
}
