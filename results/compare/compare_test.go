// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/ukprobe/ukprobe/results"
)

// cellOf makes a boot's cell with these total times.
func cellOf(system string, totals ...float64) Cell {
	return Cell{Key: Key{System: system, App: "hello", Platform: "qemu", Experiment: "boot", Accel: "kvm", Probes: "boot"},
		Status: results.CellOK, Samples: len(totals), Metrics: map[string]Series{totalNs: {Values: totals}}}
}

func setOf(label string, cells ...Cell) Set {
	return Set{Label: label, Run: "run-" + label, Version: "1", Status: results.RunOK, Cells: cells}
}

// times are n values around a level, without ties and in no order.
func times(n int, level float64) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = level * (1 + 0.001*float64((i*7)%n))
	}
	return out
}

// single is the one row of a comparison.
func single(t *testing.T, a, b Cell, o Options) Row {
	t.Helper()
	r, err := Runs(setOf("a", a), setOf("b", b), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Rows) != 1 {
		t.Fatalf("%d rows: %+v", len(r.Rows), r)
	}
	// Whatever it is, it can be written.
	for _, write := range []func() error{
		func() error { return r.JSON(new(bytes.Buffer)) }, func() error { return r.CSV(new(bytes.Buffer)) },
	} {
		if err := write(); err != nil {
			t.Fatal(err)
		}
	}
	return r.Rows[0]
}

func TestVerdict(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	metric := func(name string, values ...float64) Cell {
		c := cellOf("x")
		c.Metrics = map[string]Series{name: {Values: values}}
		return c
	}
	late := func(c Cell, n int) Cell {
		s := c.Metrics[totalNs]
		s.Beyond = n
		c.Metrics[totalNs] = s
		return c
	}
	for _, tt := range []struct {
		name       string
		a, b       Cell
		threshold  float64
		want       Verdict
		regression bool
		note       string
	}{
		{"equal", cellOf("x", times(10, 100)...), cellOf("x", times(10, 100)...), 0, Same, false, ""},
		{"slower", cellOf("x", times(10, 100)...), cellOf("x", times(10, 110)...), 0, Worse, true, ""},
		{"faster", cellOf("x", times(10, 100)...), cellOf("x", times(10, 90)...), 0, Improved, false, ""},
		{"slower beyond the threshold", cellOf("x", times(10, 100)...), cellOf("x", times(10, 110)...), 9, Worse, true, ""},
		{"slower, the interval reaches below the threshold", cellOf("x", times(10, 100)...), cellOf("x", times(10, 110)...), 10, Worse, false, ""},
		{"a rate that falls", metric("requests_per_second", times(10, 100)...), metric("requests_per_second", times(10, 90)...), 5, Worse, true, ""},
		{"a rate that rises", metric("requests_per_second", times(10, 100)...), metric("requests_per_second", times(10, 110)...), 0, Improved, false, ""},
		{"how it was measured", metric("interference_ns", times(10, 100)...), metric("interference_ns", times(10, 110)...), 0, Different, false, ""},
		{"one and one", cellOf("x", 100), cellOf("x", 200), 0, TooFew, false, ""},
		{"three and three", cellOf("x", 1, 2, 3), cellOf("x", 11, 12, 13), 0, TooFew, false, ""},
		{"four and four", cellOf("x", 1, 2, 3, 4), cellOf("x", 11, 12, 13, 14), 0, Worse, true, ""},
		{"one value only, many times", cellOf("x", slices.Repeat([]float64{7}, 10)...), cellOf("x", slices.Repeat([]float64{7}, 10)...), 0, Same, false, ""},
		{"two constants", cellOf("x", slices.Repeat([]float64{7}, 10)...), cellOf("x", slices.Repeat([]float64{8}, 10)...), 5, Worse, true, ""},
		{"zeroes", metric("frames_out", slices.Repeat([]float64{0}, 10)...), metric("frames_out", slices.Repeat([]float64{0}, 10)...), 0, Same, false, ""},
		{"from zero", metric("frames_out", slices.Repeat([]float64{0}, 10)...), metric("frames_out", times(10, 3)...), 1000, Worse, true, ""},
		{"to zero", metric("frames_out", times(10, 3)...), metric("frames_out", slices.Repeat([]float64{0}, 10)...), 50, Improved, false, ""},
		{"no numbers among them", cellOf("x", append(times(10, 100), nan, inf)...), cellOf("x", times(10, 100)...), 0, Same, false, "2 of 12 values of A are left out"},
		{"negative durations", cellOf("x", times(10, 100)...), cellOf("x", append(times(10, 100), -5)...), 0, Same, false, "1 of 11 values of B are left out"},
		{"huge", cellOf("x", slices.Repeat([]float64{5e-324}, 6)...), cellOf("x", slices.Repeat([]float64{math.MaxFloat64}, 6)...), 0, Worse, true, ""},
		{"some timed out", cellOf("x", times(10, 100)...), late(cellOf("x", times(7, 110)...), 3), 5, Worse, true, "3 of 10 samples of B timed out"},
		{"all timed out", cellOf("x", times(10, 100)...), late(cellOf("x"), 10), 5, Worse, true, "10 of 10 samples of B timed out"},
		{"half of them equal, so that the interval reaches 0", metric("cpuid", slices.Repeat([]float64{5}, 10)...), metric("cpuid", slices.Concat(slices.Repeat([]float64{5}, 5), slices.Repeat([]float64{6}, 5))...), 0, Worse, true, ""},
		{"the same, with a threshold", metric("cpuid", slices.Repeat([]float64{5}, 10)...), metric("cpuid", slices.Concat(slices.Repeat([]float64{5}, 5), slices.Repeat([]float64{6}, 5))...), 1, Worse, false, ""},
		{"all timed out before", late(cellOf("x"), 10), cellOf("x", times(10, 100)...), 5, Improved, false, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := single(t, tt.a, tt.b, Options{Metrics: []string{AllMetrics}, Threshold: tt.threshold})
			if w.Verdict != tt.want || w.Regression != tt.regression || !strings.Contains(strings.Join(w.Notes, "; "), tt.note) {
				t.Errorf("%q, regression %v, %q: want %q, %v, %q\n%+v", w.Verdict, w.Regression, w.Notes, tt.want, tt.regression, tt.note, w)
			}
		})
	}
}

