// SPDX-License-Identifier: Apache-2.0

package results

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestListUnfinished: a cell is counted as ok once it has all its samples, also in a store
// that was settled and in a run.json that was taken out of it.
func TestListUnfinished(t *testing.T) {
	cell := func(s *Settings) Cell {
		return Cell{System: "linux", App: "hello", Platform: "qemu", Experiment: "boot", Accel: "kvm", Settings: s}
	}
	cells := []Cell{cell(&Settings{Samples: 2}), cell(&Settings{Samples: 2, Parallel: 2}), cell(&Settings{Samples: 2, Parallel: 3, Interference: &InterferenceLimit{Repeat: 1}}),
		cell(&Settings{Samples: 1, Parallel: 4, Until: &Until{AtMost: 5}}), cell(&Settings{Samples: 2, Parallel: 5})}
	dir := filepath.Join(t.TempDir(), "r")
	run := testRun()
	zero := 0
	run.Argv = []string{"ukprobe", "run", "--seed=7"}
	run.Seed = 7
	run.Asked = &Asked{Matrix: "m.yaml", MatrixText: `a: "\",\"dir\":\"` + "\n", Only: []string{"system=linux|process"}, Set: []string{"memory_mib=1024"}, Samples: 2, Warmup: &zero, TimeoutNs: 3e9, Attach: "auto", Strict: true}
	s, err := Create(dir, run, testHost(), cells)
	must(t, err)
	repeat := okSample(2)
	repeat.RepeatOf = 1
	for i, sample := range []Sample{okSample(1), okSample(2)} {
		must(t, s.AddSample(0, sample)) // whole
		if i == 0 {
			must(t, s.AddSample(1, sample))
			must(t, s.AddSample(2, sample))
			must(t, s.AddSample(3, sample))
		}
	}
	must(t, s.AddSample(2, repeat)) // two samples, of which one counts
	asked := []string{"--only 'system=linux|process'", "--set memory_mib=1024", "--samples 2", "--warmup 0", "--timeout 3s", "--strict", "--seed 7"}
	check := func(what, at string) {
		t.Helper()
		list, err := List(at)
		must(t, err)
		if d := cmp.Diff(RunCounts{Cells: 5, OK: 1, Other: 1, Unfinished: 3, Samples: 6}, list[0].RunCounts); d != "" {
			t.Errorf("%s (-want +got):\n%s", what, d)
		}
		if d := cmp.Diff(asked, list[0].Asked); d != "" {
			t.Errorf("%s: asked for (-want +got):\n%s", what, d)
		}
	}
	check("under way", dir)
	must(t, s.Finish(RunInterrupted))
	check("interrupted", dir)
	check("its run.json", filepath.Join(dir, FileName))

	d, err := Open(dir)
	must(t, err)
	defer d.Close()
	var ok, unfinished int
	var only, settings string
	must(t, d.db.QueryRow(`SELECT ok, unfinished, "only", settings FROM runs`).Scan(&ok, &unfinished, &only, &settings))
	if ok != 1 || unfinished != 3 || only != `["system=linux|process"]` || settings != `["memory_mib=1024"]` {
		t.Errorf("in the view: %d, %d, %s, %s", ok, unfinished, only, settings)
	}
}

// TestWithoutMatrix: what follows a matrix's text is found, whatever is in it.
func TestWithoutMatrix(t *testing.T) {
	for text, want := range map[string]string{
		`{"id":"a","asked":{"matrix":"m","matrix_text":"x \"y\" \\","dir":"d"}}`: `{"id":"a","asked":{"matrix":"m","dir":"d"}}`,
		`{"argv":[",\"matrix_text\":\"z\""],"asked":{"a":1,"matrix_text":""}}`:   `{"argv":[",\"matrix_text\":\"z\""],"asked":{"a":1}}`,
		`{"id":"a"}`: `{"id":"a"}`,
		`{"asked":{"matrix":"m","matrix_text":"no end`: `{"asked":{"matrix":"m","matrix_text":"no end`,
	} {
		if got := string(withoutMatrix([]byte(text))); got != want {
			t.Errorf("%s: %s", text, got)
		}
	}
}

// TestListTellsDamagedHeads: whatever a run's head is, if it is there and is none the list
// is not made without what it says.
func TestListTellsDamagedHeads(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "r")
	s := mustCreate(t, dir)
	must(t, s.Finish(RunOK))
	for _, head := range []string{"", "{", "nonsense", `{"id":7}`, `{"argv":["x]}`, `{"argv":["x"]}]}`} {
		inDatabase(t, filepath.Join(dir, DatabaseName), "UPDATE run_text SET head = '"+head+"'")
		_, err := List(dir)
		wantError(t, err, ErrDamaged.Error(), "what the run was")
	}
	inDatabase(t, filepath.Join(dir, DatabaseName), "DELETE FROM run_text")
	_, err := List(dir)
	must(t, err)
}

// TestAskedForTheSeed: it is told if it was given, wherever.
func TestAskedForTheSeed(t *testing.T) {
	for want, run := range map[string]Run{
		"":         {Seed: 7, Asked: &Asked{}},
		"--seed 8": {Seed: 8, Asked: &Asked{Seed: ptrTo[uint64](8)}}, // UKPROBE_SEED
		"--seed 9": {Seed: 9, Argv: []string{"ukprobe", "--seed", "9"}, Asked: &Asked{}},
	} {
		if got := strings.Join(run.AskedFor(), " "); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestClockSet: how long a run took is not told where the wall clock was set meanwhile.
func TestClockSet(t *testing.T) {
	at := func(year int) time.Time { return time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC) }
	end := func(year int) *time.Time { e := at(year); return &e }
	for name, tt := range map[string]struct {
		run  Run
		want bool
	}{
		"under way":     {Run{Started: at(2026)}, false},
		"forwards":      {Run{Started: at(2025), Finished: end(2026)}, false},
		"backwards":     {Run{Started: at(9999), Finished: end(1)}, true},
		"by millennia":  {Run{Started: at(1), Finished: end(9999)}, true},
		"within a part": {Run{Started: at(2020), Finished: end(2026), Parts: []Part{{Started: at(2020), Finished: end(2019)}, {Started: at(2025)}}}, true},
		"in two parts":  {Run{Started: at(2020), Finished: end(2026), Parts: []Part{{Started: at(2020), Finished: end(2021)}, {Started: at(2025)}}}, false},
	} {
		_, known := tt.run.Ran()
		if got := tt.run.ClockSet(); got != tt.want || known != (!tt.want && tt.run.Finished != nil) {
			t.Errorf("%s: %v, known %v", name, got, known)
		}
	}
}
