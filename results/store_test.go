// SPDX-License-Identifier: Apache-2.0

package results

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var started = time.Date(2025, 11, 23, 4, 45, 0, 123456789, time.UTC)

func testRun() Run {
	return Run{ID: "r1", Version: "0.1.0", Started: started, Seed: math.MaxUint64, Argv: []string{"ukprobe", "run"}}
}

func testHost() Host {
	return Host{
		Kernel: "6.12.0", CPUModel: "Test CPU", CPUs: 2, Hypervisor: "KVM",
		Accelerators:  []string{"kvm", "tcg"},
		KVMParameters: map[string]string{"kvm_intel.ept": "Y"},
		SMT:           "notsupported", IsolatedCPUs: "1", Cmdline: "quiet",
		Versions: map[string]string{"qemu-system-x86_64": "7.2.19"},
		Rungs:    map[string]Rung{"kvm_entry": {"tp_btf", "the kernel has no kprobes"}},
	}
}

func testCells() []Cell {
	return []Cell{
		{System: "reference", App: "hello", Platform: "qemu", Experiment: "boot", Accel: "kvm"},
		{System: "linux", App: "nginx", Platform: "qemu1nic", Experiment: "boot", Accel: "tcg"},
	}
}

func ns(v int64) *int64 { return &v }

// okSample is a whole boot sample that took total nanoseconds.
func okSample(total int64) Sample {
	return Sample{
		Started: started, Status: SampleOK, Taints: []string{"foreign task on cpu 1"},
		Events: []Event{
			{EventVMMExec, 1_000_000_000, "tracepoint", "sched_process_exec"},
			{EventConsoleReady, 1_000_000_000 + total, "tp_btf", "kvm_pio"},
		},
		Missing: []Missing{{EventFrameOut, "the platform has no network device"}},
		Phases:  Phases{VMMNs: ns(total / 2), GuestNs: ns(total / 4), TotalNs: ns(total)},
		Values:  map[string]float64{"exits": 17.5},
		Lost:    map[string]uint64{"ringbuf": 3},
		Console: []ConsoleLine{{1, 2, "hello"}},
	}
}

func mustCreate(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Create(dir, testRun(), testHost(), testCells())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func mustLoad(t *testing.T, dir string) *File {
	t.Helper()
	f, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", parts)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("error %q does not contain %q", err, p)
		}
	}
}

func entries(t *testing.T, dir string) []string {
	t.Helper()
	es, err := os.ReadDir(dir)
	must(t, err)
	names := []string{}
	for _, e := range es {
		names = append(names, e.Name())
	}
	return names
}

func TestStoreRoundTrip(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "run")
	cells := testCells()
	image := Image{Path: "/img", SHA256: strings.Repeat("ab", 32), Size: 4096}
	histogram := Histogram{Name: "exit_seconds", Labels: map[string]string{"reason": "HLT"}, Schema: 3,
		ZeroCount: 1, Count: 4, Sum: 0.25, Buckets: map[int32]uint64{-12: 1, 0: 2}}
	cells[0].Image = &image
	s, err := Create(dir, testRun(), testHost(), cells)
	must(t, err)
	must(t, s.SetCellArgv(0, []string{"qemu", "-kernel", "/img"}))
	must(t, s.SetCellStatus(1, CellUnsupported, "no such image"))
	for i := range 7 {
		must(t, s.AddSample(0, okSample(int64(i+1)*1000)))
	}
	failed := Sample{Started: started, Status: SampleTimeout, Reason: "not ready after 30s", Stderr: "boom"}
	must(t, s.AddSampleWith(0, failed, []Histogram{histogram}))
	must(t, s.Finish(RunOK))

	want := &File{Format: Format, FormatVersion: 1, Run: testRun(), Host: testHost(), Cells: testCells()}
	want.Run.Status = RunOK
	c := &want.Cells[0]
	c.Status, c.Reason = CellOK, "1 of 8 samples not ok, the last one: timeout: not ready after 30s"
	c.Argv, c.Image, c.Histograms = []string{"qemu", "-kernel", "/img"}, &image, []Histogram{histogram}
	for i := range 7 {
		c.Samples = append(c.Samples, okSample(int64(i+1)*1000))
	}
	c.Samples = append(c.Samples, failed)
	c.Summary = map[string]Summary{
		"vmm_ns":   {N: 7, Median: 2000, CI95: &[2]float64{500, 3500}, Min: 500, Max: 3500},
		"guest_ns": {N: 7, Median: 1000, CI95: &[2]float64{250, 1750}, Min: 250, Max: 1750},
		"total_ns": {N: 8, Median: 4500, CI95: &[2]float64{1000, 7000}, Min: 1000, Max: 7000, Beyond: 1},
		"exits":    {N: 7, Median: 17.5, CI95: &[2]float64{17.5, 17.5}, Min: 17.5, Max: 17.5},
	}
	want.Cells[1].Status, want.Cells[1].Reason = CellUnsupported, "no such image"

	got := mustLoad(t, dir)
	if got.Run.Finished == nil || time.Since(*got.Run.Finished) > time.Minute {
		t.Errorf("finished = %v, want now", got.Run.Finished)
	}
	got.Run.Finished = nil
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if d := cmp.Diff([]string{FileName, DatabaseName}, entries(t, dir)); d != "" {
		t.Errorf("files after Finish, -want +got:\n%s", d)
	}
}

