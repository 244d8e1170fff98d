// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
)

// gather collects, and holds what comes against Prometheus' rules: no series
// twice, labels as described, names and help texts by the linter.
func gather(t *testing.T, c prometheus.Collector) map[string]*dto.MetricFamily {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(c); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
	out := map[string]*dto.MetricFamily{}
	for _, f := range families {
		out[f.GetName()] = f
		for _, m := range f.GetMetric() {
			if m.Histogram != nil {
				checkHistogram(t, m.Histogram)
			}
		}
	}
	return out
}

// series gives the values of a family by its labels, in their own order.
func series(f *dto.MetricFamily) map[string]float64 {
	out := map[string]float64{}
	for _, m := range f.GetMetric() {
		var labels []string
		for _, l := range m.GetLabel() {
			labels = append(labels, l.GetName()+"="+l.GetValue())
		}
		v := m.GetCounter().GetValue() + m.GetGauge().GetValue()
		if m.Histogram != nil {
			v = float64(m.GetHistogram().GetSampleCount())
		}
		out[strings.Join(labels, " ")] = v
	}
	return out
}

func TestCollector(t *testing.T) {
	b := newBench(t, 2, SVM)
	b.pretend(HookExec, TPBTF)
	c := NewCollector(b.Probe, "system", "accel")
	work := func(w *Watch, halts int) {
		b.device(w, 80)
		for range halts {
			b.fireRecord("tracepoint_kvm_exit", kvmExit(isaSVM, 0x78, 0))
			b.fire("raw_tp_entry")
		}
		b.fire("raw_tp_user_exit", 2, 0)
		b.fire("raw_tp_pio", pioOut, com1, 1, 2, 8) // unreadable: lost
		b.frame("tc_out", etherType(0x0806))
		b.frame("tc_in", etherType(0x0806))
		b.frame("tc_in", etherType(0x0806))
	}
	target := kvmTarget(t)
	target.ConsolePort = com1

	first := b.open(target)
	done := c.Track(first, "reference", "kvm")
	work(first, 3)
	want := map[string]map[string]float64{
		"ukprobe_kvm_exit_handling_seconds":  {"accel=kvm isa=svm reason=hlt system=reference": 3},
		"ukprobe_kvm_exits_total":            {"accel=kvm isa=svm reason=hlt system=reference": 3},
		"ukprobe_kvm_userspace_exits_total":  {"accel=kvm reason=io system=reference": 1},
		"ukprobe_guest_network_frames_total": {"accel=kvm direction=in system=reference": 2, "accel=kvm direction=out system=reference": 1},
		"ukprobe_guest_network_bytes_total":  {"accel=kvm direction=in system=reference": 120, "accel=kvm direction=out system=reference": 60},
		"ukprobe_hook_info":                  {"hook=sched_exec rung=tp_btf": 1},
	}
	check := func(when string) {
		t.Helper()
		families := gather(t, c)
		for _, name := range slices.Sorted(maps.Keys(want)) {
			if diff := cmp.Diff(want[name], series(families[name])); diff != "" {
				t.Errorf("%s: %s (-want +got):\n%s", when, name, diff)
			}
		}
		lost := series(families["ukprobe_lost_events_total"])
		if lost["accel=kvm cause=console_bytes system=reference"] == 0 {
			t.Errorf("%s: lost %v", when, lost)
		}
		for _, cause := range []string{"ringbuf", "pio_ports", "vcpus", "records_beyond_bound"} {
			if n, ok := lost["accel=kvm cause="+cause+" system=reference"]; !ok || n != 0 {
				t.Errorf("%s: loss by %s is %v, %v: want a 0 that can be watched", when, cause, n, ok)
			}
		}
	}
	check("while it runs")
	if err := done(); err != nil {
		t.Fatal(err)
	}
	check("after its end")
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := done(); err != nil { // a second time changes nothing
		t.Fatal(err)
	}
	check("after it was closed")

	second := b.open(target)
	c.Track(second, "reference", "kvm")
	work(second, 2)
	for name := range want {
		for labels := range want[name] {
			if name != "ukprobe_hook_info" {
				want[name][labels] *= 2
			}
		}
	}
	for _, name := range []string{"ukprobe_kvm_exit_handling_seconds", "ukprobe_kvm_exits_total"} {
		want[name]["accel=kvm isa=svm reason=hlt system=reference"] = 5
	}
	check("with a second sample")
}

// TestCollectorKeepsCellsApart: other labels, other series.
func TestCollectorKeepsCellsApart(t *testing.T) {
	b := newBench(t, 2, SVM)
	c := NewCollector(b.Probe, "app")
	_, _, other := freshCgroup(t)
	c.Track(b.open(kvmTarget(t)), "hello")
	c.Track(b.open(Target{CgroupID: other, KVM: true}), "nginx")
	b.fire("raw_tp_user_exit", 5, 0)
	got := series(gather(t, c)["ukprobe_kvm_userspace_exits_total"])
	if diff := cmp.Diff(map[string]float64{"app=hello reason=hlt": 1}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestBeyondBoundIsExported: what a flood made ukprobe drop is a loss like any.
func TestBeyondBoundIsExported(t *testing.T) {
	b := newBench(t, 1, SVM)
	w := b.open(kvmTarget(t))
	c := NewCollector(b.Probe)
	c.Track(w)
	for range MaxLines + 3 {
		w.console.Add(Line{Text: "x\n"}, nil)
	}
	if got := series(gather(t, c)["ukprobe_lost_events_total"])["cause=records_beyond_bound"]; got != 3 {
		t.Errorf("%v, want 3", got)
	}
}
