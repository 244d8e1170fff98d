// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/results"
	"github.com/ukprobe/ukprobe/results/report"
)

// nightly is a folder with two runs, the second one interrupted after a sample.
func nightly(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "nightly")
	for i, id := range []string{"20260301-010000-aaaa", "20260302-010000-bbbb"} {
		s, err := results.Create(dir, results.Run{ID: id, Version: "1.2.3", Started: time.Date(2026, 3, 1+i, 1, 0, 0, 0, time.UTC), Asked: &results.Asked{Matrix: "/home/ann/mine.yaml"}},
			results.Host{Kernel: "6.12.0", CPUModel: "Test CPU"},
			[]results.Cell{{System: "linux", App: "hello", Platform: "qemu"}, {System: "osv", App: "hello", Platform: "uhyve", Status: results.CellUnsupported, Reason: "why"}})
		if err != nil {
			t.Fatal(err)
		}
		ns := int64(5)
		if err := s.AddSample(0, results.Sample{Started: time.Now(), Status: results.SampleOK, Phases: results.Phases{TotalNs: &ns}}); err != nil {
			t.Fatal(err)
		}
		if err := s.Finish([]string{results.RunOK, results.RunInterrupted}[i]); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestRunsTook: the time between the parts of a resumed run does not count.
func TestRunsTook(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "r")
	s, err := results.Create(dir, results.Run{ID: "20260301-010000-aaaa", Started: time.Now().Add(-1000 * time.Hour)}, results.Host{}, []results.Cell{{System: "linux", App: "hello", Platform: "qemu"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.AddSample(0, results.Sample{Started: time.Now().Add(-999 * time.Hour), Status: results.SampleOK}); err != nil {
		t.Fatal(err)
	}
	took := func() []string {
		out, text, status := ukprobe(t, "runs", dir)
		lines := strings.Split(out, "\n")
		if status != 0 || len(lines) != 3 {
			t.Fatalf("%d, %q, %q", status, out, text)
		}
		return strings.Fields(lines[1])[3:5]
	}
	if err := s.Close(); err != nil { // as SIGKILL leaves it
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"-", "killed"}, took()); d != "" {
		t.Error(d)
	}
	if s, err = results.Resume(dir); err != nil {
		t.Fatal(err)
	}
	if err := s.BeginPart(results.Part{Started: time.Now().Add(-time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"-", "running"}, took()); d != "" {
		t.Error(d)
	}
	if err := s.Finish(results.RunOK); err != nil {
		t.Fatal(err)
	}
	if got := took(); !strings.HasPrefix(got[0], "2h0m") || got[1] != "ok" { // an hour until the last sample, and one at the end
		t.Errorf("%v", got)
	}
}

func TestRuns(t *testing.T) {
	dir := nightly(t)
	out, text, status := ukprobe(t, "runs", dir)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if status != 0 || len(lines) != 3 {
		t.Fatalf("%d, %q, %q", status, out, text)
	}
	want := []string{"20260302-010000-bbbb", "2026-03-02", "01:00:00", "interrupted", "mine.yaml", "2", "1/0/1", "1", "6.12.0,", "Test", "CPU", "1.2.3"}
	got := strings.Fields(lines[2])
	got = append(got[:3], got[4:]...) // how long it took: it ended today
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	t.Chdir(filepath.Dir(dir))
	if out, text, status := ukprobe(t, "runs"); status != 0 || !strings.Contains(out, "nightly@20260301-010000-aaaa") {
		t.Errorf("of the folder above: %d, %q, %q", status, out, text)
	}
	t.Chdir(dir)
	out, _, _ = ukprobe(t, "runs", "--json")
	var list []results.RunInfo
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) != 2 || list[0].Status != "ok" || list[1].Unsupported != 1 {
		t.Errorf("%v: %s", err, out)
	}
	t.Chdir(t.TempDir())
	if _, text, status := ukprobe(t, "runs"); status != exitFailed || !strings.Contains(text, "name a results folder") {
		t.Errorf("of an empty folder: %d, %q", status, text)
	}
}

// TestRunsNarrow: on a terminal of any width no line is wider, and all is said of every run.
func TestRunsNarrow(t *testing.T) {
	start := time.Date(2026, 3, 1, 1, 0, 0, 0, time.UTC)
	ran := (211 * time.Second).Nanoseconds()
	runs := []results.RunInfo{
		{Dir: "nightly", ID: "20260301-010000-aaaa", Started: start, RanNs: &ran, Status: results.RunOK, Matrix: "built-in quick.yaml",
			RunCounts: results.RunCounts{Cells: 7, OK: 5, Failed: 1, Unsupported: 1, Samples: 61}, Kernel: "6.12.0", CPUModel: "Test CPU with a long name", Version: "1.2.3"},
		{Dir: "nightly", ID: "20260302-010000-bbbb", Started: start, Status: results.RunKilled, RunCounts: results.RunCounts{Cells: 2, Samples: 1}, Kernel: "6.12.0", CPUModel: "Test CPU", Version: "1.2.3"},
	}
	for _, width := range []int{40, 60, 80, 0} {
		var out strings.Builder
		if err := writeRuns(&out, report.Options{Width: width}, runs, true); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			if n := len(line) - 1; n > width && width > 0 {
				t.Errorf("%d columns of %d: %q", n, width, line)
			}
		}
		words := strings.Join(strings.Fields(out.String()), " ")
		for _, want := range []string{"nightly@20260301-010000-aaaa", "2026-03-01 01:00:00 UTC, ok after 3m31s", "built-in quick.yaml; cells: 7 (5 ok, 1 failed, 1 unsupported), samples: 61",
			"6.12.0, Test CPU with a long name; ukprobe 1.2.3", "nightly@20260302-010000-bbbb", "UTC, killed cells: 2 (0 ok"} {
			if width > 0 && !strings.Contains(words, want) {
				t.Errorf("%d columns: no %q in\n%s", width, want, out.String())
			}
		}
		if width == 0 && strings.Count(out.String(), "\n") != 3 {
			t.Errorf("where no width is known:\n%s", out.String())
		}
	}
}

// TestRunsOfForeignFile: what is in a file from elsewhere does nothing to the terminal.
func TestRunsOfForeignFile(t *testing.T) {
	dir := t.TempDir()
	evil := "ab\u202e\r\n\x1b[2J\x1b]0;title\x07"
	data, err := json.Marshal(results.File{Format: results.Format, FormatVersion: results.FormatVersion,
		Run:  results.Run{ID: evil, Status: evil, Version: evil, Asked: &results.Asked{Matrix: evil}},
		Host: results.Host{Kernel: evil, CPUModel: evil}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, results.FileName), data, 0o600); err != nil {
		t.Fatal(err)
	}
	out, text, status := ukprobe(t, "runs", dir)
	if status != 0 || strings.ContainsAny(out, "\x1b\x07\r\u202e") || strings.Count(out, "\n") != 2 || strings.Count(out, "ab") != 6 {
		t.Errorf("%d, %q, %q", status, text, out)
	}
	_, text, status = ukprobe(t, "import", "--into", filepath.Join(t.TempDir(), "all"), dir)
	if status != exitFailed || !strings.Contains(text, "the run's id is") || strings.ContainsAny(text, "\x1b\x07\r\u202e") {
		t.Errorf("import: %d, %q", status, text)
	}
}

func TestBecame(t *testing.T) {
	for want, i := range map[string]results.Imported{
		"imported":                           {Samples: 5},
		"there already":                      {Samples: 5, There: 5, Already: true},
		"there already, with 2 samples more": {Samples: 5, There: 7, Already: true},
		"brought up to date, 3 samples more": {Samples: 5, There: 2, Updated: true},
		"brought up to date, 5 samples more": {Samples: 5, Updated: true},
	} {
		if got := became(i); got != want {
			t.Errorf("%+v: %q, want %q", i, got, want)
		}
	}
}

func TestExportImport(t *testing.T) {
	dir := nightly(t)
	file, into := filepath.Join(t.TempDir(), "one.json"), filepath.Join(t.TempDir(), "all")
	out, text, status := ukprobe(t, "export", dir+"@-1")
	if status != 0 || !strings.Contains(out, `"id":"20260301-010000-aaaa"`) {
		t.Fatalf("%d, %q", status, text)
	}
	if _, text, status := ukprobe(t, "export", "--out", file, dir+"@20260301"); status != 0 {
		t.Fatalf("%d, %q", status, text)
	}
	if data, err := os.ReadFile(file); err != nil || string(data) != out {
		t.Errorf("--out is not what is printed: %v", err)
	}
	out, text, status = ukprobe(t, "import", "--into", into, file, dir)
	want := "imported: run 20260301-010000-aaaa, 1 samples, from " + file +
		"\nthere already: run 20260301-010000-aaaa, 1 samples, from " + dir + "@20260301-010000-aaaa" +
		"\nimported: run 20260302-010000-bbbb, 1 samples, from " + dir + "@20260302-010000-bbbb\n"
	if d := cmp.Diff(want, out); d != "" || status != 0 {
		t.Errorf("%d, %q (-want +got):\n%s", status, text, d)
	}
	saved := filepath.Join(t.TempDir(), "saved.json")
	if out, text, status := ukprobe(t, "export", "--salvage", "--out", saved, dir); status != 0 || out != "" || text != "" {
		t.Errorf("salvage of what is whole: %d, %q, %q", status, out, text)
	}
	for _, tt := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"export"}, exitUsage, "name one run"},
		{[]string{"export", "--salvage", dir}, exitUsage, "--out"},
		{[]string{"export", dir + "@2027"}, exitFailed, "no run 2027"},
		{[]string{"export", dir, "--", "--out", file}, exitUsage, "name one run"},
		{[]string{"import", file}, exitUsage, "--into DIR"},
		{[]string{"import", "--into", into}, exitUsage, "what to import"},
		{[]string{"import", "--into", into, dir + "-none"}, exitFailed, "no run in"},
		{[]string{"run", "--resume", dir + "@"}, exitUsage, "no run after the @"},
	} {
		if _, text, status := ukprobe(t, tt.args...); status != tt.status || !strings.Contains(text, tt.want) {
			t.Errorf("%q: %d, %q; want %d, %q", tt.args, status, text, tt.status, tt.want)
		}
	}
}