// TestNoPhaseOfZero: whichever phase came out as nothing or less is missing, with
// its reason.
func TestNoPhaseOfZero(t *testing.T) {
	for _, n := range []int64{0, -1} {
		var bad Phases
		v := reflect.ValueOf(&bad).Elem()
		for i := range v.NumField() {
			v.Field(i).Set(reflect.ValueOf(ns(n)))
		}
		got, err := normalize(Sample{Status: SampleOK, Phases: bad})
		must(t, err)
		if d := cmp.Diff(Phases{}, got.Phases); d != "" || len(got.Missing) != v.NumField() {
			t.Errorf("phases of %d ns, %d missing, -want +got:\n%s", n, len(got.Missing), d)
		}
	}
}

// TestEncodedIsCell holds the hand-laid cell against the encoder of Cell, so
// that a field added to Cell cannot be forgotten.
func TestEncodedIsCell(t *testing.T) {
	c := Cell{"a", "b", "c", "d", "e", "none", "f", "g", &Image{}, "h", &Settings{Samples: 1}, []string{"x"}, &Stopped{Samples: 1}, &Limit{NS: 1}, []Sample{okSample(1), okSample(2)},
		[]Histogram{{Name: "h"}}, map[string]Summary{"m": {}}}
	var lines []json.RawMessage
	for _, s := range c.Samples {
		line, err := json.Marshal(s)
		must(t, err)
		lines = append(lines, line)
	}
	var b strings.Builder
	must(t, writeFile(&b, &File{Cells: []Cell{c}}, func(int) ([]json.RawMessage, error) { return lines, nil }))
	var got struct{ Cells []any }
	must(t, json.Unmarshal([]byte(b.String()), &got))
	whole, err := json.Marshal(c)
	must(t, err)
	var want any
	must(t, json.Unmarshal(whole, &want))
	for _, s := range want.(map[string]any)["samples"].([]any) {
		s.(map[string]any)[countsKey] = true // no field of Sample
	}
	if d := cmp.Diff([]any{want}, got.Cells); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestDerivedStatus(t *testing.T) {
	tests := []struct {
		name           string
		statuses       []string
		status, reason string
	}{
		{"nothing yet", nil, CellSkipped, "not started"},
		{"all ok", []string{"ok", "ok"}, CellOK, ""},
		{"one failed", []string{"ok", "failed", "ok"}, CellOK, "1 of 3 samples not ok, the last one: why"},
		{"failed, then ok", []string{"failed", "ok"}, CellOK, "1 of 2 samples not ok, the last one: why"},
		{"all failed", []string{"failed", "timeout"}, CellFailed, "timeout: why"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			s := mustCreate(t, dir)
			for _, st := range tt.statuses {
				must(t, s.AddSample(0, Sample{Started: started, Status: st, Reason: "why"}))
			}
			c := mustLoad(t, dir).Cells[0]
			if d := cmp.Diff([]string{tt.status, tt.reason}, []string{c.Status, c.Reason}); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
	t.Run("a repeat that was ok", func(t *testing.T) {
		dir := t.TempDir()
		s := mustCreate(t, dir)
		must(t, s.AddSample(0, okSample(1)))
		must(t, s.AddSample(0, Sample{Started: started, Status: SampleTimeout, Reason: "why", Disturbed: true}))
		if c := mustLoad(t, dir).Cells[0]; c.Reason != "1 of 2 samples not ok, the last one: timeout: why" {
			t.Errorf("before it: %s", c.Reason)
		}
		again := okSample(2)
		again.RepeatOf = 2
		must(t, s.AddSample(0, again))
		if c := mustLoad(t, dir).Cells[0]; c.Status != CellOK || c.Reason != "" {
			t.Errorf("after it: %s: %s", c.Status, c.Reason)
		}
	})
	t.Run("set by the caller", func(t *testing.T) {
		dir := t.TempDir()
		s := mustCreate(t, dir)
		must(t, s.SetCellStatus(0, CellFailed, "the guest crashed"))
		must(t, s.AddSample(0, okSample(1)))
		if c := mustLoad(t, dir).Cells[0]; c.Status != CellFailed || c.Reason != "the guest crashed" {
			t.Errorf("status = %s: %s", c.Status, c.Reason)
		}
	})
}

func TestAddSampleNormalizes(t *testing.T) {
	dir := t.TempDir()
	s := mustCreate(t, dir)
	in := Sample{Started: started, Status: SampleFailed, Reason: "bad \xff byte",
		Phases: Phases{VMMNs: ns(0), GuestNs: ns(-5), TotalNs: ns(7)},
		Values: map[string]float64{"nan": math.NaN(), "inf": math.Inf(1), "ok": 1, "huge": 1e30},
		Events: []Event{{EventVMMExec, -7, "tracepoint", "exec"}, {EventVMMExit, 0, "tracepoint", "exit"}},
		Stderr: strings.Repeat("x", MaxStderr) + "the end"}
	for i := range 1000 {
		in.Console = append(in.Console, ConsoleLine{int64(i), int64(i), strings.Repeat("é", MaxConsoleText)})
	}
	must(t, s.AddSample(0, in))
	got := mustLoad(t, dir).Cells[0].Samples[0]
	wantMissing := []Missing{
		{EventVMMExec, "its time was -7 ns, before the clock's zero"},
		{"guest_ns", "the phase came out as -5 ns: its events are out of order"},
		{"inf", "the value was +Inf"}, {"nan", "the value was NaN"},
		{"vmm_ns", "the phase came out as 0 ns: its events are out of order"},
	}
	if d := cmp.Diff(wantMissing, got.Missing); d != "" {
		t.Errorf("missing, -want +got:\n%s", d)
	}
	if d := cmp.Diff(Phases{TotalNs: ns(7)}, got.Phases); d != "" {
		t.Errorf("phases, -want +got:\n%s", d)
	}
	if d := cmp.Diff(map[string]float64{"ok": 1, "huge": 1e30}, got.Values); d != "" {
		t.Errorf("values, -want +got:\n%s", d)
	}
	if len(got.Events) != 1 || got.Events[0].Name != EventVMMExit || len(in.Events) != 2 {
		t.Errorf("events: %+v", got.Events)
	}
	if got.Reason != "bad \uFFFD byte" {
		t.Errorf("reason = %q", got.Reason)
	}
	if len(got.Stderr) != MaxStderr || !strings.HasSuffix(got.Stderr, "the end") {
		t.Errorf("stderr has %d bytes and ends with %q", len(got.Stderr), got.Stderr[len(got.Stderr)-10:])
	}
	if len(got.Console) != MaxConsoleLines || got.ConsoleOmitted != 800 {
		t.Errorf("console: %d lines, %d omitted", len(got.Console), got.ConsoleOmitted)
	}
	if got.Console[99].FirstNS != 99 || got.Console[100].FirstNS != 900 || len(got.Console[0].Text) > MaxConsoleText {
		t.Errorf("console was cut in the wrong place")
	}
	if in.Console[0].Text != strings.Repeat("é", MaxConsoleText) || *in.Phases.VMMNs != 0 {
		t.Error("the caller's sample was changed")
	}
}

func TestAddSampleRefuses(t *testing.T) {
	s := mustCreate(t, t.TempDir())
	wantError(t, s.AddSample(2, okSample(1)), "no cell 2", "has 2")
	wantError(t, s.AddSample(-1, okSample(1)), "no cell -1")
	wantError(t, s.AddSample(0, Sample{Status: "fine"}), `"fine"`, "timeout", "reference/hello on qemu")
	wantError(t, s.AddSample(0, Sample{Status: "ok", Values: map[string]float64{"vmm_ns": 1}}), `"vmm_ns"`, "phase")
	wantError(t, s.SetCellStatus(0, "running", ""), `"running"`)
	wantError(t, s.Finish("done"), `"done"`)
	must(t, s.Finish(RunFailed))
	for _, err := range []error{s.AddSample(0, okSample(1)), s.SetCellArgv(0, nil), s.Finish(RunOK), s.SetHost(Host{})} {
		if !errors.Is(err, errClosed) {
			t.Errorf("after Finish: %v", err)
		}
	}
}

func TestCreateRefuses(t *testing.T) {
	t.Run("a directory from before there was a store", func(t *testing.T) {
		dir := oldFolder(t)
		_, err := Create(dir, testRun(), testHost(), testCells())
		wantError(t, err, "already holds a run", dir, "ukprobe import --into "+dir)
	})
	t.Run("a run that is there", func(t *testing.T) {
		dir := t.TempDir()
		must(t, mustCreate(t, dir).Finish(RunOK))
		_, err := Create(dir, testRun(), testHost(), testCells())
		wantError(t, err, "run r1 is in it already", dir)
		if f := mustLoad(t, dir); f.Run.Status != RunOK {
			t.Errorf("the one that was there: %+v", f.Run)
		}
	})
	t.Run("a run.json of a run that the store has not", func(t *testing.T) {
		dir := t.TempDir()
		must(t, mustCreate(t, dir).Finish(RunOK))
		path := filepath.Join(dir, FileName)
		data, err := os.ReadFile(path)
		must(t, err)
		must(t, os.WriteFile(path, []byte(strings.Replace(string(data), `"id":"r1"`, `"id":"r0"`, 1)), 0o600))
		_, err = Create(dir, Run{ID: "r2", Started: started}, testHost(), testCells())
		wantError(t, err, "of run r0", "import --into "+dir)
		must(t, Import(dir, []string{path}, func(Imported) {}))
		if f := mustLoad(t, dir+"@r0"); len(f.Cells) != 2 {
			t.Errorf("imported: %+v", f)
		}
		must(t, addRun(t, dir, "r2").Close())
	})
	t.Run("a directory with something else", func(t *testing.T) {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, "letter.txt"), nil, 0o600))
		_, err := Create(dir, testRun(), testHost(), testCells())
		wantError(t, err, "not empty", "letter.txt")
		if d := cmp.Diff([]string{"letter.txt"}, entries(t, dir)); d != "" {
			t.Errorf("-want +got:\n%s", d)
		}
	})
	t.Run("a file", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "f")
		must(t, os.WriteFile(path, nil, 0o600))
		_, err := Create(path, testRun(), testHost(), testCells())
		wantError(t, err, "not a directory", path)
	})
	t.Run("a second writer", func(t *testing.T) {
		dir := t.TempDir()
		mustCreate(t, dir)
		_, err := Create(dir, testRun(), testHost(), testCells())
		wantError(t, err, "another ukprobe is writing", dir, fmt.Sprintf("pid %d: %s", os.Getpid(), os.Args[0]))
	})
	t.Run("cells with samples", func(t *testing.T) {
		_, err := Create(t.TempDir(), testRun(), testHost(), []Cell{{Samples: []Sample{{}}}})
		wantError(t, err, "already has samples")
	})
}

