// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"

	"github.com/ukprobe/ukprobe/probe"
)

// gather collects and holds what comes against Prometheus' rules.
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
	}
	return out
}

// series gives a family's values by their labels.
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

// someCounts are counts with something of everything.
func someCounts() probe.Counts {
	return probe.Counts{
		ISA:            probe.SVM,
		Values:         map[string]uint64{"kvm_exits": 7, "kvm_userspace_exits": 3, "pio_in": 0, "pio_out": 12, "halts": 2, "frames_in": 4, "bytes_in": 400, "frames_out": 1, "bytes_out": 60},
		Lost:           map[string]uint64{"pio_ports": 9},
		Ports:          map[probe.Port]uint64{{Number: 0x3f8, Out: true}: 10, {Number: 0x80, Out: true}: 2},
		ExitCounts:     map[string]uint64{"io": 5, "hlt": 2},
		Exits:          map[string]probe.Histogram{"io": histogramOf(5, -100), "hlt": histogramOf(2, -10)},
		Parts:          map[string]probe.Parts{"io": {VMM: 200 * time.Microsecond, Waited: 3 * time.Microsecond}, "hlt": {Halted: 800 * time.Millisecond}},
		GuestTime:      map[string]probe.Histogram{"io": histogramOf(5, -90), "hlt": histogramOf(2, 0)},
		Spans:          map[string]probe.Histogram{probe.SpanHalted: histogramOf(2, -11), probe.SpanWaited: histogramOf(4, -140), probe.SpanPopulate: histogramOf(9, -5)},
		UserExitCounts: map[string]uint64{"io": 3},
		UserExits:      map[string]probe.Histogram{"io": histogramOf(3, -110)},
		Network: probe.Network{
			Responses:  map[probe.Exchange]probe.Histogram{{Kind: "tcp_connect", Side: "guest"}: histogramOf(6, -120)},
			Unanswered: map[probe.Exchange]uint64{{Kind: "dns", Side: "outside"}: 2},
			Repeated:   map[probe.Exchange]uint64{{Kind: "dns", Side: "outside"}: 1},
			Refused:    map[probe.Exchange]uint64{{Kind: "tcp_connect", Side: "guest"}: 1},
			Unparsed:   map[string]uint64{"vlan": 5},
			Untracked:  7,
		},
	}
}

// histogramOf has n observations in one bucket.
func histogramOf(n uint64, bucket int) probe.Histogram {
	h := probe.Histogram{Schema: probe.DefaultSchema, Count: n, Buckets: map[int]uint64{bucket: n}}
	h.SumNS = n * uint64(h.Quantile(1))
	return h
}

