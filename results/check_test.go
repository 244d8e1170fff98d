// SPDX-License-Identifier: Apache-2.0

package results

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/google/go-cmp/cmp"
)

// wholeRun is a run.json, and a change of it that is told in Go.
func wholeRun(t *testing.T, change func(*File)) string {
	t.Helper()
	f := mustLoad(t, oldFolder(t))
	f.Run.Status = RunOK
	change(f)
	data, err := json.Marshal(f)
	must(t, err)
	path := filepath.Join(t.TempDir(), "run.json")
	must(t, os.WriteFile(path, data, 0o600))
	return path
}

// TestReadersRefuse: what import refuses no other reader takes.
func TestReadersRefuse(t *testing.T) {
	long := strings.Repeat("x", MaxName+1)
	phases := func(p Phases) func(*File) {
		return func(f *File) { f.Cells[0].Samples[0].Phases = p }
	}
	for name, tt := range map[string]struct {
		change func(*File)
		want   string
	}{
		"a negative total":  {phases(Phases{TotalNs: ns(-5)}), "cell 1: sample 1 of reference/hello on qemu (kvm): phase total_ns is -5 ns"},
		"less than a part":  {phases(Phases{VMMNs: ns(7e9), TotalNs: ns(1000)}), "total_ns is 1000 ns, but of its parts vmm_ns is 7000000000 ns"},
		"less than all":     {phases(Phases{VMMNs: ns(600), GuestNs: ns(600), TotalNs: ns(1000)}), "vmm_ns is 600 ns and guest_ns is 600 ns"},
		"more than all":     {phases(Phases{VMMNs: ns(1), FirmwareNs: ns(1), GuestNs: ns(1), TotalNs: ns(9)}), "total_ns is 9 ns"},
		"the guest's parts": {phases(Phases{GuestNs: ns(4), KernelNs: ns(5), TotalNs: ns(9)}), "guest_ns is 4 ns, but of its parts kernel_ns is 5 ns"},
		"beyond all sums":   {phases(Phases{VMMNs: ns(1<<63 - 1), GuestNs: ns(1<<63 - 1), TotalNs: ns(1<<63 - 1)}), "but of its parts"},
		"a guest of several": {func(f *File) {
			f.Cells[0].Samples[0].Guests = []Sample{{Status: SampleOK, Phases: Phases{TotalNs: ns(0)}}}
		}, "guest 1: phase total_ns is 0 ns"},
		"a value for a phase": {func(f *File) { f.Cells[0].Samples[0].Values["total_ns"] = 1 }, "a value has the name of phase total_ns"},
		"nothing":             {func(f *File) { *f = File{Format: Format, FormatVersion: 1} }, "the run has no id"},
		"empty cells":         {func(f *File) { f.Cells = make([]Cell, 2) }, "cell 1: it has no system"},
		"a cell twice":        {func(f *File) { f.Cells = append(f.Cells, f.Cells[0]) }, "are the same: reference/hello on qemu (kvm)"},
		"a status of a cell":  {func(f *File) { f.Cells[0].Status = "fine" }, `is "fine"`},
		"a status of the run": {func(f *File) { f.Run.Status = "fine" }, `the run's status is "fine"`},
		"a long id":           {func(f *File) { f.Run.ID = long }, "the run's id has 1001 bytes, more than 256"},
		"a long system":       {func(f *File) { f.Cells[0].System = long }, `cell 1: system has 1001 bytes, more than 1000: "xxx`},
		"a long metric":       {func(f *File) { f.Cells[0].Samples[0].Values[long] = 1 }, "a value's name has 1001 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			path := wholeRun(t, tt.change)
			_, err := Load(path)
			wantError(t, err, tt.want, path, "no ukprobe writes that: put the file right")
			_, _, err = Columns(path)
			wantError(t, err, tt.want)
			wantError(t, Export(io.Discard, path), tt.want)
			wantError(t, Import(t.TempDir(), []string{path}, func(Imported) { t.Error("imported") }), tt.want)
		})
	}
}

