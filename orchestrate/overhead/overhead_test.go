// SPDX-License-Identifier: Apache-2.0

package overhead

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/internal/golden"
	"github.com/ukprobe/ukprobe/orchestrate/overhead/rig"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/probe"
	"github.com/ukprobe/ukprobe/results"
)

func TestConditions(t *testing.T) {
	always := []string{"none", "none again", "bystander", "boot", "full"}
	for _, tt := range []struct {
		only []probe.Rung
		want []string
	}{
		{nil, append(slices.Clone(always), "fentry", "tp_btf", "raw_tp", "kprobe", "tracepoint")},
		{[]probe.Rung{probe.Auto}, append(slices.Clone(always), "fentry", "tp_btf", "raw_tp", "kprobe", "tracepoint")},
		{[]probe.Rung{probe.Kprobe, probe.RawTP}, append(slices.Clone(always), "raw_tp", "kprobe")},
	} {
		var got []string
		for _, c := range conditions(tt.only) {
			got = append(got, c.Name)
			if (c.Attach == "") != (c.Name == "none" || c.Name == "none again") || c.Watch == (c.Attach == "" || c.Name == "bystander") {
				t.Errorf("%+v", c)
			}
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("only %v (-want +got):\n%s", tt.only, diff)
		}
	}
}

// TestCompare: a cost has the medians, and intervals from MinRounds on.
func TestCompare(t *testing.T) {
	off, on := []float64{4, 4, 4, 4, 4, 4}, []float64{5, 5, 5, 5, 5, 5}
	f := func(v float64) *float64 { return &v }
	want := results.OverheadCost{MedianNs: 5, Ratio: f(1.25), RatioCI95: &[2]float64{1.25, 1.25}, ExtraNs: f(1), ExtraCI95: &[2]float64{1, 1}}
	if diff := cmp.Diff(want, compare(off, on, rand.New(rand.NewPCG(7, 2)))); diff != "" {
		t.Errorf("%d rounds (-want +got):\n%s", MinRounds, diff)
	}
	want.RatioCI95, want.ExtraCI95 = nil, nil
	if diff := cmp.Diff(want, compare(off[:MinRounds-1], on[:MinRounds-1], rand.New(rand.NewPCG(7, 2)))); diff != "" {
		t.Errorf("%d rounds (-want +got):\n%s", MinRounds-1, diff)
	}
}

func TestWorkloadNs(t *testing.T) {
	times := rig.Times{Ticks: 6000, Boot: 7 * time.Millisecond}
	if got := (workload{ops: 3}).ns(times, 2); got != 1000 {
		t.Errorf("6,000 ticks at 2 per ns over 3 operations: %v ns", got)
	}
	if got := (workload{}).ns(times, 2); got != 7e6 {
		t.Errorf("a boot of 7 ms: %v ns", got)
	}
}

// aReport has so many rounds of made-up times: each condition its own, a little
// more in each round.
func aReport(rounds int) *Report {
	when := time.Date(2026, 11, 23, 6, 0, 0, 0, time.UTC)
	r := &Report{Host: Host{Kernel: "6.1.0", CPUModel: "A CPU", CPUs: 2, KVMHardware: true}, Version: "1.2", TicksPerNs: 2, Samples: map[string]map[string][]rig.Times{}}
	r.Overhead = results.Overhead{Measured: &when, Rounds: rounds, Seed: 5}
	slower := map[string]float64{"none": 1, "none again": 1.001, "bystander": 1.01, "boot": 1.05, "full": 1.2, "tp_btf": 1.06, "kprobe": 1.3}
	for _, c := range conditions([]probe.Rung{probe.TPBTF, probe.Kprobe, probe.Fentry}) {
		o := results.OverheadCondition{Name: c.Name}
		if c.Name == "fentry" {
			o.Missing = "kvm_run: forbidden"
		}
		if c.Attach != "" && o.Missing == "" {
			o.Rungs = map[string]string{"sched_exec": "tp_btf", "kvm_pio": "tp_btf"}
		}
		r.Overhead.Conditions = append(r.Overhead.Conditions, o)
		for i := range rounds {
			wobble := 1 + 0.01*float64((i*7+len(c.Name))%5-2)
			for _, w := range workloads() {
				f := slower[c.Name] * wobble
				r.add(sampled{w.name: {c.Name: rig.Times{Ticks: uint64(2e6 * f * float64(max(w.ops, 1)) / 1000), Boot: time.Duration(6e7 * f)}}})
			}
		}
	}
	r.Overhead.Programs = []results.OverheadProgram{
		{Hook: "kvm_pio", Rung: "tp_btf", Program: "tp_btf_pio", Runs: 9, NsRun: 123.4},
		{Hook: "kvm_pio", Rung: "kprobe", Program: "kprobe_pio", Runs: 9, NsRun: 200},
		{Hook: "kvm_pio", Rung: "kprobe", Program: "kprobe_pio_in", Runs: 3, NsRun: 60},
		{Hook: "sched_exec", Rung: "tp_btf", Program: "tp_btf_exec", Runs: 1, NsRun: 20000},
	}
	r.compare()
	return r
}

