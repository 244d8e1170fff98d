// SPDX-License-Identifier: Apache-2.0

package orchestrate

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/orchestrate/experiment"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/results"
)

// TestPast: which step a resumed cell goes on with, and with which of its repeats.
func TestPast(t *testing.T) {
	ok := results.Sample{Status: results.SampleOK}
	disturbed := results.Sample{Status: results.SampleOK, Disturbed: true}
	failed := results.Sample{Status: results.SampleFailed, Disturbed: true}
	repeat := func(of int, s results.Sample) results.Sample { s.RepeatOf = of; return s }
	for name, tt := range map[string]struct {
		samples []results.Sample
		repeat  int
		next    int // step
		again   int
	}{
		"nothing":                       {nil, 3, 0, 0},
		"two":                           {[]results.Sample{ok, ok}, 3, 2, 0},
		"a disturbed one long ago":      {[]results.Sample{disturbed, ok}, 0, 2, 0},
		"disturbed, not to be repeated": {[]results.Sample{ok, disturbed}, 0, 2, 0},
		"disturbed, to be repeated":     {[]results.Sample{ok, disturbed}, 3, 1, 1},
		"repeated once":                 {[]results.Sample{ok, disturbed, repeat(2, disturbed)}, 3, 1, 2},
		"repeated and well":             {[]results.Sample{ok, disturbed, repeat(2, ok)}, 3, 2, 0},
		"repeated and failed":           {[]results.Sample{ok, disturbed, repeat(2, failed)}, 3, 2, 0},
		"repeated as often as it may":   {[]results.Sample{disturbed, repeat(1, disturbed), repeat(1, disturbed)}, 2, 1, 0},
		"failed and disturbed":          {[]results.Sample{ok, failed}, 3, 2, 0},
		"two groups":                    {[]results.Sample{disturbed, repeat(1, ok), disturbed}, 3, 1, 1},
	} {
		p := pastOf(&results.Cell{Samples: tt.samples}, tt.repeat)
		for i := range 4 {
			step := matrix.Step{Sample: i}
			if needs := p.needs(step, 4); needs != (i >= tt.next) {
				t.Errorf("%s: step %d needed: %v", name, i, needs)
			}
			want := 0
			if i == tt.next {
				want = tt.again
			}
			if got := p.again(step); got != want {
				t.Errorf("%s: step %d begins with repeat %d, want %d", name, i, got, want)
			}
		}
		if warmup := p.needs(matrix.Step{Warmup: true}, 4); !warmup {
			t.Errorf("%s: no warm-up although samples follow", name)
		}
	}
	done := pastOf(&results.Cell{Samples: []results.Sample{ok, ok}}, 0)
	if done.needs(matrix.Step{Warmup: true}, 2) {
		t.Error("a cell that has all its samples warms up")
	}
}

func TestHostDifferences(t *testing.T) {
	was := results.Host{Kernel: "6.1", CPUModel: "a", Governor: "g", Versions: map[string]string{"qemu": "7", "wrk": "unknown: took too long", "fc": "1"}, Settings: map[string]string{"thp": "never, was always"},
		Rungs: map[string]results.Rung{"exec": {Rung: "fentry", Reason: "x"}, "tc_in": {}, "gone": {Rung: "kprobe"}}}
	now := was
	now.Settings, now.Overhead = map[string]string{"thp": "never, was madvise"}, &results.Overhead{Reason: "why"}
	now.Rungs = map[string]results.Rung{"exec": {Rung: "fentry", Reason: "y"}, "tc_in": {Rung: "tcx"}, "gone": {Rung: "kprobe"}}
	if d := hostDifferences("1", "1", was, now); len(d) != 0 {
		t.Errorf("of the same host: %v", d)
	}
	now.Versions = map[string]string{"qemu": "7", "wrk": "4"}
	if d := hostDifferences("1", "1", was, now); len(d) != 0 {
		t.Errorf("versions that one side does not know: %v", d)
	}
	now.CPUModel, now.Versions = "b", map[string]string{"qemu": "8"}
	now.Rungs = map[string]results.Rung{"exec": {Rung: "kprobe"}, "tc_in": {}}
	want := []string{"ukprobe: 1 then, 2 now", `cpu_model: "a" then, "b" now`, `rungs.exec.rung: "fentry" then, "kprobe" now`, `rungs.gone.rung: "kprobe" then, nothing now`, `versions.qemu: "7" then, "8" now`}
	got := hostDifferences("1", "2", was, now)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"resumed with another ukprobe", "resumed with another cpu_model"}, keysOf(got[:2])); diff != "" {
		t.Errorf("taints (-want +got):\n%s", diff)
	}
}