// onTmpfs runs f with a fresh tmpfs of the given size, in a mount namespace
// that ends with the thread it is run on.
func onTmpfs(t *testing.T, size string, f func(dir string)) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root for mounting a tmpfs")
	}
	dir := t.TempDir()
	done := make(chan struct{})
	go func() {
		defer close(done)
		lockThreadForever()
		if err := syscall.Unshare(syscall.CLONE_NEWNS | syscall.CLONE_FS); err != nil {
			t.Errorf("unshare: %v", err)
			return
		}
		if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
			t.Errorf("make mounts private: %v", err)
			return
		}
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
			t.Errorf("mount tmpfs: %v", err)
			return
		}
		f(dir)
	}()
	<-done
}

func TestReadOnlyDirectory(t *testing.T) {
	onTmpfs(t, "64k", func(dir string) {
		if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
			t.Errorf("remount: %v", err)
			return
		}
		_, err := Create(dir, testRun(), testHost(), testCells())
		if err == nil || !strings.Contains(err.Error(), "read-only file system") || !strings.Contains(err.Error(), "choose another directory") {
			t.Errorf("err = %v", err)
		}
	})
}

// TestDiskFull fills real file systems.
func TestDiskFull(t *testing.T) {
	t.Run("tmpfs", func(t *testing.T) { onTmpfs(t, "1m", func(dir string) { fillDisk(t, dir, "") }) })
}