func TestText(t *testing.T) {
	few := aReport(2)
	few.Overhead.Foreign, few.Overhead.Disturbed = 11, 3
	for name, r := range map[string]*Report{"report.txt": aReport(10), "few.txt": few} {
		var b strings.Builder
		if err := r.WriteText(&b); err != nil {
			t.Fatal(err)
		}
		golden.Check(t, name, b.String())
	}
}

// TestAdvice: the words follow the figures.
func TestAdvice(t *testing.T) {
	f := func(v float64) *float64 { return &v }
	cost := func(ratio, lo, hi float64) map[string]results.OverheadCost {
		c := results.OverheadCost{MedianNs: 1e8 * ratio, Ratio: f(ratio), RatioCI95: &[2]float64{lo, hi}, ExtraNs: f(1e8 * (ratio - 1)), ExtraCI95: &[2]float64{1e8 * (lo - 1), 1e8 * (hi - 1)}}
		return map[string]results.OverheadCost{"boot": c, "port_write": c, "cpuid": c}
	}
	o := &results.Overhead{Rounds: 10, Disturbed: 2, Conditions: []results.OverheadCondition{
		{Name: "none again", Cost: cost(1, 0.97, 1.02)}, {Name: "boot", Cost: cost(0.98, 0.95, 0.99)}, {Name: "full", Cost: cost(1.05, 1.01, 1.1)},
		{Name: "bystander", Cost: cost(1.01, 0.99, 1.03)},
	}}
	got := advice(o)
	for _, want := range []string{
		"a boot measured with --probes boot took no longer than one with nothing attached",
		"a boot measured with --probes full takes at most 10.0 ms (10.0 %) longer",
		"With --probes full an exit to the VMM and back (port write) costs 5.00 ms (between 1.00 ms and 10.0 ms) more",
		"nothing that can be told from chance (between -1.00 ms and 3.00 ms)",
		"Differences of less than 3.0 % between boots (3.0 % between port writes) mean nothing", "After 2 of 40 conditions other BPF programs were loaded than before",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
	o.Conditions[0].Cost = cost(1, 0.7, 1.02)
	if got := advice(o); !strings.Contains(got, "too restless for a figure to rely on: boots under equal conditions differed by up to 30.0 %") {
		t.Error(got)
	}
	o.Rounds = 5
	if got := advice(o); !strings.Contains(got, "nothing can be concluded") || !strings.Contains(got, "After 2 of 20 conditions other BPF programs were loaded than before") {
		t.Error(got)
	}
}

// TestState: a figure is found again on the same host with the same version, and
// else the reason says what is different.
func TestState(t *testing.T) {
	r := aReport(10)
	dir := filepath.Join(t.TempDir(), "state")
	path, err := r.Save(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&r.Overhead, Known(dir, r.Host, r.Version)); diff != "" {
		t.Errorf("kept and found (-want +got):\n%s", diff)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("in the folder: %v, %v", left, err)
	}
	kernel, cpus := r.Host, r.Host
	kernel.Kernel, cpus.CPUs = "6.12", 4
	for _, tt := range []struct {
		name    string
		dir     string
		host    Host
		version string
		want    string
	}{
		{"another version", dir, r.Host, "1.3", "not measured on this host with this version (measured 2026-11-23 with ukprobe 1.2, and this is 1.3): run `ukprobe overhead`"},
		{"another kernel", dir, kernel, "1.2", "not measured on this host with this version (measured 2026-11-23 on Linux 6.1.0, and this is 6.12): run `ukprobe overhead`"},
		{"other CPUs", dir, cpus, "1.2", "not measured on this host with this version (measured 2026-11-23 on another host, or with other CPUs): run `ukprobe overhead`"},
		{"no folder", filepath.Join(dir, "none"), r.Host, "1.2", "not measured on this host: run `ukprobe overhead`"},
	} {
		if diff := cmp.Diff(&results.Overhead{Reason: tt.want}, Known(tt.dir, tt.host, tt.version)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
	for name, text := range map[string]string{
		"damaged": "{", "format": `{"format":"x","format_version":1}`, "version": `{"format":"ukprobe-overhead","format_version":9}`,
		"no figure": `{"format":"ukprobe-overhead","format_version":1}`, "few rounds": `{"format":"ukprobe-overhead","format_version":1,"overhead":{"measured":"2026-11-23T06:00:00Z","rounds":5}}`, "large": strings.Repeat(" ", maxFile+1),
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := Known(dir, r.Host, r.Version); !strings.HasPrefix(got.Reason, "not known: "+path+": ") || !strings.HasSuffix(got.Reason, remedy) {
			t.Errorf("%s: %q", name, got.Reason)
		}
	}
	empty := t.TempDir()
	if _, err := aReport(5).Save(empty); err == nil || !strings.Contains(err.Error(), "fewer than 6") {
		t.Errorf("5 rounds: %v", err)
	}
	if left, err := os.ReadDir(empty); err != nil || len(left) != 0 {
		t.Errorf("5 rounds were kept: %v, %v", left, err)
	}
	if _, err := r.Save(path); err == nil || !strings.Contains(err.Error(), "--state-dir") {
		t.Errorf("a file for a folder: %v", err)
	}
}

// TestOpenRefuses: what is missing is told before anything is set up.
func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	if _, err := Measure(t.Context(), Options{Rounds: 0, JournalDir: dir}); err == nil || !strings.Contains(err.Error(), "0 rounds: at least 1") {
		t.Errorf("no rounds: %v", err)
	}
	if os.Geteuid() != 0 || !platform.DetectHost().KVM {
		t.Skip("needs root and /dev/kvm")
	}
	t.Setenv("PATH", dir)
	_, err := Measure(t.Context(), Options{Rounds: 1, JournalDir: filepath.Join(dir, "j"), RunID: "overheadtest-1", Version: "x"})
	if err == nil || !strings.Contains(err.Error(), "apt-get install qemu-system-x86") {
		t.Errorf("without QEMU: %v", err)
	}
	nothingLeft(t, filepath.Join(dir, "j"), "overheadtest-1")
}

// TestInterrupted: ended in the middle of a guest, a measurement leaves nothing.
func TestInterrupted(t *testing.T) {
	if _, err := exec.LookPath("qemu-system-x86_64"); os.Geteuid() != 0 || !platform.DetectHost().KVM || err != nil {
		t.Skip("needs root, /dev/kvm and QEMU")
	}
	why := errors.New("enough")
	ctx, stop := context.WithCancelCause(t.Context())
	dir, told := filepath.Join(t.TempDir(), "j"), 0
	_, err := Measure(ctx, Options{Rounds: 100, JournalDir: dir, RunID: "overheadtest-2", Attach: []probe.Rung{probe.TPBTF},
		Progress: func(_, all int, next string) {
			if told++; next == "" || all < 100 {
				t.Errorf("progress of %d steps, next %q", all, next)
			}
			if told == 2 {
				time.AfterFunc(50*time.Millisecond, func() { stop(why) })
			}
		}})
	if !errors.Is(err, why) {
		t.Errorf("%v, want %v", err, why)
	}
	nothingLeft(t, dir, "overheadtest-2")
}

func nothingLeft(t *testing.T, journalDir, runID string) {
	t.Helper()
	if left, _ := os.ReadDir(journalDir); len(left) != 0 {
		t.Errorf("journals left: %v", left)
	}
	if _, err := os.Stat(filepath.Join(os.TempDir(), "ukprobe-"+runID)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the work folder is left: %v", err)
	}
	if groups, _ := filepath.Glob("/sys/fs/cgroup/*/ukprobe/" + runID); len(groups) != 0 {
		t.Errorf("cgroups left: %v", groups)
	}
}
