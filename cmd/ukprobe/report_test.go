// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/ukprobe/ukprobe/orchestrate/characteristics"
	"github.com/ukprobe/ukprobe/results"
)

// reported runs `ukprobe report` with the arguments.
func reported(args ...string) (string, error) {
	a := app()
	var out bytes.Buffer
	a.Writer = &out
	err := a.Run(append([]string{"ukprobe", "report"}, args...))
	return out.String(), err
}

// reportableRun is a results folder with one cell.
func reportableRun(t *testing.T) string {
	t.Helper()
	dir, total := t.TempDir(), int64(5e6)
	c := results.Cell{System: "osv", App: "hello", Platform: "qemu", Experiment: "boot", Accel: "kvm", Status: results.CellOK, Samples: []results.Sample{{Status: results.SampleOK, Phases: results.Phases{TotalNs: &total}}}}
	c.Summary = c.Summarize()
	data, err := json.Marshal(results.File{Format: results.Format, FormatVersion: results.FormatVersion, Run: results.Run{ID: "20260102-030405-abcd", Status: results.RunOK}, Cells: []results.Cell{c}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, results.FileName), data, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestReportCharacterises: the table of characteristics has each system, each fact with its
// sources in words, and what the run has measured.
func TestReportCharacterises(t *testing.T) {
	dir := reportableRun(t)
	for _, format := range []string{"term", "md", "json", "html"} {
		out, err := reported("--format", format, dir)
		if err != nil {
			t.Fatal(err)
		}
		out = strings.ReplaceAll(out, `\_`, "_")
		for _, want := range []string{"Characteristics of the systems", "HermiTux", "rump", "measured here", "hello on QEMU", "OSv: README.md", "not stated (Rumprun: README.md, in the fork for Solo5)"} {
			if !strings.Contains(out, want) {
				t.Errorf("%s: no %q", format, want)
			}
		}
		for _, s := range characteristics.Sources {
			if strings.HasPrefix(s.Title, s.Key) {
				continue
			}
			if strings.Contains(out, "("+s.Key) || strings.Contains(out, ", "+s.Key) {
				t.Errorf("%s: the key %s in place of its source", format, s.Key)
			}
		}
	}
}

func TestReportFormats(t *testing.T) {
	dir := reportableRun(t)
	for format, want := range map[string]string{"term": "Table 2. Boot time: hello", "md": "## Table 2. Boot time: hello", "csv": "total_ns,ns,5000000", "tsv": "total_ns\tns\t5000000\n", "json": `"format": "ukprobe-report"`, "html": "<!doctype html>"} {
		out, err := reported("--format", format, dir)
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("%s: %v: %.200q has no %q", format, err, out, want)
		}
		file := filepath.Join(t.TempDir(), "report")
		if _, err := reported("--format", format, "--out", file, dir); err != nil {
			t.Errorf("%s: %v", format, err)
		}
		if data, err := os.ReadFile(file); err != nil || !strings.Contains(string(data), want) {
			t.Errorf("%s: %v: the file has no %q", format, err, want)
		}
	}
}

func TestReportRefuses(t *testing.T) {
	dir := reportableRun(t)
	for _, tt := range []struct {
		args []string
		want string
		code int
	}{
		{[]string{}, "which results folder", exitUsage},
		{[]string{"--format", "pdf", dir}, "no format", exitUsage},
		{[]string{"--curves", dir}, "--curves is for", exitUsage},
		{[]string{dir, dir}, "named before", 0},
		{[]string{t.TempDir()}, "no run in", 0},
		{[]string{"--out", filepath.Join(t.TempDir(), "no", "folder"), dir}, "name another --out", 0},
		{[]string{"--out", filepath.Join(dir, results.FileName), dir}, "the run would be lost: name another --out", 0},
	} {
		out, err := reported(tt.args...)
		if err == nil || !strings.Contains(err.Error(), tt.want) || out != "" {
			t.Errorf("%q: %v, want %q; it wrote %.100q", tt.args, err, tt.want, out)
			continue
		}
		var coder cli.ExitCoder
		if tt.code != 0 && (!errors.As(err, &coder) || coder.ExitCode() != tt.code) {
			t.Errorf("%q: %v, want status %d", tt.args, err, tt.code)
		}
	}
}

// TestReportKeepsFile: what was there stays as it was if the report cannot be written.
func TestReportKeepsFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(file, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	failed := errors.New("no space")
	if err := writeWhole(file, func(w io.Writer) error {
		_, _ = w.Write([]byte("half"))
		return failed
	}); !errors.Is(err, failed) {
		t.Errorf("%v, want %v", err, failed)
	}
	if data, _ := os.ReadFile(file); string(data) != "before" {
		t.Errorf("the file has %q", data)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(file), ".*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}