// TestExactSizes: sizes of files are no samples of anything.
func TestExactSizes(t *testing.T) {
	size := func(v float64) Cell {
		c := cellOf("x")
		c.Experiment, c.Accel = "image-size", "none"
		c.Metrics = map[string]Series{"file_bytes": {Values: []float64{v}}}
		return c
	}
	if w := single(t, size(1000), size(1100), Options{Threshold: 5}); w.Verdict != Worse || !w.Regression || *w.ChangePercent < 9.9 || w.P != nil {
		t.Errorf("larger: %+v", w)
	}
	if w := single(t, size(1000), size(1000), Options{}); w.Verdict != Same {
		t.Errorf("equal: %+v", w)
	}
}

// TestFalsePositives: of two runs of the same cells none differs in 95 % of all pairs of
// runs; before the correction most have a difference. A shift of a tenth in one cell is
// found, and in no other.
func TestFalsePositives(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 1123))
	run := func(label string, factor float64) Set {
		var cells []Cell
		for i := range 20 {
			values := make([]float64, 30)
			for j := range values {
				values[j] = 1e8 * (1 + 0.03*r.NormFloat64() + 0.05*r.ExpFloat64())
				if i == 7 {
					values[j] *= factor
				}
			}
			cells = append(cells, cellOf(string(rune('a'+i)), values...))
		}
		return setOf(label, cells...)
	}
	differ := func(o Options) (any, differing, all int) {
		const runs = 200
		for range runs {
			rep, err := Runs(run("a", 1), run("b", 1), o)
			if err != nil {
				t.Fatal(err)
			}
			n := rep.Differences()
			differing += n
			all += len(rep.Rows)
			if n > 0 {
				any++
			}
		}
		return any, differing, all
	}
	any, n, all := differ(Options{Correct: CorrectNone})
	if rate := float64(n) / float64(all); rate < 0.035 || rate > 0.065 {
		t.Errorf("without correction %.3f of equal cells differ, not about 0.05", rate)
	}
	if any < 100 {
		t.Errorf("without correction only %d of 200 runs have a difference", any)
	}
	for _, how := range []string{CorrectHolm, CorrectBH} {
		if any, _, _ := differ(Options{Correct: how}); any > 20 { // 0.05, and three standard deviations
			t.Errorf("%s: %d of 200 runs have a difference", how, any)
		}
	}
	found := 0
	for range 20 {
		rep, err := Runs(run("a", 1), run("b", 1.1), Options{Threshold: 2})
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range rep.Rows {
			if w.Regression && w.System != "h" {
				t.Errorf("%s is a regression and is none: %+v", w.System, w)
			}
			if w.Regression {
				found++
			}
		}
	}
	if found < 19 {
		t.Errorf("a tenth slower was found in %d of 20 runs", found)
	}
}

