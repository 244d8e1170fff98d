// SPDX-License-Identifier: Apache-2.0

package orchestrate

import (
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/orchestrate/client"
	"github.com/ukprobe/ukprobe/orchestrate/experiment"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/orchestrate/system"
	"github.com/ukprobe/ukprobe/probe"
	"github.com/ukprobe/ukprobe/results"
)

var started = time.Date(2026, 11, 23, 5, 30, 0, 0, time.UTC)

// aSample is a sample with something in every field.
func aSample() experiment.Sample {
	return experiment.Sample{
		Started: started, Status: experiment.OK, Taints: []string{"cpu: shared"}, Stderr: "noise", Argv: []string{"/bin/true"},
		Timeline: probe.Timeline{ReadyEvent: probe.EventConsoleReady,
			Events: []probe.Event{
				{Name: probe.EventVMMExec, NS: 1000, Rung: probe.TPBTF, Hook: probe.HookExec, TID: 7},
				{Name: probe.EventGuestEntry, NS: 3000, Rung: probe.Fentry, Hook: probe.HookEntry},
				{Name: probe.EventConsoleReady, NS: 9000, Rung: probe.RawTP, Hook: probe.HookPIO},
			},
			Missing: []probe.Missing{{Name: probe.EventIdle, Reason: "why"}}},
		Lines: []probe.Line{{FirstNS: 8000, LastNS: 9000, Text: "re\x1bady\r\n"}},
		Counts: probe.Counts{
			ISA: probe.SVM, Values: map[string]uint64{"kvm_exits": 12}, Lost: map[string]uint64{"ringbuf": 2},
			Ports:          map[probe.Port]uint64{{Number: 0x3f8, Out: true}: 5, {Number: 0x3fd}: 6},
			ExitCounts:     map[string]uint64{"io": 4}, // one of them without an entry after it
			Exits:          map[string]probe.Histogram{"io": {Schema: 3, Count: 3, SumNS: 1500, Zero: 1, Buckets: map[int]uint64{-160: 2}}},
			Parts:          map[string]probe.Parts{"io": {VMM: 900, Waited: 100}},
			GuestTime:      map[string]probe.Histogram{"io": {Schema: 3, Count: 4, SumNS: 7000, Buckets: map[int]uint64{-150: 4}}},
			Spans:          map[string]probe.Histogram{probe.SpanWaited: {Schema: 3, Count: 1, SumNS: 100, Buckets: map[int]uint64{-190: 1}}},
			UserExits:      map[string]probe.Histogram{"mmio": {Schema: 3, Count: 1, SumNS: 10, Buckets: map[int]uint64{-200: 1}}},
			UserExitCounts: map[string]uint64{"mmio": 4},
			Network: probe.Network{
				Responses:  map[probe.Exchange]probe.Histogram{{Kind: "arp", Side: "guest"}: {Schema: 3, Count: 2, SumNS: 50, Buckets: map[int]uint64{-195: 2}}},
				Unanswered: map[probe.Exchange]uint64{{Kind: "dns", Side: "outside"}: 3}},
		},
		Client: client.Result{SYNs: 9, LongestGap: 3 * time.Millisecond},
	}
}