// fillDisk stores samples until there is no room, looks at what is readable, makes room
// and goes on. big is a file that can be removed to make room; without one the file
// system is made larger.
func fillDisk(t *testing.T, dir, big string) {
	s, err := Create(filepath.Join(dir, "run"), testRun(), testHost(), testCells())
	if err != nil {
		t.Error(err)
		return
	}
	defer s.Close()
	stored := 0
	for ; err == nil && stored < 100_000; stored++ {
		err = s.AddSample(0, okSample(int64(stored+1)))
	}
	stored--
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "make room") {
		t.Errorf("after %d samples: err = %v", stored, err)
	}
	checkStored := func(n int) {
		t.Helper()
		f, err := Load(s.dir)
		if err != nil {
			t.Error(err)
			return
		}
		if got := len(f.Cells[0].Samples); got != n || n < 10 {
			t.Errorf("%d samples are readable, %d were stored", got, n)
		}
	}
	checkStored(stored)
	if n := len(s.Snapshot().Cells[0].Samples); n != stored {
		t.Errorf("the store believes to have %d samples", n)
	}
	if big != "" {
		err = os.Remove(big)
	} else {
		err = syscall.Mount("", dir, "", syscall.MS_REMOUNT, "size=64m")
	}
	if err != nil {
		t.Errorf("make room: %v", err)
		return
	}
	if err := s.AddSample(0, okSample(1)); err != nil {
		t.Errorf("with room again: %v", err)
	}
	checkStored(stored + 1)
	if err := s.Finish(RunOK); err != nil {
		t.Error(err)
	}
	checkStored(stored + 1)
}