func TestTwoModesAreTold(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var two, one []float64
	for i := range 40 {
		one = append(one, 1e6*(1+0.02*r.NormFloat64()))
		two = append(two, 1e6*(1+0.02*r.NormFloat64()))
		if i%4 == 0 {
			two[i] *= 2
		}
	}
	w := single(t, cellOf("x", one...), cellOf("x", two...), Options{})
	if len(w.A.Modes) != 0 || len(w.B.Modes) != 2 || w.B.Modes[1].Share != 0.25 {
		t.Fatalf("A: %v, B: %v", w.A.Modes, w.B.Modes)
	}
	if got := strings.Join(w.notes(printer{}), "\n"); !strings.Contains(got, "B has 2 modes: 75 % at 998 µs, 25 % at 2.00 ms") {
		t.Error(got)
	}
}

func TestOnlyWhenAsked(t *testing.T) {
	a, b := cellOf("x", times(10, 100)...), cellOf("x", times(10, 110)...)
	a.Rungs, b.Rungs = map[string]string{"guest_entry": "tp_btf"}, map[string]string{"guest_entry": "kprobe"}
	tcg := cellOf("x", times(10, 110)...)
	tcg.Accel = "tcg"
	other := setOf("b", cellOf("x", times(10, 110)...))
	other.Host.Kernel = "6.1"
	hooks := setOf("b", cellOf("x", times(10, 110)...))
	hooks.Host.Rungs = map[string]results.Rung{"kvm_exit": {Rung: "tracepoint"}}
	plain := setOf("a", cellOf("x", times(10, 100)...))
	plain.Host.Rungs = map[string]results.Rung{"kvm_exit": {Rung: "tp_btf"}}
	for name, tt := range map[string]struct {
		a, b         Set
		across, want string
	}{
		"events' rungs": {setOf("a", a), setOf("b", b), AcrossRung, "rungs differ: guest_entry by tp_btf and by kprobe"},
		"hooks' rungs":  {plain, hooks, AcrossRung, "rungs differ: hook kvm_exit at tp_btf and at tracepoint"},
		"accelerators":  {plain, setOf("b", tcg), AcrossAccel, "accelerators differ: kvm and tcg"},
		"hosts":         {plain, other, AcrossHost, `hosts differ: kernel nothing and "6.1"`},
	} {
		_, err := Runs(tt.a, tt.b, Options{})
		if !errors.Is(err, ErrNothing) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "--across "+tt.across) {
			t.Errorf("%s: %v", name, err)
		}
		r, err := Runs(tt.a, tt.b, Options{Across: []string{tt.across}})
		if err != nil || len(r.Rows) != 1 || len(r.Warnings) == 0 || !strings.Contains(r.Warnings[0], tt.want) {
			t.Errorf("%s, asked: %+v, %v", name, r, err)
		}
	}
	if r, err := Runs(plain, other, Options{By: ByHost}); err != nil || len(r.Rows) != 1 || len(r.Warnings) == 0 {
		t.Errorf("by host: %+v, %v", r, err)
	}
}

