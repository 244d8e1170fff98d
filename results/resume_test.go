// SPDX-License-Identifier: Apache-2.0

package results

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// leftRun is the folder of a run that was left with five samples: two of the first cell
// and three of the second. An old one is as ukprobe left it before there was a store, the
// last two samples in samples.jsonl.
func leftRun(t *testing.T, old bool, leave func(*Store) error) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "run")
	s := mustCreate(t, dir)
	order := []int{0, 1, 0, 1, 1}
	if old {
		order = order[:3]
	}
	for i, cell := range order {
		must(t, s.AddSample(cell, okSample(int64(1000+i))))
	}
	must(t, leave(s))
	if !old {
		return dir
	}
	path := filepath.Join(t.TempDir(), FileName)
	must(t, ExportFile(path, dir))
	must(t, os.RemoveAll(dir))
	must(t, os.WriteFile(filepath.Join(filepath.Dir(path), JournalName), slices.Concat(oldEntry(t, 1, 1), oldEntry(t, 1, 2)), 0o600))
	return filepath.Dir(path)
}

// samplesOf are the lines of the run's run.json with samples.
func samplesOf(t *testing.T, dir string) []string {
	t.Helper()
	var data strings.Builder
	must(t, Export(&data, dir))
	var out []string
	for _, line := range strings.Split(data.String(), "\n") {
		if strings.HasPrefix(line, `{"started"`) {
			line, _, _ = strings.Cut(line, "],\"summary\"") // the cell ends behind its last one
			out = append(out, strings.TrimSuffix(line, ","))
		}
	}
	return out
}

// TestResume: a run that was killed, interrupted or failed goes on where it was left;
// what was stored stays as it is, byte for byte, and the parts are noted.
func TestResume(t *testing.T) {
	for name, tt := range map[string]struct {
		old   bool
		leave func(*Store) error
	}{
		"killed":                           {false, (*Store).Close},
		"killed, before there was a store": {true, (*Store).Close},
		"interrupted":                      {false, func(s *Store) error { return s.Finish(RunInterrupted) }},
		"failed":                           {true, func(s *Store) error { return s.Finish(RunFailed) }},
	} {
		t.Run(name, func(t *testing.T) {
			dir := leftRun(t, tt.old, tt.leave)
			before := mustLoad(t, dir)
			s, err := Resume(dir)
			must(t, err)
			defer s.Close()
			if d := cmp.Diff(before.Cells, s.Snapshot().Cells); d != "" {
				t.Errorf("as it was loaded (-want +got):\n%s", d)
			}
			must(t, s.BeginPart(Part{Started: started.Add(time.Hour), Argv: []string{"again"}, Differences: []string{"kernel: 1 then, 2 now"}}))
			if f := mustLoad(t, dir); f.Run.Status != RunRunning || f.Run.Finished != nil {
				t.Errorf("while it goes on: %+v", f.Run)
			}
			kept := samplesOf(t, dir)
			must(t, s.AddSample(0, okSample(7)))
			must(t, s.Finish(RunOK))
			f := mustLoad(t, dir)
			end := before.Run.Finished
			if name[:6] == "killed" { // when its last sample had started, and was ready
				end = ptrTo(before.Cells[1].Samples[2].Started.Add(time.Duration(*before.Cells[1].Samples[2].Phases.TotalNs)))
			}
			wantParts := []Part{{Started: started, Finished: end, Argv: []string{"ukprobe", "run"}},
				{Started: started.Add(time.Hour), Argv: []string{"again"}, From: 5, Differences: []string{"kernel: 1 then, 2 now"}}}
			if d := cmp.Diff(wantParts, f.Run.Parts); d != "" {
				t.Errorf("parts (-want +got):\n%s", d)
			}
			ran, known := f.Run.Ran()
			if want := end.Sub(started) + f.Run.Finished.Sub(started.Add(time.Hour)); !known || ran != want {
				t.Errorf("it ran for %s, %v: want %s", ran, known, want)
			}
			list, err := List(dir)
			must(t, err)
			if len(list) != 1 || list[0].RanNs == nil || *list[0].RanNs != ran.Nanoseconds() || list[0].Resumed != 1 {
				t.Errorf("listed as %+v", list)
			}
			if n := [2]int{len(f.Cells[0].Samples), len(f.Cells[1].Samples)}; n != [2]int{3, 3} {
				t.Fatalf("%v samples", n)
			}
			for i := range before.Cells {
				if d := cmp.Diff(before.Cells[i].Samples, f.Cells[i].Samples[:len(before.Cells[i].Samples)]); d != "" {
					t.Errorf("cell %d, what was kept (-before +after):\n%s", i, d)
				}
			}
			if d := cmp.Diff(f.Cells[0].Summarize(), f.Cells[0].Summary); d != "" {
				t.Errorf("summary:\n%s", d)
			}
			now := samplesOf(t, dir)
			if len(kept) != 5 || len(now) != 6 {
				t.Fatalf("%d lines of samples, then %d", len(kept), len(now))
			}
			for _, line := range kept {
				if !strings.Contains(strings.Join(now, "\n"), line) {
					t.Errorf("not as it was: %s", line)
				}
			}
			if _, err := Resume(dir); !errors.Is(err, ErrFinished) {
				t.Errorf("resume a finished run: %v", err)
			}
			schema := compileSchema(t, "")
			data, err := os.ReadFile(filepath.Join(dir, FileName))
			must(t, err)
			must(t, validate(t, schema, data))
		})
	}
}

