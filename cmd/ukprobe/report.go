// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"github.com/ukprobe/ukprobe/orchestrate/characteristics"
	"github.com/ukprobe/ukprobe/results"
	"github.com/ukprobe/ukprobe/results/report"
)

// reportFormats are the values of --format.
var reportFormats = []string{"term", "md", "csv", "tsv", "json", "html"}

func reportCommand() *cli.Command {
	return &cli.Command{
		Name:  "report",
		Usage: "write the tables and figures of finished runs",
		Description: "Reads results folders, or run.json files, and writes the evaluation's tables: image\n" +
			"size, boot time (the VMM's apart from the VM's), memory, throughput, the optional ones,\n" +
			"and the systems' characteristics. What has no figure has its reason as a footnote; so\n" +
			"has what has more than one mode, drifts over the run, or has outliers. html adds\n" +
			"figures, and is one file that needs no network; csv has every sample, a row for each\n" +
			"of its figures, and tsv the same for programs that know no quotes.\n" +
			"docs/report.md\n\n" +
			"Examples:\n" +
			"  ukprobe report results-20261123-200823-48ad\n" +
			"  ukprobe report --format html --out report.html results-*\n" +
			"  ukprobe report --format tsv results-* | cut -f 3-6,13,18-20 | grep total_ns",
		ArgsUsage: "DIR…",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "format", Value: "term", Usage: strings.Join(reportFormats, ", ")},
			&cli.StringFlag{Name: "out", Usage: "write to `FILE`, which is replaced as a whole, in place of standard output"},
			&cli.BoolFlag{Name: "whole", Usage: "tables in the evaluation's whole layout, with the rows and columns that are not in the run"},
			&cli.BoolFlag{Name: "curves", Usage: "csv, tsv: the points of curves too"},
		},
		Action: writeReport,
	}
}

func writeReport(c *cli.Context) error {
	format, out := c.String("format"), c.String("out")
	switch {
	case !slices.Contains(reportFormats, format):
		return usage(fmt.Errorf("report: no format %q: there are %s", format, strings.Join(reportFormats, ", ")))
	case c.Bool("curves") && format != "csv" && format != "tsv":
		return usage(errors.New("report: --curves is for --format csv and tsv"))
	case c.NArg() == 0:
		return usage(errors.New("report: which results folder? ukprobe report DIR…"))
	case format == "html" && out == "" && term.IsTerminal(int(os.Stdout.Fd())):
		return usage(errors.New("report: html is not for a terminal: give --out FILE, or send it somewhere"))
	}
	sources, err := loadSources(c.Args().Slice())
	if err != nil {
		return err
	}
	doc := report.NewDocument(sources...)
	if c.Bool("whole") {
		doc = report.NewWholeDocument(sources...)
	}
	doc.Characterise(systemFacts())
	write := func(w io.Writer) error {
		switch format {
		case "md":
			return doc.Markdown(w)
		case "csv":
			return doc.CSV(w, c.Bool("curves"))
		case "tsv":
			return doc.TSV(w, c.Bool("curves"))
		case "json":
			return doc.JSON(w)
		case "html":
			return doc.HTML(w)
		}
		if out != "" {
			return doc.Term(w, report.OptionsFor(os.Getenv, false, 0))
		}
		return doc.Term(w, reportOptions())
	}
	if out == "" {
		b := bufio.NewWriter(c.App.Writer)
		if err := write(b); err != nil {
			return err
		}
		return b.Flush()
	}
	return writeWhole(out, write)
}

// systemFacts are the systems' characteristics, with their sources in words.
func systemFacts() []report.SystemFacts {
	source := map[string]string{}
	var titles []string // in the place of keys
	for _, s := range characteristics.Sources {
		source[s.Key] = s.Title + ": " + s.Where
		titles = append(titles, s.Key, s.Title)
	}
	inTitles := strings.NewReplacer(titles...)
	var out []report.SystemFacts
	for _, s := range characteristics.Systems {
		of := report.SystemFacts{System: s.Name}
		for _, row := range s.Rows() {
			f := report.SystemFact{Name: row.Name, Text: row.Fact.Text}
			if row.Fact.Missing() {
				f.Text = inTitles.Replace(f.Text)
			}
			for _, key := range row.Fact.Sources {
				f.Sources = append(f.Sources, source[key])
			}
			of.Facts = append(of.Facts, f)
		}
		out = append(out, of)
	}
	return out
}

// loadSources reads the runs, each with a label of its own.
func loadSources(dirs []string) ([]report.Source, error) {
	var out []report.Source
	ids := map[string]bool{}
	for _, dir := range dirs {
		f, err := results.Load(dir)
		if err != nil {
			return nil, err
		}
		label := f.Run.ID
		if ids[label] {
			return nil, fmt.Errorf("report: %s is run %s, which was named before: name each run once", dir, label)
		}
		ids[label] = true
		out = append(out, report.Source{Label: label, File: f})
	}
	return out, nil
}

// writeWhole writes a file that is either there as a whole or as it was before.
func writeWhole(path string, write func(io.Writer) error) error {
	err := results.WriteFile(path, func(w io.Writer) error {
		b := bufio.NewWriter(w)
		return errors.Join(write(b), b.Flush())
	})
	if err != nil {
		return fmt.Errorf("report: write %s: %w: name another --out", path, err)
	}
	return nil
}