// TestSameAccelFirst: with --across accel cells of the same accelerator stay together.
func TestSameAccelFirst(t *testing.T) {
	kvm, tcg := cellOf("x", times(10, 100)...), cellOf("x", times(10, 500)...)
	tcg.Accel = "tcg"
	r, err := Runs(setOf("a", kvm, tcg), setOf("b", tcg, kvm), Options{Across: []string{AcrossAccel}})
	if err != nil || len(r.Rows) != 2 || len(r.Warnings) != 0 || r.Rows[0].Verdict != Same || r.Rows[1].Verdict != Same {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestAxes(t *testing.T) {
	osv, linux, unikraft := cellOf("osv", times(10, 90)...), cellOf("linux", times(10, 100)...), cellOf("unikraft", times(10, 80)...)
	moved := cellOf("linux", times(10, 120)...)
	moved.Platform = "firecracker"
	old, young := cellOf("osv", times(10, 100)...), cellOf("osv", times(10, 70)...)
	old.Variant, old.ImageVersion = "image=osv-1", "1"
	young.Variant, young.ImageVersion = "image=osv-2", "2"
	s := setOf("a", linux, osv, unikraft, moved)
	for name, tt := range map[string]struct {
		o    Options
		a    Set
		b    *Set
		want []string // from → to
		left string
	}{
		"system":             {Options{By: BySystem}, s, nil, []string{"linux → osv", "linux → unikraft"}, "linux/hello/firecracker"},
		"system, base":       {Options{By: BySystem, Base: "osv"}, s, nil, []string{"osv → linux", "osv → unikraft"}, "no system osv has it"},
		"platform":           {Options{By: ByPlatform}, s, nil, []string{"qemu → firecracker"}, "no other platform has it"},
		"version":            {Options{By: ByVersion}, setOf("a", old, young), nil, []string{"1 → 2"}, ""},
		"version, two runs":  {Options{By: ByVersion}, setOf("a", old), ptr(setOf("b", young, old)), []string{"1 → 2"}, "the images have the same version, 1"},
		"system of two runs": {Options{By: BySystem}, setOf("a", linux), ptr(setOf("b", osv, linux)), []string{"linux → osv"}, ""},
	} {
		var r *Report
		var err error
		if tt.b == nil {
			r, err = Within(tt.a, tt.o)
		} else {
			r, err = Runs(tt.a, *tt.b, tt.o)
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got []string
		for _, w := range r.Rows {
			got = append(got, w.FromA+" → "+w.FromB)
		}
		if !slices.Equal(got, tt.want) || !strings.Contains(strings.Join(r.NotCompared(), "\n"), tt.left) {
			t.Errorf("%s: %v, want %v; left %v", name, got, tt.want, r.Left)
		}
	}
}

func ptr[T any](v T) *T { return &v }

func TestNothingInCommon(t *testing.T) {
	a, b := setOf("monday", cellOf("linux", times(10, 1)...)), setOf("tuesday", cellOf("osv", times(10, 1)...))
	_, err := Runs(a, b, Options{})
	if !errors.Is(err, ErrNothing) || !strings.Contains(err.Error(), "A and B have nothing in common: monday has linux/hello/qemu, boot, kvm; tuesday has osv/hello/qemu, boot, kvm") {
		t.Error(err)
	}
	if _, err = Runs(a, setOf("empty"), Options{}); !errors.Is(err, ErrNothing) || !strings.Contains(err.Error(), "empty has no cell with figures") {
		t.Error(err)
	}
	if _, err = Runs(a, a, Options{Metrics: []string{"no_such_ns"}}); !errors.Is(err, ErrNothing) || !strings.Contains(err.Error(), "no_such_ns") {
		t.Error(err)
	}
	if _, err = Within(a, Options{}); err == nil {
		t.Error("one run was compared with nothing")
	}
	for _, o := range []Options{{By: "sytem"}, {Across: []string{"hosts"}}, {Correct: "bonferroni"}, {Threshold: math.NaN()}, {Base: "x"}, {Metrics: []string{"["}}} {
		if _, err := Runs(a, a, o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
}

// TestBroken: what has no figures any more is a regression that no table shows.
func TestBroken(t *testing.T) {
	failed := cellOf("x")
	failed.Status, failed.Reason, failed.Metrics = results.CellFailed, "it never became ready", nil
	r, err := Runs(setOf("a", cellOf("x", times(10, 1)...)), setOf("b", failed), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, broken := r.Regressions(); broken != 1 || !strings.Contains(r.NotCompared()[0], "BROKEN in B: no figures in b: failed, it never became ready") {
		t.Errorf("%+v", r.Left)
	}
}

// TestGone: what A has figures of and B has not is broken, whatever the reason: else a run
// that died would pass.
func TestGone(t *testing.T) {
	good, x := cellOf("good", times(10, 1)...), cellOf("x", times(10, 1)...)
	without := func(status string) *Cell {
		c := cellOf("x")
		c.Status, c.Metrics = status, nil
		return &c
	}
	tcg := x
	tcg.Accel = "tcg"
	negative := cellOf("x", -1, -2)
	other := x
	other.Metrics = map[string]Series{"vmm_ns": {Values: times(10, 1)}}
	for name, tt := range map[string]struct {
		b    *Cell
		want int
	}{
		"skipped": {without(results.CellSkipped), 1}, "no image": {without(results.CellNoImage), 1}, "unsupported": {without(results.CellUnsupported), 1},
		"failed": {without(results.CellFailed), 1}, "absent": {nil, 1}, "another accelerator": {&tcg, 1}, "impossible figures": {&negative, 1},
		"without its main figure": {&other, 1}, "there": {&x, 0},
	} {
		b := setOf("b", good)
		if tt.b != nil {
			b.Cells = append(b.Cells, *tt.b)
		}
		r, err := Runs(setOf("a", good, x), b, Options{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, broken := r.Regressions(); broken != tt.want || r.Rows[0].Verdict != Same {
			t.Errorf("%s: %d broken, want %d: %+v", name, broken, tt.want, r)
		}
		if back, err := Runs(b, setOf("a", good, x), Options{}); err != nil {
			t.Errorf("%s: %v", name, err)
		} else if _, broken := back.Regressions(); broken != 0 {
			if tt.b != &tcg {
				t.Errorf("%s: what is new is broken: %+v", name, back.Left)
			}
		}
	}
	if r, err := Runs(setOf("a", x), setOf("b", *without(results.CellSkipped)), Options{}); err != nil || len(r.Rows) != 0 || !slices.ContainsFunc(r.Warnings, func(w string) bool { return strings.HasPrefix(w, "nothing could be tested") }) {
		t.Errorf("nothing is left: %+v, %v", r, err)
	}
	few, dead := cellOf("x", 1, 2, 3), setOf("b", cellOf("x", 1, 2, 3))
	dead.Status = results.RunInterrupted
	r, err := Runs(setOf("a", few), dead, Options{})
	if err != nil || len(r.Warnings) < 2 || r.Warnings[0] != "the run of B is interrupted: it may lack cells and samples" || !strings.HasPrefix(r.Warnings[1], "nothing could be tested") {
		t.Errorf("%+v, %v", r, err)
	}
	osv := cellOf("osv")
	osv.Status, osv.Metrics = results.CellUnsupported, nil
	r, err = Runs(setOf("a", x), setOf("b", cellOf("unikraft", times(10, 1)...), osv), Options{By: BySystem})
	if err != nil {
		t.Fatal(err)
	}
	if _, broken := r.Regressions(); broken != 0 {
		t.Errorf("along an axis: %+v", r.Left)
	}
}

// TestTooManyComparisons: five samples are enough for one comparison, and not for ten.
func TestTooManyComparisons(t *testing.T) {
	var a, b []Cell
	for i := range 10 {
		a, b = append(a, cellOf(string(rune('a'+i)), times(5, 100)...)), append(b, cellOf(string(rune('a'+i)), times(5, 110)...))
	}
	r, err := Runs(setOf("a", a...), setOf("b", b...), Options{})
	if err != nil || r.Rows[0].Verdict != TooFew || !strings.Contains(strings.Join(r.Warnings, "\n"), "10 of 10 rows have too few samples to show a difference: it takes 6 on each side for 10 comparisons") {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err = Runs(setOf("a", a[0]), setOf("b", b[0]), Options{}); err != nil || r.Rows[0].Verdict != Worse {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestEnoughAfterOthers: of ten comparisons nine differ, so that Holm's last step is one of
// one: five samples were enough for it. By Benjamini and Hochberg they always may be.
func TestEnoughAfterOthers(t *testing.T) {
	for _, tt := range []struct {
		how     string
		differs int // how many of the other nine
		want    Verdict
	}{{CorrectHolm, 9, Same}, {CorrectHolm, 4, Same}, {CorrectHolm, 3, TooFew}, {CorrectHolm, 0, TooFew}, {CorrectBH, 0, Same}, {CorrectNone, 0, Same}} {
		a, b := []Cell{cellOf("few", times(5, 100)...)}, []Cell{cellOf("few", times(5, 100)...)}
		for i := range 9 {
			level := 100.0
			if i < tt.differs {
				level = 110
			}
			a, b = append(a, cellOf(string(rune('a'+i)), times(20, 100)...)), append(b, cellOf(string(rune('a'+i)), times(20, level)...))
		}
		r, err := Runs(setOf("a", a...), setOf("b", b...), Options{Correct: tt.how})
		if err != nil || r.Rows[0].Verdict != tt.want || r.Differences() != tt.differs {
			t.Errorf("%s, %d others differ: %q and %d differences, want %q; %v", tt.how, tt.differs, r.Rows[0].Verdict, r.Differences(), tt.want, err)
		}
	}
}

// TestFromFile: repeats replace, late ones count in total only, and what only the summary
// has is a figure without samples.
func TestFromFile(t *testing.T) {
	total := func(ns int64, taints ...string) results.Sample {
		return results.Sample{Status: results.SampleOK, Phases: results.Phases{TotalNs: &ns, VMMNs: &ns}, Taints: taints,
			Events: []results.Event{{Name: "first_run", Rung: "tp_btf"}}}
	}
	repeat := total(3)
	repeat.RepeatOf = 2
	f := &results.File{Run: results.Run{ID: "r", Version: "v"}, Cells: []results.Cell{{
		System: "osv", App: "hello", Platform: "qemu", Experiment: "boot", Accel: "kvm", Status: results.CellOK,
		Settings: &results.Settings{Image: "osv-1", MemoryMiB: 64, Samples: 5},
		Image:    &results.Image{SHA256: "abc", Version: "0.57"},
		Samples:  []results.Sample{total(1), total(99), {Status: results.SampleTimeout}, {Status: results.SampleFailed}, repeat, total(4, "irq")},
		Summary:  map[string]results.Summary{"entropy_bits": {N: 4, Median: 8}},
	}}}
	c := FromFile("dir", f).Cells[0]
	if c.Key != (Key{"osv", "hello", "qemu", "boot", "image=osv-1", "kvm", "boot"}) || c.Image != "abc" || c.ImageVersion != "0.57" || c.Samples != 4 || c.Tainted != 1 ||
		c.Rungs["first_run"] != "tp_btf" || len(c.Settings) != 1 || c.Settings["memory_mib"] != "64" {
		t.Errorf("%+v", c)
	}
	if s := c.Metrics[totalNs]; s.Beyond != 1 || !slices.Equal(s.Values, []float64{1, 3, 4}) {
		t.Errorf("total: %+v", s)
	}
	if s := c.Metrics["vmm_ns"]; s.Beyond != 0 || len(s.Values) != 3 {
		t.Errorf("vmm: %+v", s)
	}
	if s := c.Metrics["entropy_bits"]; !s.Whole || s.Values[0] != 8 {
		t.Errorf("entropy: %+v", s)
	}
}

func TestBetter(t *testing.T) {
	for metric, want := range map[string]Better{
		"total_ns": Less, "guest_ready_bytes": Less, "requests_per_second": More, "read_bytes_per_second": More, "latency_p99_ns": Less,
		"cpuid": Less, "pio_out": Less, "errors": Less, "kvm_userspace_exits": Less, "instances": More, "entropy_bits": More,
		"requests": Neither, "interference_ns": Neither, "client_syns": Neither, "block_4096_reads": Neither,
		"block_4096_read_latency_p50_ns": Less, "block_4096_reads_per_second": More, "exits_per_request": Less, "cpu_per_request_ns": Less,
	} {
		if got := BetterOf(metric); got != want {
			t.Errorf("%s: %q, want %q", metric, got, want)
		}
	}
}

// TestFormats: CSV and JSON hold the same rows.
func TestFormats(t *testing.T) {
	r := sample(t)
	var b bytes.Buffer
	if err := r.CSV(&b); err != nil {
		t.Fatal(err)
	}
	lines, err := csv.NewReader(&b).ReadAll()
	if err != nil || len(lines) != len(r.Rows)+1 {
		t.Fatalf("%v, %v", lines, err)
	}
	field := func(line []string, name string) string { return line[slices.Index(lines[0], name)] }
	for i, w := range r.Rows {
		for name, want := range map[string]*float64{"shift": w.Shift, "superiority": w.Superiority, "a_drift_p": w.A.DriftP, "b_drift_percent": w.B.DriftPercent, "p": w.P} {
			if got := field(lines[i+1], name); got != full(want) {
				t.Errorf("row %d, %s: %q, want %q", i, name, got, full(want))
			}
		}
		if field(lines[i+1], "shift_low") != ends(w.ShiftCI95)[0] || field(lines[i+1], "superiority_high") != ends(w.SuperiorityCI95)[1] {
			t.Errorf("row %d: intervals are not as in %+v", i, w)
		}
		for name, want := range map[string]any{"a_timed_out": w.A.Beyond, "b_outliers": w.B.Outliers, "verdict": w.Verdict, "regression": w.Regression} {
			if got := field(lines[i+1], name); got != fmt.Sprint(want) {
				t.Errorf("row %d, %s: %q, want %v", i, name, got, want)
			}
		}
	}
	b.Reset()
	if err := r.JSON(&b); err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(b.Bytes(), &back); err != nil || len(back.Rows) != len(r.Rows) || back.Rows[0].Verdict != r.Rows[0].Verdict {
		t.Errorf("%+v, %v", back, err)
	}
}

// TestForeignWords: what a guest or a file says is no escape sequence, no markup and no
// formula, wherever it is written.
func TestForeignWords(t *testing.T) {
	evil := cellOf("=cmd|x", times(10, 100)...)
	evil.Settings = map[string]string{"args": "\x1b[31mred\x07 <img src=x> @all https://x.example"}
	failed := cellOf("y")
	failed.Status, failed.Reason, failed.Metrics = results.CellFailed, "\x1b]0;title\x07 *bold* <script>", nil
	r, err := Runs(setOf("a", cellOf("=cmd|x", times(10, 100)...), cellOf("y", times(10, 1)...)), setOf("b", evil, failed), Options{})
	if err != nil {
		t.Fatal(err)
	}
	var md, lines bytes.Buffer
	if err := errors.Join(r.Markdown(&md), r.CSV(&lines)); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"\x1b", "\x07", "<img", "<script", "://", "@all", "*bold*"} {
		if strings.Contains(md.String(), bad) {
			t.Errorf("%q is in\n%s", bad, &md)
		}
	}
	fields, err := csv.NewReader(&lines).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range slices.Concat(fields...) {
		if strings.ContainsAny(f, "\x1b\x07") || strings.HasPrefix(f, "=") {
			t.Errorf("a field is %q", f)
		}
	}
	if _, err := Runs(setOf("a", cellOf("z", times(10, 1)...)), setOf("\x1b[2Jb", evil), Options{}); err == nil || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("%q", err)
	}
}
