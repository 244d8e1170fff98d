// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/ukprobe/ukprobe/results"
)

// defaultRun writes into a folder a run of the shape that the default matrix has on a machine
// whose KVM boots the reference guest and no Linux: what `make run` makes.
func defaultRun(t *testing.T, dir string, level int64) {
	t.Helper()
	m, err := loadMatrix("quick", "")
	if err != nil {
		t.Fatal(err)
	}
	asked, err := m.Expand()
	if err != nil {
		t.Fatal(err)
	}
	f := results.File{Format: results.Format, FormatVersion: results.FormatVersion,
		Run: results.Run{ID: fmt.Sprint("run-", level), Started: time.Unix(level, 0).UTC(), Status: results.RunOK}}
	for i, a := range asked {
		c := results.Cell{System: a.System, App: a.App, Platform: a.Platform, Experiment: a.Experiment,
			Accel: "kvm", Probes: results.ProbesBoot, Status: results.CellOK}
		switch a.System {
		case "linux":
			c.Accel = "tcg"
		case "process":
			c.Accel = "none"
		}
		for j := range int64(a.Samples) {
			total := level * (1000 + 100*int64(i) + (j*7)%10)
			c.Samples = append(c.Samples, results.Sample{Started: time.Unix(level+j, 0).UTC(), Status: results.SampleOK,
				Phases: results.Phases{TotalNs: &total}, Values: map[string]float64{"frames_in": float64(j % 3), "frames_out": 3}})
		}
		c.Summary = c.Summarize()
		f.Cells = append(f.Cells, c)
	}
	file, err := os.Create(filepath.Join(dir, results.FileName))
	if err != nil {
		t.Fatal(err)
	}
	if err := results.Encode(file, &f); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}

// examplesOf are the lines of a text that call ukprobe with one of the commands, up to a pipe
// or a comment.
func examplesOf(text, call string, commands ...string) (out []string) {
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, " # ")
		line, _, _ = strings.Cut(line, " | ")
		line = strings.TrimSpace(line)
		for _, c := range commands {
			if strings.HasPrefix(line, call+" "+c+" ") {
				out = append(out, line)
			}
		}
	}
	return out
}

// TestExamplesWork: what the help, the README and the page of compare show works as it stands
// on two runs of the default matrix.
func TestExamplesWork(t *testing.T) {
	page, err := os.ReadFile("../../docs/compare.md")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	help := ""
	everyCommand(app(), func(words []string, c *cli.Command) {
		if strings.Join(words, " ") == "ukprobe compare" {
			help = c.Description
		}
	})
	works, _, cut := strings.Cut(string(page), "Those work with runs of the default matrix.")
	if !cut {
		t.Fatal("docs/compare.md does not say which of its examples work with the default matrix")
	}

	dir := t.TempDir()
	for name, level := range map[string]int64{"A": 100_000, "B": 110_000, "results-A": 100_000, "results-B": 100_000, "results-monday": 100_000, "results-tuesday": 100_000} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		defaultRun(t, filepath.Join(dir, name), level)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "bin", "ukprobe"), fmt.Appendf(nil, "#!/bin/sh\nUKPROBE_TEST_MAIN=1 exec '%s' \"$@\"\n", self), 0o755); err != nil {
		t.Fatal(err)
	}
	for from, examples := range map[string][]string{
		"help":            examplesOf(help, "ukprobe", "compare"),
		"docs/compare.md": examplesOf(works, "ukprobe", "compare"),
		"README.md":       examplesOf(string(readme), "bin/ukprobe", "compare", "report", "runs"),
	} {
		if len(examples) < 4 {
			t.Errorf("%s: only %q", from, examples)
		}
		for _, line := range examples {
			t.Run(from+": "+line, func(t *testing.T) {
				cmd := exec.Command("sh", "-c", line)
				cmd.Dir = dir
				cmd.Env = append(os.Environ(), "PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"))
				out, err := cmd.CombinedOutput()
				want := 0
				if strings.HasSuffix(line, "A B --threshold 5% --fail-on regression") { // B is slower by a tenth
					want = exitRegression
				}
				if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != want {
					t.Errorf("%v, want %d\n%s", err, want, out)
				}
				if len(out) == 0 && !strings.Contains(line, "--out ") && !strings.Contains(line, " > ") {
					t.Error("it printed nothing")
				}
			})
		}
	}
}