// TestRunsOfFolders: a folder above is looked into, and what cannot be read hides nothing.
func TestRunsOfFolders(t *testing.T) {
	dir := nightly(t)
	above := filepath.Dir(dir)
	bad := filepath.Join(above, "bad")
	if err := os.Mkdir(bad, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, text, status := ukprobe(t, "runs", above); status != 0 || strings.Count(out, dir+"@2026030") != 2 {
		t.Errorf("%d, %q, %q", status, text, out)
	}
	if err := os.WriteFile(filepath.Join(bad, results.FileName), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{above}, {bad, dir}} {
		out, text, status := ukprobe(t, append([]string{"runs"}, args...)...)
		if status != exitFailed || strings.Count(out, dir+"@2026030") != 2 || !strings.Contains(text, bad) || strings.Contains(text, dir) {
			t.Errorf("%q: %d, %q, %q", args, status, text, out)
		}
	}
	out, text, status := ukprobe(t, "runs", "--json", above)
	var list []results.RunInfo
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) != 2 || status != exitFailed || !strings.Contains(text, bad) {
		t.Errorf("%v, %d, %q, %q", err, status, text, out)
	}
	if out, text, status := ukprobe(t, "runs", bad); status != exitFailed || out != "" || !strings.Contains(text, bad) {
		t.Errorf("%d, %q, %q", status, text, out)
	}
}

