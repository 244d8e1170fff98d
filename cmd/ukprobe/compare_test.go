// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ukprobe/ukprobe/results"
)

// storedRun writes a run with a cell of ten boots around so many nanoseconds.
func storedRun(t *testing.T, system string, level int64) string {
	t.Helper()
	c := results.Cell{System: system, App: "hello", Platform: "qemu", Experiment: "boot", Accel: "kvm", Probes: "boot", Status: results.CellOK}
	for i := range int64(10) {
		total := level + level*((i*7)%10)/1000
		c.Samples = append(c.Samples, results.Sample{Started: time.Unix(i, 0), Status: results.SampleOK, Phases: results.Phases{TotalNs: &total}})
	}
	c.Summary = c.Summarize()
	return storedCells(t, fmt.Sprint(system, level), results.RunOK, c)
}

// storedCells writes a run.
func storedCells(t *testing.T, id, status string, cells ...results.Cell) string {
	t.Helper()
	f := results.File{Format: results.Format, FormatVersion: results.FormatVersion, Run: results.Run{ID: id, Status: status}, Cells: cells}
	text, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, results.FileName), text, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestCompare: what it prints, and its exit status.
func TestCompare(t *testing.T) {
	old, same, slow, other := storedRun(t, "linux", 1e8), storedRun(t, "linux", 1e8), storedRun(t, "linux", 1.1e8), storedRun(t, "osv", 1e8)
	dead := storedCells(t, "dead", results.RunInterrupted,
		results.Cell{System: "linux", App: "hello", Platform: "qemu", Experiment: "boot", Accel: "kvm", Probes: "boot", Status: results.CellSkipped, Reason: "not started"})
	said := storedCells(t, "said", results.RunFailed,
		results.Cell{System: "linux", App: "hello", Platform: "qemu", Experiment: "boot", Accel: "kvm", Probes: "boot", Status: results.CellFailed, Reason: "\x1b[31mred\x07"})
	for name, tt := range map[string]struct {
		args      []string
		status    int
		out, text string
	}{
		"equal":                      {[]string{"--fail-on", "regression", old, same}, 0, "n=10 ~\n", ""},
		"slower, only told":          {[]string{old, slow}, 0, "n=10 worse\n", ""},
		"slower":                     {[]string{old, slow, "--fail-on", "regression"}, exitRegression, "n=10 worse\n", "compare: 1 regression"},
		"slower, but not by so much": {[]string{"--fail-on", "regression", "--threshold", "20%", old, slow}, 0, "worse, perhaps within 20.0 %", ""},
		"faster":                     {[]string{"--fail-on", "regression", slow, old}, 0, "n=10 better\n", ""},
		"faster is a difference":     {[]string{"--fail-on", "difference", slow, old}, exitRegression, "n=10 better\n", "compare: 1 difference"},
		"a run that died":            {[]string{"--fail-on", "regression", old, dead}, exitRegression, "the run of B is interrupted", "compare: 1 cell that has no figures any more"},
		"a run that died, only told": {[]string{old, dead}, 0, "nothing could be tested", ""},
		"markdown":                   {[]string{"--format", "md", old, slow}, 0, "| linux/hello/qemu |", ""},
		"csv":                        {[]string{"--format", "csv", old, slow}, 0, "linux,hello,qemu,boot,,kvm,boot,,,total_ns,less,10,", ""},
		"csv of a run that died":     {[]string{"--format", "csv", old, said}, 0, "system,app,platform,", "ukprobe: Not compared: linux/hello/qemu, boot, kvm (BROKEN in B: no figures in " + said + ": failed, red)"},
		"json":                       {[]string{"--format", "json", old, slow}, 0, `"verdict": "worse"`, ""},
		"one for benchstat":          {[]string{"--format", "go-bench", old}, 0, "BenchmarkBoot/system=linux/", ""},
		"nothing in common":          {[]string{old, other}, exitFailed, "", "nothing to compare: A and B have nothing in common: " + old + " has linux/hello/qemu, boot, kvm; " + other + " has osv/hello/qemu, boot, kvm. There is something to compare with --by system (1 pair of cells, as hello/qemu: linux → osv)"},
		"no such folder":             {[]string{old, "/nonexistent"}, exitFailed, "", "no run in /nonexistent"},
		"one":                        {[]string{old}, exitUsage, "", "has nothing to be compared with"},
		"none":                       {nil, exitUsage, "", "compare takes two runs"},
		"three":                      {[]string{old, old, old}, exitUsage, "", "compare takes two runs"},
		"no threshold":               {[]string{"--threshold", "five", old, old}, exitUsage, "", `--threshold: threshold "five" is no percentage`},
		"no axis":                    {[]string{"--by", "sytem", old}, exitUsage, "", `no axis "sytem"; did you mean "system"?`},
		"no format":                  {[]string{"--format", "xml", old, old}, exitUsage, "", `--format "xml": there are term, md`},
		"no cell":                    {[]string{"--only", "system=windows", old, old}, exitUsage, "", `no cell has system "windows"`},
		"along nothing":              {[]string{"--by", "system", old}, exitFailed, "", "nothing to compare along system: no two cells differ in their system alone\n"},
		"no such base":               {[]string{"--by", "platform", "--base", "qemuu", old}, exitUsage, "", `compare: base: no cell has platform "qemuu"; did you mean "qemu"? (there are: qemu)`},
		"a base of two":              {[]string{"--by", "platform", "--base", "qemu", old, same}, exitUsage, "", "compare: a base is for cells of one run"},
		"one version":                {[]string{"--by", "version", old, same}, exitFailed, "", "neither image has a version. There is something to compare without --by (1 pair"},
		"one host":                   {[]string{"--by", "host", old, same}, 0, "warning: A and B are from the same host", ""},
		"a flag without its value":   {[]string{old, old, "--by"}, exitUsage, "", "--by needs a value"},
		"an unknown flag":            {[]string{old, old, "--treshold", "5%"}, exitUsage, "", "did you mean --threshold"},
		"nothing to fail on":         {[]string{"--format", "go-bench", "--fail-on", "regression", old, old}, exitUsage, "", "benchstat compares them"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command("/proc/self/exe", append([]string{"compare"}, tt.args...)...)
			cmd.Env = append(os.Environ(), "UKPROBE_TEST_MAIN=1")
			var out, text bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &text
			var exit *exec.ExitError
			if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			if code := cmd.ProcessState.ExitCode(); code != tt.status || !strings.Contains(out.String(), tt.out) || !strings.Contains(text.String(), tt.text) || (tt.text == "") != (text.Len() == 0) {
				t.Errorf("status %d, want %d\n%s%s", code, tt.status, &out, &text)
			}
		})
	}
}
