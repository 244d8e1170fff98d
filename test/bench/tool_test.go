// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Lines as perf script (6.1) and trace-cmd report (3.1) write them.
const traceText = `          kvm:kvm_entry: vcpu 0, rip 0x1018a0
 kvm:kvm_exit: vcpu 0 reason io rip 0x10189f info1 0x0000000005f00010 info2 0x00000000001018a0 intr_info 0x00000000 error_code 0x00000000
  kvm:kvm_pio: pio_write at 0x5f0 size 1 count 1 val 0x53 
  kvm:kvm_pio: pio_write at 0x5f0 size 1 count 3 val 0x53 (...)
  kvm:kvm_pio: pio_read at 0x5f0 size 1 count 1 val 0x0 
  kvm:kvm_pio: pio_write at 0x3f8 size 1 count 1 val 0x53 
 qemu-system-x86-174   [000]    32.190167: kvm_exit:             reason EXIT_CPUID rip 0x1018a0 info1 0 info2 0
 qemu-system-x86-174   [000]    32.190168: kvm_exit:             vcpu 0 reason EXIT_REASON_HLT rip 0x1018a0
 qemu-system-x86-174   [000]    32.190169: kvm_vcpu_wakeup:      wait time 10021341 ns, polling invalid
kvm:kvm_cpuid: func 1 idx 0 rax 1
 8408 13394.684728798: PERF_RECORD_LOST lost 16442
cpus=2
`