// TestReadersTake what honest runs have.
func TestReadersTake(t *testing.T) {
	for name, change := range map[string]func(*File){
		"as it is": func(*File) {},
		"a phase that came out as impossible": func(f *File) {
			s := &f.Cells[0].Samples[0]
			s.Phases, s.Missing = Phases{VMMNs: ns(700), GuestNs: ns(400), TotalNs: ns(1000)}, []Missing{{"firmware_ns", "-100"}}
		},
		"a part that was not seen": func(f *File) { f.Cells[0].Samples[0].Phases = Phases{VMMNs: ns(7), TotalNs: ns(1000)} },
		"refused under each accelerator": func(f *File) {
			c := Cell{System: "a", App: "b", Platform: "c", Experiment: "boot", Status: CellUnsupported, Reason: "no"}
			f.Cells = append(f.Cells, c, c)
		},
		"equal but for the accelerator": func(f *File) {
			c := f.Cells[0]
			c.Accel = "tcg"
			f.Cells = append(f.Cells, c)
		},
	} {
		t.Run(name, func(t *testing.T) { mustLoad(t, out2store(t, wholeRun(t, change))) })
	}
}

// TestSummariesAreOfTheSamples: what a file says of its samples beside them is not taken.
func TestSummariesAreOfTheSamples(t *testing.T) {
	path := wholeRun(t, func(f *File) {
		f.Cells[0].Summary = map[string]Summary{totalMetric: {N: 30, Median: 1, Min: 1, Max: 1}, "made_up": {N: 1, Median: 4}}
	})
	store := out2store(t, path)
	for _, at := range []string{path, store} {
		f := mustLoad(t, at)
		want := f.Cells[0].Summarize()
		if got := f.Cells[0].Summary; len(got) != len(want) || got[totalMetric].Median != want[totalMetric].Median || want[totalMetric].Median < 1000 {
			t.Errorf("%s: %+v", at, got)
		}
		_, cells, err := Columns(at)
		must(t, err)
		if got := cells[0].Summary; len(got) != len(want) || got[totalMetric].Median != want[totalMetric].Median {
			t.Errorf("columns of %s: %+v", at, got)
		}
	}
	d, err := Open(store)
	must(t, err)
	defer d.Close()
	var median float64
	must(t, d.db.QueryRow("SELECT median FROM summaries WHERE metric = 'total_ns' LIMIT 1").Scan(&median))
	if median < 1000 {
		t.Errorf("in the view: %v", median)
	}
}

// TestClockWasSet: a run that ended before it began, or in a part, is imported as it is,
// from a file and from a store, with those that come after it.
func TestClockWasSet(t *testing.T) {
	store := t.TempDir()
	set := wholeRun(t, func(f *File) {
		end := f.Run.Started.AddDate(-1, 0, 0)
		f.Run.ID, f.Run.Finished = "set", &end
	})
	part := wholeRun(t, func(f *File) {
		end := f.Run.Started.AddDate(-1, 0, 0)
		f.Run.ID, f.Run.Parts = "part", []Part{{Started: f.Run.Started, Finished: &end}, {Started: f.Run.Started}}
	})
	other := wholeRun(t, func(f *File) { f.Run.ID = "other" })
	must(t, Import(store, []string{set, part, other}, func(Imported) {}))
	again := t.TempDir()
	must(t, Import(again, []string{store}, func(Imported) {}))
	must(t, Import(again, []string{store}, func(i Imported) {
		if !i.Already {
			t.Errorf("again: %+v", i)
		}
	}))
	for _, dir := range []string{store, again} {
		list, err := List(dir)
		must(t, err)
		clocks := map[string]bool{}
		for _, r := range list {
			clocks[r.ID] = r.ClockSet
		}
		if d := cmp.Diff(map[string]bool{"set": true, "part": true, "other": false}, clocks); d != "" {
			t.Errorf("clocks (-want +got):\n%s", d)
		}
		if d := cmp.Diff(mustLoad(t, set), mustLoad(t, dir+"@set")); d != "" {
			t.Errorf("the run (-file +store):\n%s", d)
		}
	}
}

// TestReadBounded: what does not end is not read, nor what is too large.
func TestReadBounded(t *testing.T) {
	_, err := Load("/dev/zero")
	wantError(t, err, "/dev/zero is no file and no pipe", "name a results folder or a run.json")
	large := filepath.Join(t.TempDir(), "large.json")
	must(t, os.WriteFile(large, bytes.Repeat([]byte{' '}, 2<<20+1), 0o600))
	_, err = readBounded(large, 2<<20)
	wantError(t, err, large, "more than 2 MiB")
	if data, err := readBounded(large, 2<<20+1); err != nil || len(data) != 2<<20+1 {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	pipe := filepath.Join(t.TempDir(), "pipe")
	must(t, unix.Mkfifo(pipe, 0o600))
	go func() { _ = os.WriteFile(pipe, []byte("{}"), 0o600) }()
	if data, err := readBounded(pipe, 2); err != nil || string(data) != "{}" {
		t.Errorf("of a pipe: %q, %v", data, err)
	}
}