// TestDiskFullAtTheEnd: a run whose end finds no room has all its samples, and goes on
// once there is some.
func TestDiskFullAtTheEnd(t *testing.T) {
	onTmpfs(t, "1m", func(dir string) {
		at := filepath.Join(dir, "run")
		s, err := Create(at, testRun(), testHost(), testCells())
		if err != nil {
			t.Error(err)
			return
		}
		n := 0
		for err == nil {
			if err = s.AddSample(0, okSample(int64(n+1))); err == nil {
				n++
			}
		}
		err = s.Finish(RunInterrupted)
		if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "intact") {
			t.Errorf("finish: %v", err)
		}
		if names := entries(t, at); strings.Contains(strings.Join(names, " "), "tmp") {
			t.Errorf("left behind: %v", names)
		}
		if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT, "size=64m"); err != nil {
			t.Errorf("remount: %v", err)
			return
		}
		again, err := Resume(at)
		if err != nil {
			t.Error(err)
			return
		}
		if got := len(again.Snapshot().Cells[0].Samples); got != n {
			t.Errorf("%d of %d samples", got, n)
		}
		if err := errors.Join(again.BeginPart(Part{Started: started}), again.Finish(RunOK)); err != nil {
			t.Error(err)
		}
	})
}

func TestConcurrentAdd(t *testing.T) {
	dir := t.TempDir()
	s := mustCreate(t, dir)
	var wg sync.WaitGroup
	for cell := range 2 {
		for range 4 {
			wg.Go(func() {
				for range 10 {
					if err := s.AddSample(cell, okSample(5)); err != nil {
						t.Error(err)
					}
					if n := len(s.Snapshot().Cells); n != 2 {
						t.Errorf("snapshot has %d cells", n)
					}
				}
			})
		}
	}
	wg.Wait()
	for i, c := range mustLoad(t, dir).Cells {
		if len(c.Samples) != 40 || c.Summary["total_ns"].N != 40 {
			t.Errorf("cell %d has %d samples, its summary %d", i, len(c.Samples), c.Summary["total_ns"].N)
		}
	}
}