func TestRecord(t *testing.T) {
	vmm, total := int64(2000), int64(8000)
	want := results.Sample{
		Started: started, Status: results.SampleOK, Taints: []string{"cpu: shared"},
		Events: []results.Event{
			{Name: "vmm_exec", NS: 1000, Rung: "tp_btf", Hook: "sched_exec"},
			{Name: "guest_entry", NS: 3000, Rung: "fentry", Hook: "kvm_entry"},
			{Name: "console_ready", NS: 9000, Rung: "raw_tp", Hook: "kvm_pio"},
		},
		Missing: []results.Missing{{Name: "idle", Reason: "why"}},
		Phases:  results.Phases{VMMNs: &vmm, TotalNs: &total},
		Values: map[string]float64{
			"kvm_exits": 12, "pio_out_port_0x3f8": 5, "pio_in_port_0x3fd": 6, "kvm_exits_io": 4, "kvm_userspace_exits_mmio": 4,
			"time_kvm_ns": 500, "time_vmm_ns": 900, "time_waited_ns": 100, "time_guest_ns": 7000,
			"answers_arp_by_guest": 2, "unanswered_dns_by_outside": 3,
			"client_syns": 9, "client_longest_gap_ns": 3e6,
		},
		Lost:    map[string]uint64{"ringbuf": 2},
		Console: []results.ConsoleLine{{FirstNS: 8000, LastNS: 9000, Text: "re\uFFFDady"}},
	}
	if diff := cmp.Diff(want, record(aSample())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	once := aSample()
	once.Client = client.Result{SYNs: 1} // there is no gap
	if gap, ok := record(once).Values["client_longest_gap_ns"]; ok {
		t.Errorf("of one SYN, the longest gap between two is %v", gap)
	}
	failed := aSample()
	failed.Status, failed.Reason = experiment.Failed, "because"
	if got := record(failed); got.Status != results.SampleFailed || got.Reason != "because" || got.Stderr != "noise" {
		t.Errorf("a failed sample: %s, %q, stderr %q", got.Status, got.Reason, got.Stderr)
	}
	if got := record(experiment.Sample{Status: experiment.Timeout}); len(got.Values) != 0 || got.Phases != (results.Phases{}) {
		t.Errorf("an empty sample: %+v", got)
	}
}

// TestPhasesAreStored: each phase under its own name, and none is left out.
func TestPhasesAreStored(t *testing.T) {
	var in probe.Phases
	want := map[string]int64{}
	names := map[string]string{"VMM": "vmm_ns", "Firmware": "firmware_ns", "Guest": "guest_ns", "Total": "total_ns", "BIOS": "bios_ns",
		"OptionROM": "option_rom_ns", "Setup": "setup_ns", "Decompress": "decompress_ns", "Kernel": "kernel_ns"}
	v := reflect.ValueOf(&in).Elem()
	for i := range v.NumField() {
		v.Field(i).Set(reflect.ValueOf(new(time.Duration(i + 1))))
		want[names[v.Type().Field(i).Name]] = int64(i + 1)
	}
	got := map[string]int64{}
	for name, ns := range phases(in).ByName() {
		if ns != nil {
			got[name] = *ns
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	sample := results.Sample{Phases: phases(in)}
	if diff := cmp.Diff(len(want), len(sample.Metrics())); diff != "" {
		t.Errorf("metrics of a sample: %v", sample.Metrics())
	}
}

// TestFirmwareIsStored: of a platform that is known.
func TestFirmwareIsStored(t *testing.T) {
	for name, want := range map[string]string{"qemu": "seabios", "qemu1nic": "seabios", "qemumicrovm": "qboot", "process": ""} {
		p, err := platform.Find(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := (&cell{platform: p}).record().Firmware; got != want {
			t.Errorf("%s: firmware %q, want %q", name, got, want)
		}
	}
	if got := (&cell{}).record().Firmware; got != "" {
		t.Errorf("firmware %q of no platform", got)
	}
}

// TestStatusesAreTheStores: what experiments say is what results take.
func TestStatusesAreTheStores(t *testing.T) {
	for here, there := range map[string]string{
		experiment.OK: results.SampleOK, experiment.Failed: results.SampleFailed,
		experiment.Timeout: results.SampleTimeout, experiment.Interrupted: results.SampleInterrupted,
	} {
		if here != there {
			t.Errorf("%q is %q in results", here, there)
		}
	}
}

func TestHistograms(t *testing.T) {
	var sum probe.Counts
	sum.Add(aSample().Counts)
	sum.Add(aSample().Counts)
	want := []results.Histogram{
		{Name: "ukprobe_kvm_exit_handling_seconds", Labels: map[string]string{"isa": "svm", "reason": "io"}, Schema: 3, ZeroCount: 2, Count: 6, Sum: 3e-6, Buckets: map[int32]uint64{-160: 4}},
		{Name: "ukprobe_guest_run_seconds", Labels: map[string]string{"isa": "svm", "reason": "io"}, Schema: 3, Count: 8, Sum: 1.4e-5, Buckets: map[int32]uint64{-150: 8}},
		{Name: "ukprobe_vmm_round_trip_seconds", Labels: map[string]string{"reason": "mmio"}, Schema: 3, Count: 2, Sum: 2e-8, Buckets: map[int32]uint64{-200: 2}},
		{Name: "ukprobe_vcpu_runqueue_delay_seconds", Schema: 3, Count: 2, Sum: 2e-7, Buckets: map[int32]uint64{-190: 2}},
		{Name: "ukprobe_network_response_seconds", Labels: map[string]string{"kind": "arp", "side": "guest"}, Schema: 3, Count: 4, Sum: 1e-7, Buckets: map[int32]uint64{-195: 4}},
	}
	if diff := cmp.Diff(want, histograms(sum)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := histograms(probe.Counts{}); len(got) != 0 {
		t.Errorf("of nothing: %+v", got)
	}
}

func TestCellRecord(t *testing.T) {
	c := &cell{Cell: matrix.Cell{System: "linux", App: "nginx", Platform: "qemu", Experiment: "boot",
		Settings: matrix.Settings{Samples: 3, Warmup: 1, Timeout: 2 * time.Second, MemoryMiB: 64, VCPUs: 2, Args: "x=1"}}, accel: platform.TCG}
	c.image.Ready, c.image.Service = "^up$", &system.Service{Port: 80}
	want := results.Cell{System: "linux", App: "nginx", Platform: "qemu", Experiment: "boot", Accel: "tcg", Argv: []string{},
		Settings: &results.Settings{Samples: 3, Warmup: 1, TimeoutNs: 2e9, MemoryMiB: 64, VCPUs: 2, Args: "x=1", Ready: "^up$", Port: 80}}
	if diff := cmp.Diff(want, c.record()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	c.image.Image = system.Image{Path: "/k", SHA256: "ab", Size: 3}
	c.status, c.reason = results.CellFailed, "because"
	want.Image, want.Status, want.Reason = &results.Image{Path: "/k", SHA256: "ab", Size: 3, Key: "ab"}, results.CellFailed, "because"
	if diff := cmp.Diff(want, c.record()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestNewRunID(t *testing.T) {
	zone := time.FixedZone("east", 3600)
	if got := NewRunID(started.In(zone), 0xabcd1234); got != "20261123-053000-1234" {
		t.Errorf("%s: want UTC and the seed's last 16 bits", got)
	}
	if got := NewRunID(started, 5); got != "20261123-053000-0005" {
		t.Error(got)
	}
}

// TestLeft: a cell's own mean, else the mean of the cells that have one; refused
// cells take no time.
func TestLeft(t *testing.T) {
	const s = time.Second
	order := []matrix.Step{{Cell: 0}, {Cell: 1}, {Cell: 2}, {Cell: 0}, {Cell: 1}, {Cell: 3}}
	run := func() *Run {
		return &Run{order: order, took: map[int]*mean{}, cells: []*cell{{}, {}, {status: results.CellFailed}, {}}}
	}
	r := run()
	if got := r.left(0); got >= 0 {
		t.Errorf("before the first sample: %v, want unknown", got)
	}
	r.note(0, 2*s)
	if got := r.left(1); got != 2*s+2*s+2*s+2*s {
		t.Errorf("after one sample of 2 s: %v, want 8 s for four that are left", got)
	}
	r.note(1, 10*s)
	if got := r.left(2); got != 2*s+10*s+6*s {
		t.Errorf("cell 3 has not been sampled: %v, want 2 s + 10 s + the mean of both", got)
	}
	r.note(0, 4*s)
	if got := r.left(4); got != 10*s+(3*s+10*s)/2 {
		t.Errorf("after 2 s and 4 s: %v", got)
	}
	if got := r.left(len(order)); got != 0 {
		t.Errorf("at the end: %v", got)
	}
}