// TestResumeKeepsFieldsItDoesNotKnow: a sample of a newer ukprobe stays whole, also when
// somebody has formatted the file.
func TestResumeKeepsFieldsItDoesNotKnow(t *testing.T) {
	dir := leftRun(t, true, (*Store).Close)
	path := filepath.Join(dir, FileName)
	data, err := os.ReadFile(path)
	must(t, err)
	var whole map[string]any
	d := json.NewDecoder(strings.NewReader(string(data)))
	d.UseNumber()
	must(t, d.Decode(&whole))
	first := whole["cells"].([]any)[0].(map[string]any)["samples"].([]any)[0].(map[string]any)
	first["from_the_future"] = "kept"
	data, err = json.MarshalIndent(whole, "", "    ")
	must(t, err)
	must(t, os.WriteFile(path, data, 0o600))
	s, err := Resume(dir)
	must(t, err)
	must(t, s.BeginPart(Part{Started: started}))
	must(t, s.Finish(RunOK))
	data, err = os.ReadFile(path)
	must(t, err)
	if strings.Count(string(data), `"from_the_future":"kept"`) != 1 {
		t.Errorf("lost:\n%.2000s", data)
	}
	again := t.TempDir()
	must(t, Import(again, []string{dir}, func(Imported) {}))
	var exported strings.Builder
	must(t, Export(&exported, again))
	if strings.Count(exported.String(), `"from_the_future":"kept"`) != 1 {
		t.Errorf("lost by import:\n%.2000s", exported.String())
	}
	if n := len(samplesOf(t, dir)); n > 5 {
		t.Errorf("%d lines of samples", n)
	}
}

// TestResumeTouchesNothing before the part begins, and takes the lock.
func TestResumeTouchesNothing(t *testing.T) {
	for _, old := range []bool{false, true} {
		dir := leftRun(t, old, (*Store).Close)
		read := func() string {
			all := ""
			for _, name := range entries(t, dir) {
				data, err := os.ReadFile(filepath.Join(dir, name))
				must(t, err)
				all += name + string(data)
			}
			return all
		}
		before := read()
		s, err := Resume(dir)
		must(t, err)
		if _, err := Resume(dir); err == nil || !strings.Contains(err.Error(), "another ukprobe is writing its run into") {
			t.Errorf("a second one: %v", err)
		}
		for _, err := range []error{s.AddSample(0, okSample(1)), s.SetCellStatus(0, CellOK, ""), s.SetHost(Host{}), s.Finish(RunOK)} {
			if !errors.Is(err, errNotBegun) {
				t.Errorf("before its part: %v", err)
			}
		}
		must(t, s.Close())
		if read() != before {
			t.Error("the files are not as they were")
		}
		if s, err = Resume(dir); err != nil {
			t.Fatalf("once the lock is free: %v", err)
		}
		must(t, s.Close())
	}
}

func TestResumeRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		text, want string
	}{
		"nothing":       {"", "no run in"},
		"no run":        {"{}", "is not a ukprobe run"},
		"half a file":   {`{"format": "ukprobe-run", "format_ver`, "is not a whole run"},
		"a newer one":   {`{"format": "ukprobe-run", "format_version": 2}`, "written by a newer ukprobe"},
		"a file's name": {"file", "no run in"},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, FileName)
		switch tt.text {
		case "":
		case "file":
			dir = path
		default:
			must(t, os.WriteFile(path, []byte(tt.text), 0o600))
		}
		if _, err := Resume(dir); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

// TestResumeKeepsAnotherRun: a run.json of a run that the store has not is not replaced.
func TestResumeKeepsAnotherRun(t *testing.T) {
	dir := leftRun(t, false, func(s *Store) error { return s.Finish(RunInterrupted) })
	path := filepath.Join(dir, FileName)
	data, err := os.ReadFile(path)
	must(t, err)
	must(t, os.WriteFile(path, []byte(strings.Replace(string(data), `"id":"r1"`, `"id":"r0"`, 1)), 0o600))
	_, err = Resume(dir)
	wantError(t, err, "of run r0", "import --into "+dir)
	must(t, os.Remove(path))
	s, err := Resume(dir)
	must(t, err)
	must(t, s.Close())
}