func TestCollector(t *testing.T) {
	b := newBench(t)
	b.hooks = []probe.HookStatus{{Hook: "kvm_pio", Rung: probe.TPBTF, Hits: 12, Missed: 1}, {Hook: "kvm_run"}}
	b.beyond = 4
	b.add(10, 1, "/machine.slice/a", true, append(qemu("web"), "-uuid", "12345678-1234-1234-1234-123456789abc")...)
	b.start(Words{All: true}, Options{MaxVMs: 64})
	b.set(1, someCounts())
	b.set(2, userExits(1))
	b.come(1, 10, 1)
	b.come(2, 11, 1)
	b.leave(2)
	families := gather(t, NewCollector(b.w, "1.2.3"))
	want := map[string]map[string]float64{
		"ukprobe_vm_up":                       {"vm=web": 1, "vm=unknown-11": 0},
		"ukprobe_vm_info":                     {"cgroup=/machine.slice/a name=web pid=10 uuid=12345678-1234-1234-1234-123456789abc vm=web vmm=qemu": 1, "cgroup= name= pid=11 uuid= vm=unknown-11 vmm=unknown": 1},
		"ukprobe_kvm_exits_total":             {"isa=svm reason=io vm=web": 5, "isa=svm reason=hlt vm=web": 2},
		"ukprobe_kvm_exit_handling_seconds":   {"isa=svm reason=io vm=web": 5, "isa=svm reason=hlt vm=web": 2},
		"ukprobe_guest_run_seconds":           {"isa=svm reason=io vm=web": 5, "isa=svm reason=hlt vm=web": 2},
		"ukprobe_vcpu_halted_seconds":         {"vm=web": 2},
		"ukprobe_vcpu_runqueue_delay_seconds": {"vm=web": 4},
		"ukprobe_guest_populate_seconds":      {"vm=web": 9},
		"ukprobe_vmm_round_trip_seconds":      {"reason=io vm=web": 3},
		"ukprobe_kvm_userspace_exits_total":   {"reason=io vm=web": 3, "reason=io vm=unknown-11": 1},
		"ukprobe_guest_port_accesses_total":   {"direction=in vm=web": 0, "direction=out vm=web": 12},
		"ukprobe_guest_network_frames_total":  {"direction=in vm=web": 4, "direction=out vm=web": 1},
		"ukprobe_guest_network_bytes_total":   {"direction=in vm=web": 400, "direction=out vm=web": 60},
		"ukprobe_vms":                         {"": 1},
		"ukprobe_vms_limit":                   {"": 64},
		"ukprobe_vms_watched_total":           {"": 2},
		"ukprobe_vms_not_watched_total":       {"": 4},
		"ukprobe_vm_read_errors_total":        {"": 0},
		"ukprobe_hook_info":                   {"hook=kvm_pio rung=tp_btf": 1},
		"ukprobe_hook_fired_total":            {"hook=kvm_pio": 12},
		"ukprobe_hook_missed_total":           {"hook=kvm_pio": 1},
	}
	for name, values := range want {
		if diff := cmp.Diff(values, series(families[name])); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	parts := series(families["ukprobe_kvm_exit_handling_part_seconds_total"])
	if len(parts) != 8 || parts["isa=svm part=vmm reason=io vm=web"] != 200e-6 || parts["isa=svm part=halted reason=hlt vm=web"] != 0.8 ||
		parts["isa=svm part=kvm reason=hlt vm=web"] < 0.04 {
		t.Errorf("parts: %v", parts)
	}
	lost := series(families["ukprobe_lost_events_total"])
	if lost["cause=pio_ports vm=web"] != 9 {
		t.Errorf("lost: %v", lost)
	}
	for _, cause := range lostCauses {
		if n, ok := lost["cause="+cause+" vm=unknown-11"]; !ok || n != 0 {
			t.Errorf("loss by %s is %v, %v: want a 0 that can be watched", cause, n, ok)
		}
	}
	if len(series(families["ukprobe_build_info"])) != 1 {
		t.Errorf("build info: %v", families["ukprobe_build_info"])
	}
	h := families["ukprobe_vmm_round_trip_seconds"].GetMetric()[0].GetHistogram()
	if h.GetSchema() != probe.DefaultSchema || len(h.GetPositiveSpan()) == 0 || len(h.GetBucket()) == 0 {
		t.Errorf("histogram %v: want native buckets and classic ones", h)
	}
}

// TestSeriesOfAVMAreBounded: ports and whatever else a guest chooses make no
// series.
func TestSeriesOfAVMAreBounded(t *testing.T) {
	b := newBench(t).start(Words{All: true}, Options{})
	n := someCounts()
	b.set(1, n)
	b.come(1, 10, 1)
	count := func() (total int) {
		for _, f := range gather(t, NewCollector(b.w, "")) {
			total += len(f.GetMetric())
		}
		return total
	}
	before := count()
	n = someCounts()
	for port := range uint16(4096) {
		n.Ports[probe.Port{Number: port}] = 1
	}
	b.set(1, n)
	if after := count(); after != before {
		t.Errorf("%d series with 4096 ports, %d without", after, before)
	}
}

// TestHostileNames: nothing that a VMM is called breaks the exposition.
func TestHostileNames(t *testing.T) {
	b := newBench(t)
	names := []string{"\xff\xfe", "a\"b\\c\n# HELP x y\nx 1", "\x1b[31m", strings.Repeat("x", 1<<16), "", "web", "web"}
	for i, name := range names {
		b.add(10+i, 1, "/\xff\n", true, qemu(name)...)
	}
	b.start(Words{All: true}, Options{})
	for i := range names {
		b.come(uint64(i+1), 10+i, 1)
	}
	families := gather(t, NewCollector(b.w, ""))
	if n := len(families["ukprobe_vm_up"].GetMetric()); n != len(names) {
		t.Errorf("%d VMs, want %d", n, len(names))
	}
	for labels := range series(families["ukprobe_vm_info"]) {
		checkClean(t, labels, 600)
	}
}

func TestSubtract(t *testing.T) {
	before, now := someCounts(), someCounts()
	now.Values["pio_out"] += 5
	now.Ports[probe.Port{Number: 0x3f8, Out: true}] += 5
	now.ExitCounts["io"] += 2
	h := probe.Histogram{}
	h.Add(now.Exits["io"])
	h.Add(histogramOf(2, -90))
	now.Exits["io"] = h
	now.Parts["io"] = probe.Parts{VMM: 210 * time.Microsecond, Waited: 3 * time.Microsecond}
	now.Network.Unparsed["vlan"]++
	now.UserExitCounts["mmio"] = 1
	got := now.Since(before)
	empty := probe.Histogram{Schema: probe.DefaultSchema, Buckets: map[int]uint64{}} // proven, and nothing new
	want := probe.Counts{
		ISA: probe.SVM, Values: map[string]uint64{}, Lost: map[string]uint64{},
		Ports:      map[probe.Port]uint64{{Number: 0x3f8, Out: true}: 5},
		ExitCounts: map[string]uint64{"io": 2},
		Exits:      map[string]probe.Histogram{"io": histogramOf(2, -90)},
		Parts:      map[string]probe.Parts{"io": {VMM: 10 * time.Microsecond}},
		GuestTime:  map[string]probe.Histogram{},
		Network: probe.Network{Responses: map[probe.Exchange]probe.Histogram{}, Unanswered: map[probe.Exchange]uint64{},
			Repeated: map[probe.Exchange]uint64{}, Refused: map[probe.Exchange]uint64{}, Unparsed: map[string]uint64{"vlan": 1}},
		Spans:          map[string]probe.Histogram{probe.SpanHalted: empty, probe.SpanWaited: empty, probe.SpanPopulate: empty},
		UserExitCounts: map[string]uint64{"mmio": 1},
		UserExits:      map[string]probe.Histogram{},
	}
	for k := range now.Values {
		want.Values[k] = 0
	}
	want.Values["pio_out"] = 5
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// A torn reading goes no lower than zero.
	if got := before.Since(now); got.Values["pio_out"] != 0 || len(got.Exits) != 0 {
		t.Errorf("%+v", got)
	}
	if diff := cmp.Diff(someCounts(), before); diff != "" {
		t.Errorf("the earlier reading was changed:\n%s", diff)
	}
}