// TestRunsTellWhatWasAsked of runs of one matrix.
func TestRunsTellWhatWasAsked(t *testing.T) {
	now := time.Date(2026, 3, 1, 1, 0, 0, 0, time.UTC)
	ns := int64(90e9)
	var out strings.Builder
	err := writeRuns(&out, report.Options{}, []results.RunInfo{
		{ID: "a", Started: now, RanNs: &ns, Status: "ok", Asked: []string{"--set memory_mib=1024\x1b[2J"}},
		{ID: "b", Started: now, ClockSet: true, Status: "interrupted", RunCounts: results.RunCounts{Cells: 3, OK: 1, Unfinished: 2}},
	}, false)
	lines := strings.Split(out.String(), "\n")
	if err != nil || !strings.HasSuffix(lines[0], "  ASKED FOR") || !strings.HasSuffix(lines[1], "  --set memory_mib=1024") || !strings.HasSuffix(lines[2], "  -") ||
		!strings.Contains(lines[2], "  1/0/0, 2 unfinished  ") || !strings.Contains(lines[2], "  - (the clock was set)  ") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

// TestJSONDoesNothingToTheTerminal: what a file from elsewhere holds is escaped in all JSON,
// and reads as the same.
func TestJSONDoesNothingToTheTerminal(t *testing.T) {
	const evil = "ab\u009b2J\u202e\x7f"
	ns := int64(5)
	data, err := json.Marshal(results.File{Format: results.Format, FormatVersion: results.FormatVersion,
		Run:  results.Run{ID: "r1", Status: results.RunOK, Version: evil, Asked: &results.Asked{Matrix: evil}},
		Host: results.Host{Kernel: evil, CPUModel: evil},
		Cells: []results.Cell{{System: evil, App: evil, Platform: evil, Experiment: "boot", Accel: "none", Status: results.CellOK,
			Samples: []results.Sample{{Status: results.SampleOK, Phases: results.Phases{TotalNs: &ns}}}}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), results.FileName)
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"runs", "--json", filepath.Dir(file)}, {"report", "--format", "json", file}, {"export", file},
		{"compare", "--format", "json", file, file}, {"compare", "--format", "go-bench", file, file}} {
		out, text, status := ukprobe(t, args...)
		if status != 0 || !strings.Contains(out, "ab") || strings.ContainsAny(out, "\u009b\u202e\x7f") {
			t.Errorf("%q: %d, %q, %q", args, status, text, out)
		}
		if args[len(args)-2] != "go-bench" && args[0] != "compare" && !strings.Contains(out, `ab\u009b2J\u202e\u007f`) {
			t.Errorf("%q lost what was there: %s", args, out)
		}
	}
}