// TestBeginPartUndone: a part that could not begin is not counted, and the next try is.
func TestBeginPartUndone(t *testing.T) {
	dir := leftRun(t, false, (*Store).Close)
	path := filepath.Join(dir, DatabaseName)
	s, err := Resume(dir)
	must(t, err)
	defer s.Close()
	inDatabase(t, path, "CREATE TRIGGER refuse BEFORE UPDATE ON run BEGIN SELECT RAISE(ABORT, 'not now'); END")
	wantError(t, s.BeginPart(Part{Started: started}), "not now", "intact")
	if err := s.AddSample(0, okSample(1)); !errors.Is(err, errNotBegun) {
		t.Errorf("a sample of a part that has not begun: %v", err)
	}
	inDatabase(t, path, "DROP TRIGGER refuse")
	must(t, s.BeginPart(Part{Started: started}))
	must(t, s.Finish(RunOK))
	if parts := mustLoad(t, dir).Run.Parts; len(parts) != 2 {
		t.Errorf("%d parts", len(parts))
	}
}

func TestDifferences(t *testing.T) {
	was := testHost()
	was.Settings = nil
	now := testHost()
	if d := Differences(was, now); len(d) != 0 {
		t.Errorf("of the same: %v", d)
	}
	if d := Differences(Host{}, Host{Accelerators: []string{}, KVMParameters: map[string]string{}}); len(d) != 0 {
		t.Errorf("of nothing and nothing: %v", d)
	}
	now.Kernel, now.CPUs, now.Versions, now.IsolatedCPUs = "6.13.0", 3, map[string]string{"docker": "27"}, ""
	want := []string{
		"cpus: 2 then, 3 now",
		`isolated_cpus: "1" then, nothing now`,
		`kernel: "6.12.0" then, "6.13.0" now`,
		`versions.docker: nothing then, "27" now`,
		`versions.qemu-system-x86_64: "7.2.19" then, nothing now`,
	}
	if d := cmp.Diff(want, Differences(was, now)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if got := Differences(Cell{Image: &Image{SHA256: "ab"}}, Cell{}); len(got) != 1 || !strings.HasPrefix(strings.Join(got, "\n"), `image.`) {
		t.Errorf("an image that is gone: %q", got)
	}
}

func TestMergeHistograms(t *testing.T) {
	a := []Histogram{{Name: "h", Labels: map[string]string{"r": "io"}, Schema: 3, ZeroCount: 1, Count: 4, Sum: 2, Buckets: map[int32]uint64{1: 3}}, {Name: "only_before", Count: 1}}
	b := []Histogram{
		{Name: "h", Labels: map[string]string{"r": "io"}, Schema: 3, ZeroCount: 1, Count: 3, Sum: 1, Buckets: map[int32]uint64{1: 1, 2: 1}},
		{Name: "h", Labels: map[string]string{"r": "hlt"}, Schema: 3, Count: 1}, {Name: "h", Labels: map[string]string{"r": "io"}, Schema: 2, Count: 7},
	}
	want := []Histogram{
		{Name: "h", Labels: map[string]string{"r": "io"}, Schema: 3, ZeroCount: 2, Count: 7, Sum: 3, Buckets: map[int32]uint64{1: 4, 2: 1}},
		a[1], b[1], b[2],
	}
	if d := cmp.Diff(want, MergeHistograms(a, b)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if a[0].Count != 4 || a[0].Buckets[1] != 3 {
		t.Errorf("the first were changed: %+v", a[0])
	}
}

// TestResumeEmptyJournal: a journal without a whole entry is taken over too, and is gone
// in the end.
func TestResumeEmptyJournal(t *testing.T) {
	for name, text := range map[string]string{"empty": "", "torn": `{"cell":0,"n":2,"sam`} {
		t.Run(name, func(t *testing.T) {
			dir := oldFolder(t)
			path := filepath.Join(dir, JournalName)
			must(t, os.WriteFile(path, []byte(text), 0o600))
			s, err := Resume(dir)
			must(t, err)
			defer s.Close()
			must(t, s.BeginPart(Part{Started: started.Add(time.Hour)}))
			must(t, s.AddSample(0, okSample(7)))
			must(t, s.Finish(RunOK))
			if f := mustLoad(t, dir); len(f.Cells[0].Samples) != 3 {
				t.Errorf("%d samples", len(f.Cells[0].Samples))
			}
			if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the journal is left behind: %v", err)
			}
		})
	}
}