func TestTally(t *testing.T) {
	got := tallyOf([]byte(traceText))
	want := &tally{events: 10, port: 4, lost: 16442, exits: map[string]uint64{"io": 1, "cpuid": 1, "hlt": 1},
		byName: map[string]uint64{"kvm_entry": 1, "kvm_pio": 4, "kvm_vcpu_wakeup": 1, "kvm_cpuid": 1}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(tally{})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	asked := func(string) bool { return true }
	if diff := cmp.Diff(map[answer]uint64{portWrites: 4, cpuids: 1, halts: 1}, got.seen(asked)); diff != "" {
		t.Errorf("with exits (-want +got)\n%s", diff)
	}
	got.exits = nil
	if diff := cmp.Diff(map[answer]uint64{cpuids: 1}, got.seen(func(tp string) bool { return tp == "kvm_cpuid" })); diff != "" {
		t.Errorf("only CPUIDs asked for (-want +got)\n%s", diff)
	}
}

func TestLostSamples(t *testing.T) {
	stats := `Aggregated stats:
    LOST_SAMPLES events:         21  ( 2.7%)
kvm:kvm_fpu stats:
    LOST_SAMPLES events:      10590
kvm:kvm_pio stats:
          SAMPLE events:        200
    LOST_SAMPLES events:       5293
dummy:HG stats:
    LOST_SAMPLES events:        432
`
	if got := lostSamples([]byte(stats)); got != 10590+5293 {
		t.Errorf("%d lost, want those of kvm's events", got)
	}
}

func TestExitTable(t *testing.T) {
	text := `Analyze events for all VMs, all VCPUs:

             VM-EXIT    Samples  Samples%     Time%    Min Time    Max Time         Avg time 

                  io       2291    52.08%    40.45%     39.62us   8493.02us     80.94us ( +-   7.85% )
             UD excp          1     0.02%     0.02%    110.14us    110.14us    110.14us ( +-   0.00% )

Total Samples:2292, Total events handled time:458502.06us.

Lost events: 7

                  io          9    52.08%    40.45%     39.62us   8493.02us     80.94us ( +-   7.85% )
`
	if diff := cmp.Diff(map[string]uint64{"io": 2300, "ud excp": 1}, exitTable(text)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got := *lostLive(text); got != 7 {
		t.Errorf("%d lost, want 7", got)
	}
}

func TestParseBpftrace(t *testing.T) {
	text := `{"type": "attached_probes", "data": {"probes": 5}}
{"type": "printf", "data": "tick\n"}

{"type": "hist", "data": {"@ns": {"120": [{"min": 8, "max": 15, "count": 20}], "123": [{"min": 2, "max": 3, "count": 1485}, {"max": 1, "count": 5}]}}}
{"type": "map", "data": {"@start": {"240": 63973978654}}}
{"type": "map", "data": {"@cpuid": 17}}
`
	got, err := parseBpftrace([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := bpftraceMaps{"@ns": {"120": 20, "123": 1490}, "@start": {"240": 63973978654}, "@cpuid": {"": 17}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(map[answer]uint64{ioExits: 1490, cpuids: 0, halts: 20}, readEntryExit(0x7b, 0x72, 0x78)(got)); diff != "" {
		t.Errorf("exits (-want +got)\n%s", diff)
	}
	if got := readPortExit(got)[cpuids]; got != 17 {
		t.Errorf("%d CPUIDs, want 17", got)
	}
	for _, bad := range []string{"{", `{"type": "map", "data": 3}`, `{"type": "hist", "data": {"@x": {"1": "many"}}}`} {
		if got, err := parseBpftrace([]byte(bad)); err == nil {
			t.Errorf("%s: accepted as %v", bad, got)
		}
	}
}

func TestOverruns(t *testing.T) {
	stats := "CPU: 0\nentries: 5\noverrun: 3\ncommit overrun: 0\nbytes: 12\ndropped events: 2\nCPU: 1\noverrun: 10\nread events: 9\n"
	if got := overruns(stats); got != 15 {
		t.Errorf("%d, want 15", got)
	}
}

// The example is bcc's own documentation's.
func TestKvmexitSeen(t *testing.T) {
	text := `Display kvm exit reasons and statistics for all threads... Hit Ctrl-C to end.
PID      TID      KVM_EXIT_REASON                     COUNT
1273903  1273922  EXIT_REASON_CPUID                   10
1273903  1273922  EXIT_REASON_HLT                     6043
1273551  1273568  HLT                                 7
1273903  1273922  IO_INSTRUCTION                      24
`
	if diff := cmp.Diff(map[answer]uint64{ioExits: 24, cpuids: 10, halts: 6050}, kvmexitSeen(text)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestLastWords(t *testing.T) {
	for text, want := range map[string]string{
		"": "it said nothing",
		"trace-cmd: Operation not permitted\n  Can't enable ftrace\n": "trace-cmd: Operation not permitted: Can't enable ftrace",
		"a\nb\r\n\n": "b",
	} {
		if got := lastWords(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

const spanText = `22294/22298 14908.000001000: kvm:kvm_userspace_exit: reason KVM_EXIT_IO (2)
22294/22298 14908.000003500: syscalls:sys_enter_ioctl: fd: 0x00000009, cmd: 0x0000ae80, arg: 0x00000000
22294/22298 14908.000004000: syscalls:sys_enter_ioctl: fd: 0x00000009, cmd: 0x0000ae80, arg: 0x00000000
22294/22298 14909.000000000: kvm:kvm_userspace_exit: reason KVM_EXIT_IO (2)
22294/22299 14909.000000100: syscalls:sys_enter_ioctl: fd: 0x00000009, cmd: 0x0000ae80, arg: 0x00000000
99/99 14909.000000100: syscalls:sys_enter_ioctl: fd: 0x00000009, cmd: 0x0000ae80, arg: 0x00000000
22294/22298 14909.000001500: syscalls:sys_enter_ioctl: fd: 0x00000009, cmd: 0x0000ae80, arg: 0x00000000
22294/22298 14909.000002000: kvm:kvm_userspace_exit: reason restart (4)
22294/22298 14909.000002007: syscalls:sys_enter_ioctl: fd: 0x00000009, cmd: 0x0000ae80, arg: 0x00000000
no line of a trace
`

func TestSpans(t *testing.T) {
	got, n := userExitSpan.spans([]byte(spanText), 22294)
	want := map[string][]uint64{"io": {1500, 2500}, "intr": {7}}
	if diff := cmp.Diff(want, got); diff != "" || n != 8 {
		t.Errorf("%d events, want 8 (-want +got)\n%s", n, diff)
	}
}

func FuzzTraces(f *testing.F) {
	for line := range strings.Lines(traceText + spanText) {
		f.Add(line, int16(22294))
	}
	f.Fuzz(func(t *testing.T, text string, pid int16) {
		lines := uint64(strings.Count(text, "\n") + 1)
		if n := tallyOf([]byte(text)).events; n > lines {
			t.Errorf("%d events in %d lines", n, lines)
		}
		for _, kind := range []spanKind{exitSpan, userExitSpan} {
			spans, n := kind.spans([]byte(text), int(pid))
			if n > lines {
				t.Errorf("%d events in %d lines", n, lines)
			}
			for _, s := range spans {
				if !slices.IsSorted(s) {
					t.Errorf("not sorted: %v", s)
				}
			}
		}
	})
}

func FuzzParseBpftrace(f *testing.F) {
	f.Add([]byte(`{"type": "hist", "data": {"@ns": {"1": [{"min": 2, "max": 3, "count": 5}]}}}`))
	f.Add([]byte(`{"type": "map", "data": {"@n": 17}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		maps, err := parseBpftrace(text)
		if err != nil && len(maps) != 0 {
			t.Errorf("an error and maps: %v, %v", err, maps)
		}
	})
}