func TestCellDifferences(t *testing.T) {
	was := results.Cell{Accel: "kvm", Status: results.CellOK, Settings: &results.Settings{Samples: 3}, Argv: []string{"x"},
		Image: &results.Image{Path: "/a", Name: "n", SHA256: "ab", Size: 1}, Samples: []results.Sample{{}}}
	now := results.Cell{Accel: "kvm", Settings: &results.Settings{Samples: 3}, Image: &results.Image{Path: "/b", SHA256: "ab", Size: 1}}
	if d := cellDifferences(&was, &now, &cell{}); len(d) != 0 {
		t.Errorf("elsewhere, but the same: %v", d)
	}
	now.Image.SHA256, now.Accel = "cd", "tcg"
	if d := cellDifferences(&was, &now, &cell{}); cmp.Diff([]string{`accel: "kvm" then, "tcg" now`, `image.sha256: "ab" then, "cd" now`}, d) != "" {
		t.Errorf("%q", d)
	}
	if d := cellDifferences(&was, &now, &cell{status: results.CellFailed, reason: "no QEMU"}); len(d) != 1 || !strings.Contains(d[0], "no QEMU") {
		t.Errorf("cannot be run any more: %q", d)
	}
}

func TestSameCells(t *testing.T) {
	a := results.Cell{System: "linux", App: "nginx", Platform: "qemu", Experiment: "boot"}
	b := a
	b.Settings = &results.Settings{Parallel: 8}
	if err := sameCells([]results.Cell{a, b}, []results.Cell{a, b}); err != nil {
		t.Error(err)
	}
	for want, now := range map[string][]results.Cell{"has 2 cells, and this ukprobe makes 1": {a}, "cell 2 of the run is linux/nginx": {a, a}} {
		if err := sameCells([]results.Cell{a, b}, now); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// resultsStore is a store with one cell, in a folder of its own.
func resultsStore(t *testing.T, c results.Cell) *results.Store {
	t.Helper()
	s, err := results.Create(t.TempDir(), results.Run{ID: "r", Started: started}, results.Host{}, []results.Cell{c})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// TestRuleEndsACell: samples of a scripted cell are stored one by one, and once the rule
// is met its steps are no longer needed, while another cell's are.
func TestRuleEndsACell(t *testing.T) {
	set := matrix.DefaultSettings()
	set.Samples, set.Until = 6, matrix.Until{WithinPercent: 5, AtMost: 20}
	fixed := matrix.DefaultSettings()
	r := &Run{opt: Options{Observer: Quiet{}}, took: map[int]*mean{}, cells: []*cell{{Cell: matrix.Cell{Settings: set}}, {Cell: matrix.Cell{Settings: fixed}}},
		store: resultsStore(t, results.Cell{Experiment: matrix.Boot})}
	r.order = matrix.Order([]matrix.Cell{r.cells[0].Cell, r.cells[1].Cell}, 1)
	total := []int64{90, 110, 100, 91, 109, 90, 110, 100, 100, 100, 100, 100, 100, 100, 100, 100, 100, 100, 100, 100}
	taken := 0
	for _, step := range r.order {
		if !r.needed(step) || step.Warmup || step.Cell == 1 {
			continue
		}
		if p := r.progress(0, step, r.cells[0]); p.AtMost != 20 || !p.Estimated || p.Steps < 6 {
			t.Fatalf("progress: %+v", p)
		}
		ns := total[taken]
		taken++
		if err := r.store.AddSample(0, results.Sample{Status: results.SampleOK, Phases: results.Phases{TotalNs: &ns}}); err != nil {
			t.Fatal(err)
		}
		if err := r.enough(step, r.cells[0]); err != nil {
			t.Fatal(err)
		}
	}
	stopped := r.store.Snapshot().Cells[0].Stopped
	if taken < 10 || taken > 19 || stopped == nil || !stopped.Converged || stopped.Samples != taken || !r.cells[0].over {
		t.Errorf("%d samples, %+v", taken, stopped)
	}
	if !r.needed(matrix.Step{Cell: 1}) {
		t.Error("the other cell has ended too")
	}
}

// TestLearntLimit: what the instrument says of starts becomes the cell's limit, which is
// stored once and told with samples that time out.
func TestLearntLimit(t *testing.T) {
	set := matrix.DefaultSettings() // 30 s
	set.TimeoutLearnt = true
	c := &cell{Cell: matrix.Cell{Settings: set}, limit: experiment.Limit{Bound: set.Timeout}}
	r := &Run{opt: Options{Observer: Quiet{}}, cells: []*cell{c}, store: resultsStore(t, results.Cell{})}
	learn := func(s experiment.Sample) experiment.Sample {
		if err := r.learn(c, &s, 0); err != nil {
			t.Fatal(err)
		}
		return s
	}
	early := learn(experiment.Sample{Status: experiment.Timeout, Reason: "not ready after 30s"})
	if early.Values[results.TimeLimitNs] != 30e9 || !strings.Contains(early.Reason, "0 of 4 starts") {
		t.Errorf("before it is known: %+v", early)
	}
	for range 4 {
		if c.timeLimit() != set.Timeout {
			t.Errorf("%v too early", c.timeLimit())
		}
		learn(experiment.Sample{Status: experiment.OK, ReadyAfter: 1e9})
	}
	late := learn(experiment.Sample{Status: experiment.Timeout, Reason: "not ready after 6s"})
	if late.Values[results.TimeLimitNs] != 6e9 || !strings.Contains(late.Reason, "learnt from 4 starts, the slowest 1s; the matrix's bound is 30s") {
		t.Errorf("%+v", late)
	}
	// A load that was not over in time is no start.
	if s := learn(experiment.Sample{Status: experiment.Timeout, ReadyAfter: 1e9}); len(s.Values) != 0 {
		t.Errorf("%+v", s)
	}
	want := &results.Limit{NS: 6e9, Samples: 4, SlowestNS: 1e9}
	if diff := cmp.Diff(want, r.store.Snapshot().Cells[0].Limit); diff != "" || c.timeLimit() != 6e9 {
		t.Errorf("%v (-want +got):\n%s", c.timeLimit(), diff)
	}
	c.TimeoutLearnt = false
	if c.timeLimit() != set.Timeout {
		t.Errorf("a fixed limit: %v", c.timeLimit())
	}
}

// resumable is a run of three cells of which samples are stored: one that its rule would
// have ended, one with a learnt limit, and one that had failed before its first sample.
func resumable(t *testing.T) (*Run, []results.Cell) {
	t.Helper()
	ruled := matrix.DefaultSettings()
	ruled.Samples, ruled.Until = 6, matrix.Until{WithinPercent: 5, AtMost: 20}
	learnt := matrix.DefaultSettings()
	learnt.TimeoutLearnt = true
	r := &Run{opt: Options{Observer: Quiet{}, Version: "1"}, took: map[int]*mean{}}
	var cells []results.Cell
	for i, set := range []matrix.Settings{ruled, learnt, matrix.DefaultSettings()} {
		c := &cell{Cell: matrix.Cell{System: []string{"a", "b", "c"}[i], App: "x", Platform: "p", Experiment: matrix.Boot, Settings: set}, limit: experiment.Limit{Bound: set.Timeout}}
		r.cells = append(r.cells, c)
		cells = append(cells, c.record())
	}
	cells[2].Status, cells[2].Reason = results.CellFailed, "no program"
	dir := t.TempDir()
	s, err := results.Create(dir, results.Run{ID: "r", Version: "1", Started: started}, results.Host{Kernel: "6.1"}, cells)
	if err != nil {
		t.Fatal(err)
	}
	ns := int64(100)
	for range 7 {
		if err := s.AddSample(0, results.Sample{Status: results.SampleOK, Phases: results.Phases{TotalNs: &ns}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range []error{
		s.AddSampleWith(1, results.Sample{Status: results.SampleOK}, []results.Histogram{{Name: "h", Count: 2}}), s.SetCellLimit(1, results.Limit{NS: 6e9, Samples: 4, SlowestNS: 1e9}),
		s.Close(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	r.opt.Out = dir
	if r.store, err = results.Resume(dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.store.Close() })
	cells[2].Status, cells[2].Reason = "", ""
	return r, cells
}

func TestResumeRun(t *testing.T) {
	r, cells := resumable(t)
	if err := r.resume(started, results.Host{Kernel: "6.1"}, cells); err != nil {
		t.Fatal(err)
	}
	a, b, c := r.cells[0], r.cells[1], r.cells[2]
	if stopped := r.store.Cell(0).Stopped; !a.over || stopped == nil || stopped.Samples != 7 || r.needed(matrix.Step{Cell: 0, Sample: 7}) {
		t.Errorf("the rule that the end came before: over %v, %+v", a.over, stopped)
	}
	if b.timeLimit() != 6e9 || b.stored != 1 || r.needed(matrix.Step{Cell: 1}) || !r.needed(matrix.Step{Cell: 1, Sample: 1}) || len(b.past.taints) > 0 {
		t.Errorf("limit %v, %d stored, %+v", b.timeLimit(), b.stored, b.past)
	}
	if got := b.past.with([]results.Histogram{{Name: "h", Count: 3}}); len(got) != 1 || got[0].Count != 5 {
		t.Errorf("histograms of both parts: %+v", got)
	}
	if c.status != results.CellFailed || r.needed(matrix.Step{Cell: 2}) {
		t.Errorf("the one that had failed: %q", c.status)
	}
	if r.done != 8 || len(r.store.Snapshot().Run.Parts) != 2 {
		t.Errorf("%d steps done, parts %+v", r.done, r.store.Snapshot().Run.Parts)
	}
}

// TestResumeRunElsewhere: refused, but with Force noted in the part and in each sample of
// the cells that it is about.
func TestResumeRunElsewhere(t *testing.T) {
	r, cells := resumable(t)
	cells[1].Accel = "tcg"
	host := results.Host{Kernel: "6.2"}
	err := r.resume(started, host, cells)
	want := []string{`kernel: "6.1" then, "6.2" now`, `b/x/p/boot: accel: nothing then, "tcg" now`}
	for _, text := range append(want, "--force") {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%v, want %q", err, text)
		}
	}
	if parts := r.store.Snapshot().Run.Parts; len(parts) != 0 {
		t.Errorf("a part of a run that was refused: %+v", parts)
	}
	r.opt.Force = true
	if err := r.resume(started, host, cells); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, r.store.Snapshot().Run.Parts[1].Differences); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for i, want := range [][]string{{"resumed with another kernel"}, {"resumed with another kernel", "resumed with another accel"}} {
		if diff := cmp.Diff(want, r.cells[i].past.taints); diff != "" {
			t.Errorf("taints of cell %d (-want +got):\n%s", i, diff)
		}
	}
}

// TestResumeRunCut: a cell that lacks samples and cannot be run any more is not ok, nor is
// the run; one that has all its samples is not asked about.
func TestResumeRunCut(t *testing.T) {
	r, cells := resumable(t)
	r.opt.Force = true
	for _, c := range r.cells[:2] {
		c.status, c.reason = results.CellFailed, "QEMU is gone"
	}
	if err := r.resume(started, results.Host{Kernel: "6.1"}, cells); err != nil {
		t.Fatal(err)
	}
	if c := r.store.Cell(0); c.Status != results.CellOK || c.Stopped == nil {
		t.Errorf("one that its rule had ended: %s: %s, %+v", c.Status, c.Reason, c.Stopped)
	}
	want := "1 of 10 samples: cannot be run any more: QEMU is gone"
	if c := r.store.Cell(1); c.Status != results.CellFailed || c.Reason != want || r.needed(matrix.Step{Cell: 1, Sample: 1}) || !r.CutShort() {
		t.Errorf("%s: %s, cut %v", c.Status, c.Reason, r.CutShort())
	}
	if d := r.store.Snapshot().Run.Parts[1].Differences; len(d) != 1 || !strings.HasPrefix(d[0], "b/x/p/boot: runs") {
		t.Errorf("%q", d)
	}
	// It can be run again later.
	r = goOn(t, r)
	if err := r.resume(started, results.Host{Kernel: "6.1"}, cells); err != nil {
		t.Fatal(err)
	}
	if c := r.store.Cell(1); c.Status != results.CellOK || c.Reason != "" || !r.needed(matrix.Step{Cell: 1, Sample: 1}) || r.CutShort() {
		t.Errorf("again: %s: %s", c.Status, c.Reason)
	}
}

// goOn interrupts a run and opens it again.
func goOn(t *testing.T, r *Run) *Run {
	t.Helper()
	dir := r.opt.Out
	if err := r.store.Finish(results.RunInterrupted); err != nil {
		t.Fatal(err)
	}
	again := &Run{opt: r.opt, took: map[int]*mean{}}
	for _, c := range r.cells {
		again.cells = append(again.cells, &cell{Cell: c.Cell, limit: experiment.Limit{Bound: c.Timeout}})
	}
	var err error
	if again.store, err = results.Resume(dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = again.store.Close() })
	return again
}

// TestResumeElsewhereTwice: what a run is held against stays the host that it began on,
// also after a part on another one.
func TestResumeElsewhereTwice(t *testing.T) {
	r, cells := resumable(t)
	r.opt.Force, r.lab = true, &laboratory{}
	other := results.Host{Kernel: "6.2"}
	if err := r.resume(started, other, cells); err != nil {
		t.Fatal(err)
	}
	if err := r.store.SetHost(r.finalHost(platform.DetectHost())); err != nil {
		t.Fatal(err)
	}
	r = goOn(t, r)
	r.opt.Force = false
	if k := r.store.Snapshot().Host.Kernel; k != "6.1" {
		t.Errorf("the run's host is now of kernel %s", k)
	}
	if err := r.resume(started, other, cells); err == nil || !strings.Contains(err.Error(), `kernel: "6.1" then, "6.2" now`) {
		t.Errorf("on the second host again: %v", err)
	}
	if err := r.resume(started, results.Host{Kernel: "6.1"}, cells); err != nil {
		t.Errorf("on the first host again: %v", err)
	}
}

// TestCompleted: a part on the same host adds only what was not known.
func TestCompleted(t *testing.T) {
	first := results.Host{Kernel: "6.1", Versions: map[string]string{"qemu": "7", "wrk": "unknown: took too long"}, Rungs: map[string]results.Rung{"exec": {Rung: "fentry"}, "tc_in": {}}}
	now := results.Host{Kernel: "x", Versions: map[string]string{"qemu": "8", "wrk": "4"}, Rungs: map[string]results.Rung{"exec": {Rung: "kprobe"}, "tc_in": {Rung: "tcx"}, "disk": {Rung: "raw_tp"}}}
	want := results.Host{Kernel: "6.1", Versions: map[string]string{"qemu": "7", "wrk": "4"}, Rungs: map[string]results.Rung{"exec": {Rung: "fentry"}, "tc_in": {Rung: "tcx"}, "disk": {Rung: "raw_tp"}}}
	if diff := cmp.Diff(want, completed(first, now)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if first.Rungs["tc_in"].Rung != "" {
		t.Error("the first is changed")
	}
}
