// SPDX-License-Identifier: Apache-2.0

package results

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/internal/lockfile"
)

// severalRuns is a folder with three runs, which came in another order than they began.
func severalRuns(t *testing.T, dir string) {
	t.Helper()
	for i, id := range []string{"20260302-010000-aaaa", "20260303-010000-bbbb", "20260301-010000-cccc"} {
		at, err := time.Parse("20060102-150405", id[:15])
		must(t, err)
		s, err := Create(dir, Run{ID: id, Version: "0.1.0", Started: at, Asked: &Asked{Matrix: "built-in quick"}}, testHost(), testCells())
		must(t, err)
		for range i + 1 {
			must(t, s.AddSample(0, okSample(5)))
		}
		if i == 2 {
			must(t, s.Close())
			continue
		}
		must(t, s.Finish(RunOK))
	}
}

func TestSelector(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a@b")
	severalRuns(t, dir)
	t.Chdir(dir)
	for text, want := range map[string]string{
		dir:                                "20260303-010000-bbbb",
		dir + "@latest":                    "20260303-010000-bbbb",
		dir + "@-1":                        "20260302-010000-aaaa",
		dir + "@-2":                        "20260301-010000-cccc",
		dir + "@20260302":                  "20260302-010000-aaaa",
		dir + "@20260301-010000":           "20260301-010000-cccc",
		dir + "@20260301-010000-cccc":      "20260301-010000-cccc",
		dir + "/" + DatabaseName + "@-1":   "20260302-010000-aaaa",
		dir + "/" + FileName:               "20260303-010000-bbbb",
		dir + "/" + FileName + "@20260303": "20260303-010000-bbbb",
		"@-1":                              "20260302-010000-aaaa",
		".@-1":                             "20260302-010000-aaaa",
	} {
		f, err := Load(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if f.Run.ID != want {
			t.Errorf("%s is %s, want %s", text, f.Run.ID, want)
		}
	}
	for text, want := range map[string]string{
		"":                           "which run",
		dir + "@":                    "no run after the @",
		dir + "@-3":                  "only 2 runs before the latest",
		dir + "@2026030":             "3 runs begin with 2026030",
		dir + "@2025":                "no run 2025",
		dir + "/none@-1":             "no run in " + dir + "/none",
		dir + "/" + FileName + "@-1": "only 0 runs before",
	} {
		_, err := Load(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestList(t *testing.T) {
	dir := t.TempDir()
	severalRuns(t, dir)
	got, err := List(dir)
	must(t, err)
	one := func(id, status string, samples int) RunInfo {
		at, _ := time.Parse("20060102-150405", id[:15])
		return RunInfo{Dir: dir, ID: id, Started: at, Status: status, Version: "0.1.0", Matrix: "built-in quick", Kernel: "6.12.0", CPUModel: "Test CPU",
			RunCounts: RunCounts{Cells: 2, OK: 1, Other: 1, Samples: samples}}
	}
	want := []RunInfo{one("20260301-010000-cccc", RunKilled, 3), one("20260302-010000-aaaa", RunOK, 1), one("20260303-010000-bbbb", RunOK, 2)}
	for i := range got {
		if (got[i].Finished == nil) != (got[i].Status == RunKilled) {
			t.Errorf("%s, finished %v", got[i].Status, got[i].Finished)
		}
		if (got[i].RanNs == nil) != (got[i].Finished == nil) || got[i].RanNs != nil && *got[i].RanNs != got[i].Finished.Sub(got[i].Started).Nanoseconds() {
			t.Errorf("%s to %v: ran %v", got[i].Started, got[i].Finished, got[i].RanNs)
		}
		got[i].Finished, got[i].RanNs, got[i].writer = nil, nil, 0
	}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(RunInfo{})); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"20260301-010000-cccc"}, Unfinished(got)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	old := oldFolder(t)
	if got, err = List(old); err != nil || len(got) != 1 || got[0].ID != "r1" || got[0].Samples != 3 || got[0].Status != RunInterrupted {
		t.Errorf("of an old folder: %+v, %v", got, err)
	}
	if _, err := List(dir + "@-1"); err == nil || !strings.Contains(err.Error(), "name the folder alone") {
		t.Errorf("of a run: %v", err)
	}
	if _, err := List(t.TempDir()); err == nil || !strings.Contains(err.Error(), "no run in") {
		t.Errorf("of an empty folder: %v", err)
	}
}

// TestImport takes a folder's runs, an old folder's and a file's, each once.
func TestImport(t *testing.T) {
	from, into := t.TempDir(), filepath.Join(t.TempDir(), "new")
	severalRuns(t, from)
	old := oldFolder(t)
	must(t, os.WriteFile(filepath.Join(old, JournalName), oldEntry(t, 0, 2), 0o600))
	file := filepath.Join(t.TempDir(), "one.json")
	must(t, ExportFile(file, from+"@20260302"))
	var got []Imported
	take := func(i Imported) { got = append(got, i) }
	must(t, Import(into, []string{from, old, file}, take))
	want := []Imported{
		{ID: "20260301-010000-cccc", From: from + "@20260301-010000-cccc", Samples: 3}, {ID: "20260302-010000-aaaa", From: from + "@20260302-010000-aaaa", Samples: 1},
		{ID: "20260303-010000-bbbb", From: from + "@20260303-010000-bbbb", Samples: 2}, {ID: "r1", From: old, Samples: 4},
		{ID: "20260302-010000-aaaa", From: file, Samples: 1, There: 1, Already: true},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	for _, run := range []string{from + "@-1", from + "@-2", from, old} {
		f := mustLoad(t, run)
		if d := cmp.Diff(f, mustLoad(t, into+"@"+f.Run.ID)); d != "" {
			t.Errorf("%s (-was +imported):\n%s", run, d)
		}
		var a, b strings.Builder
		must(t, errors.Join(Export(&a, run), Export(&b, into+"@"+f.Run.ID)))
		if a.String() != b.String() {
			t.Errorf("%s is exported as another text once it was imported", run)
		}
	}
	// Another state of a run is not mixed with it.
	f, err := os.ReadFile(file)
	must(t, err)
	must(t, os.WriteFile(file, []byte(strings.Replace(string(f), `"exits":17.5`, `"exits":18.5`, 1)), 0o600))
	wantError(t, Import(into, []string{file}, take), "another state of run 20260302-010000-aaaa")
	wantError(t, Import(into, []string{into}, take), "in the store of "+into+" already")
	// Imported, the killed one can be resumed.
	s, err := Resume(into + "@20260301")
	must(t, err)
	must(t, s.BeginPart(Part{Started: started}))
	must(t, s.Finish(RunOK))
}

// TestRunEndsMeanwhile: a run that ends between the look at who writes it and the reading
// is neither listed as killed nor imported without its end.
func TestRunEndsMeanwhile(t *testing.T) {
	defer func() { askHolder = lockfile.Holder }()
	list := func(dir string) error {
		got, err := List(dir)
		if err == nil && got[0].Status != RunOK {
			err = fmt.Errorf("listed as %s", got[0].Status)
		}
		return err
	}
	into := t.TempDir()
	take := func(dir string) error {
		if err := Import(into, []string{dir}, func(Imported) {}); err != nil {
			return err
		}
		if f := mustLoad(t, into); f.Run.Status != RunOK {
			return fmt.Errorf("imported as %s", f.Run.Status)
		}
		return nil
	}
	for name, do := range map[string]func(dir string) error{"list": list, "import": take} {
		t.Run(name, func(t *testing.T) {
			dir, asked := t.TempDir(), 0
			s := mustCreate(t, dir)
			must(t, s.AddSample(0, okSample(1)))
			askHolder = func(of string) (int, string) {
				if of != dir {
					return lockfile.Holder(of)
				}
				if asked++; asked == 1 {
					return os.Getpid() + 1, "ukprobe run"
				}
				if asked == 2 { // the run has been read
					must(t, s.Finish(RunOK))
				}
				return 0, ""
			}
			must(t, do(dir))
		})
	}
}

// TestImportIntoItself gives an old folder a store.
func TestImportIntoItself(t *testing.T) {
	dir := oldFolder(t)
	must(t, os.WriteFile(filepath.Join(dir, JournalName), oldEntry(t, 0, 2), 0o600))
	before := mustLoad(t, dir)
	// A try that was killed in the middle has left an empty store.
	db, err := openWriter(filepath.Join(dir, DatabaseName))
	must(t, err)
	must(t, closeWriter(db))
	if d := cmp.Diff(before, mustLoad(t, dir)); d != "" {
		t.Errorf("beside an empty store (-was +now):\n%s", d)
	}
	must(t, Import(dir, []string{dir}, func(Imported) {}))
	if d := cmp.Diff(before, mustLoad(t, dir)); d != "" {
		t.Errorf("(-was +now):\n%s", d)
	}
	if d := cmp.Diff([]string{FileName, DatabaseName}, entries(t, dir)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	must(t, addRun(t, dir, "r2").Finish(RunOK))
}

// TestImportRefuses what no ukprobe has measured; nothing is left of the try.
func TestImportRefuses(t *testing.T) {
	whole, err := os.ReadFile(filepath.Join(oldFolder(t), FileName))
	must(t, err)
	for name, tt := range map[string]struct{ old, new, want string }{
		"a negative time":     {`"total_ns":1000`, `"total_ns":-1000`, "phase total_ns is -1000 ns"},
		"a time of nothing":   {`"vmm_ns":500`, `"vmm_ns":0`, "phase vmm_ns is 0 ns"},
		"an event before all": {`"ns":1000000000`, `"ns":-4`, "event vmm_exec is at -4 ns"},
		"beyond all figures":  {`"exits":17.5`, `"exits":1e999`, "1e999"},
		"no figure":           {`"exits":17.5`, `"exits":NaN`, "invalid character 'N'"},
		"no status":           {`"status":"ok","taints"`, `"status":"fine","taints"`, `its status is "fine"`},
		"no id":               {`"id":"r1"`, `"id":""`, "no id"},
		"an id of another":    {`"id":"r1"`, `"id":"r@1"`, `the run's id is "r@1"`},
		"an id of two words":  {`"id":"r1"`, `"id":"r 1"`, `the run's id is "r 1"`},
		"an id that paints":   {`"id":"r1"`, `"id":"\u001b[31mr1"`, `the run's id is "\x1b[31mr1"`},
		"an id that turns":    {`"id":"r1"`, `"id":"\u202er1"`, `the run's id is "\u202er1"`},
		"half a file":         {"\n]\n}\n", "\n", "ends in the middle"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "bad.json")
			text := strings.Replace(string(whole), tt.old, tt.new, 1)
			if text == string(whole) {
				t.Fatalf("%q is not in it", tt.old)
			}
			must(t, os.WriteFile(path, []byte(text), 0o600))
			into := t.TempDir()
			wantError(t, Import(into, []string{path}, func(Imported) { t.Error("imported") }), tt.want, path)
			if left := entries(t, into); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
	// A figure that is only large is kept.
	path := filepath.Join(t.TempDir(), "large.json")
	must(t, os.WriteFile(path, []byte(strings.Replace(string(whole), `"exits":17.5`, `"exits":1e30`, 1)), 0o600))
	if v := mustLoad(t, out2store(t, path)).Cells[0].Samples[0].Values["exits"]; v != 1e30 {
		t.Errorf("10^30 became %v", v)
	}
	wantError(t, Import(filepath.Join(path, "into"), []string{path}, func(Imported) { t.Error("imported") }), path, "not a directory", "choose another directory")
}

func TestExportRefuses(t *testing.T) {
	dir := oldFolder(t)
	letter := filepath.Join(t.TempDir(), "letter.txt")
	must(t, os.WriteFile(letter, []byte("Dear Ann"), 0o600))
	wantError(t, ExportFile(letter, dir), letter, "no run.json")
	if text, err := os.ReadFile(letter); err != nil || string(text) != "Dear Ann" {
		t.Errorf("%q, %v", text, err)
	}
	for _, text := range []string{`{"format":"another","run":{"id":"r1"}}`, `{"run":{"id":"r1"}}`, `{"format":"ukprobe-run"}`, `["format","ukprobe-run","run",{"id":"r1"}]`} {
		must(t, os.WriteFile(letter, []byte(text), 0o600))
		wantError(t, ExportFile(letter, dir), "no run.json", "not a ukprobe run")
	}
	must(t, os.WriteFile(letter, []byte(`{"cells":[],"run":{"id":"r1"},"format":"ukprobe-run"}`), 0o600))
	must(t, ExportFile(letter, dir))
	wantError(t, ExportFile(filepath.Join(t.TempDir(), "none", "x.json"), dir), "no such file")
	must(t, ExportFile(filepath.Join(dir, FileName), dir))
}