// addRun begins another run of that id.
func addRun(t *testing.T, dir, id string) *Store {
	t.Helper()
	s, err := Create(dir, Run{ID: id, Version: "0.1.0", Started: started.Add(time.Hour)}, testHost(), testCells())
	must(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

// oldFolder is a folder as ukprobe left it before there was a store: a run.json with two
// samples of the first cell and one of the second.
func oldFolder(t *testing.T) string {
	t.Helper()
	from := t.TempDir()
	s := mustCreate(t, from)
	for _, cell := range []int{0, 1, 0} {
		must(t, s.AddSample(cell, okSample(1000)))
	}
	must(t, s.Finish(RunInterrupted))
	dir := t.TempDir()
	must(t, os.Rename(filepath.Join(from, FileName), filepath.Join(dir, FileName)))
	return dir
}

// oldEntry is a line of samples.jsonl.
func oldEntry(t *testing.T, cell, n int) []byte {
	t.Helper()
	sample, err := json.Marshal(okSample(int64(1000 + n)))
	must(t, err)
	return fmt.Appendf(nil, "{\"cell\":%d,\"n\":%d,\"sample\":%s}\n", cell, n, sample)
}

func TestJournal(t *testing.T) {
	dir := oldFolder(t)
	journalPath := filepath.Join(dir, JournalName)
	check := func(want int) {
		t.Helper()
		c := mustLoad(t, dir).Cells[0]
		if len(c.Samples) != want || c.Summary["total_ns"].N != want || c.Status != CellOK {
			t.Errorf("%d samples, %d in the summary, status %s; want %d", len(c.Samples), c.Summary["total_ns"].N, c.Status, want)
		}
	}
	check(2)
	// The first of these is in run.json already; the last was being written.
	must(t, os.WriteFile(journalPath, slices.Concat(oldEntry(t, 0, 1), oldEntry(t, 0, 2), oldEntry(t, 0, 3), []byte(`{"cell":0,"n":4,"sam`)), 0o600))
	check(4)

	line := func(cell, n int) []byte { return fmt.Appendf(nil, "{\"cell\":%d,\"n\":%d,\"sample\":{}}\n", cell, n) }
	for want, content := range map[string][]byte{
		"damaged in the line at byte 0": []byte("garbage\n"),
		"sample 3 of":                   line(0, 7),
		"names cell 9":                  line(9, 0),
	} {
		must(t, os.WriteFile(journalPath, content, 0o600))
		_, err := Load(dir)
		wantError(t, err, want, JournalName)
	}
}

func TestLoadRefuses(t *testing.T) {
	dir := oldFolder(t)
	path := filepath.Join(dir, FileName)
	whole, err := os.ReadFile(path)
	must(t, err)
	tests := []struct {
		name, content string
		want          []string
	}{
		{"empty", "", []string{"empty"}},
		{"truncated", string(whole[:len(whole)/2]), []string{"ends in the middle", fmt.Sprint("at byte ", len(whole)/2)}},
		{"garbage", "\x7fELF\x00", []string{"at byte 1"}},
		{"garbage inside", strings.Replace(string(whole), `"host"`, `~`, 1), []string{fmt.Sprint("at byte ", strings.Index(string(whole), `"host"`)+1)}},
		{"two files in one", string(whole) + "{}", []string{"more follows", "at byte"}},
		{"another format", `{"format":"wayfinder"}`, []string{"not a ukprobe run", "wayfinder"}},
		{"no version", `{"format":"ukprobe-run"}`, []string{"no format version"}},
		{"newer", `{"format":"ukprobe-run","format_version":2,"cells":"elsewhere"}`, []string{"version 2", "up to 1", "newer ukprobe"}},
		{"wrong type", `{"format":"ukprobe-run","format_version":1,"cells":"x"}`, []string{"at byte", "cells", "string"}},
		{"null", "null", []string{"not a ukprobe run"}},
		{"deep", strings.Repeat("[", 1<<20), []string{"max depth"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			must(t, os.WriteFile(path, []byte(tt.content), 0o600))
			for _, arg := range []string{dir, path} {
				_, err := Load(arg)
				wantError(t, err, append(tt.want, path)...)
			}
		})
	}
	_, err = Load(filepath.Join(dir, "nowhere"))
	wantError(t, err, "no run in", "nowhere")
}

func TestCheckDir(t *testing.T) {
	dir := t.TempDir()
	for _, ok := range []string{dir, filepath.Join(dir, "none")} {
		if err := CheckDir(ok); err != nil {
			t.Errorf("%s: %v", ok, err)
		}
	}
	must(t, os.WriteFile(filepath.Join(dir, "notes"), nil, 0o644))
	if err := CheckDir(dir); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("a folder with a file: %v", err)
	}
	must(t, os.WriteFile(filepath.Join(dir, FileName), nil, 0o644))
	if err := CheckDir(dir); err == nil || !strings.Contains(err.Error(), "already holds a run") {
		t.Errorf("a folder with a run: %v", err)
	}
}
