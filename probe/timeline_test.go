// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"maps"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/bpf"
)

func TestCheck(t *testing.T) {
	// Every event at its place in the order of a boot.
	sound := []string{EventCreateSent, EventCreated, EventStartSent, EventRuntimeExec, EventContainerMade, EventStarted, EventVMMExec, EventVMCreate, EventVMCreated, EventVCPUCreated, EventFirstRun, EventGuestEntry, EventOptionROM, EventFirmwareEnd,
		EventDecompress, EventKernel, EventConsoleFirst, EventConsoleReady, EventFrameOut, EventSYN, EventSYNACK, EventFirstRequest, EventFirstResponse, EventIdle, EventVMMExit}
	build := func() Timeline {
		var tl Timeline
		for i, name := range sound {
			tl.Events = append(tl.Events, Event{Name: name, NS: int64(i+1) * 1000, Hook: "h_" + name})
		}
		return tl
	}
	if wrong := build().Check(); len(wrong) != 0 {
		t.Errorf("a sound timeline: %v", wrong)
	}
	if wrong := (Timeline{}).Check(); len(wrong) != 0 {
		t.Errorf("an empty timeline: %v", wrong)
	}
	for _, pair := range after {
		tl := build()
		first, _ := tl.At(pair[0])
		for i := range tl.Events {
			if tl.Events[i].Name == pair[1] {
				tl.Events[i].NS = first.NS // at the same time: sound
			}
		}
		want := pair[1] + " (h_" + pair[1] + ") is 5ns before " + pair[0] + " (h_" + pair[0] + ")"
		if strings.Contains(strings.Join(tl.Check(), "\n"), pair[1]+" (h_"+pair[1]+") is 0s") {
			t.Errorf("%v at one time is called wrong", pair)
		}
		for i := range tl.Events {
			if tl.Events[i].Name == pair[1] {
				tl.Events[i].NS -= 5
			}
		}
		if got := strings.Join(tl.Check(), "\n"); !strings.Contains(got, want) {
			t.Errorf("%v swapped: %q does not say %q", pair, got, want)
		}
	}
}

// TestTimelineIsSorted: marks, console and halts in the order of their times,
// each with its hook and rung.
func TestTimelineIsSorted(t *testing.T) {
	b := newBench(t, 1, SVM)
	b.pretend(HookExec, TPBTF)
	b.pretend(HookPIO, RawTP)
	b.pretend(HookHalt, Tracepoint)
	w := b.open(Target{CgroupID: nowhere, KVM: true, ConsolePort: com1, Ready: regexp.MustCompile("^ready"), Image: []Segment{{Lo: 1, Hi: 2}}})
	var s bpf.KVMSlot
	for kind, ns := range map[bpf.KVMMarkKind]uint64{bpf.KVMMarkKindMARK_VMM_EXEC: 100, bpf.KVMMarkKindMARK_VMM_EXIT: 900, bpf.KVMMarkKindMARK_GUEST_ENTRY: 200} {
		s.Marks[kind] = bpf.KVMMark{Ns: ns, Tid: 7, Hook: uint32(bpf.KVMHookHOOK_EXEC)}
	}
	if err := b.updateMap(bpf.KVMMapSlots, w.slot, &s); err != nil {
		t.Fatal(err)
	}
	take := func(kind bpf.KVMRecordKind, first, last int64, text string) {
		r := bpf.KVMRecord{Ns: uint64(first), LastNs: uint64(last), Kind: uint32(kind), Arg: uint32(len(text)), Hook: uint32(bpf.KVMHookHOOK_HALT)}
		copy(r.Data[:], text)
		w.take(r)
	}
	take(bpf.KVMRecordKindRECORD_LINE, 300, 310, "booting\n")
	take(bpf.KVMRecordKindRECORD_HALT, 350, 350, "")
	take(bpf.KVMRecordKindRECORD_LINE, 400, 410, "ready at last\r\n")
	take(bpf.KVMRecordKindRECORD_LINE, 420, 430, "ready again\n")
	take(bpf.KVMRecordKindRECORD_HALT, 500, 500, "")
	take(bpf.KVMRecordKindRECORD_HALT, 600, 600, "")

	want := []Event{
		{Name: EventVMMExec, NS: 100, Rung: TPBTF, Hook: HookExec, TID: 7},
		{Name: EventGuestEntry, NS: 200, Rung: TPBTF, Hook: HookExec, TID: 7},
		{Name: EventConsoleFirst, NS: 300, Rung: RawTP, Hook: HookPIO},
		{Name: EventConsoleReady, NS: 410, Rung: RawTP, Hook: HookPIO},
		{Name: EventIdle, NS: 500, Rung: Tracepoint, Hook: HookHalt},
		{Name: EventVMMExit, NS: 900, Rung: TPBTF, Hook: HookExec, TID: 7},
	}
	tl := w.Timeline()
	if diff := cmp.Diff(want, tl.Events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if !tl.Ready() || tl.ReadyEvent != EventConsoleReady {
		t.Errorf("ready %v by %s", tl.Ready(), tl.ReadyEvent)
	}
}

// TestMissingHasReasons: each expected event is there or accounted for, and why
// it is missing depends on the target and on the state of its hooks.
func TestMissingHasReasons(t *testing.T) {
	ready := regexp.MustCompile("^ready$")
	bzImage := []Segment{{Lo: 1, Hi: 2}, {Lo: 3, Hi: 4, Stage: StageOptionROM}, {Lo: 5, Hi: 6, Stage: StageDecompress}, {Lo: 7, Hi: 8, Stage: StageKernel}}
	tests := []struct {
		name   string
		target Target
		set    func(b *bench, w *Watch)
		want   map[string]string
	}{
		{"a process", Target{CgroupID: nowhere, ConsoleWrite: true, ConsoleFD: 1, Ready: ready}, func(b *bench, _ *Watch) {
			b.pretend(HookExec, TPBTF)
			b.pretend(HookSyscall, RawTP)
			b.alive(bpf.KVMHookHOOK_EXEC)
		}, map[string]string{
			EventVMMExec:       "sched_exec: alive, but did not happen in this guest",
			EventVMCreated:     "not under KVM: the host kernel does not see it",
			EventVCPUCreated:   "not under KVM: the host kernel does not see it",
			EventFirstRun:      "not under KVM: the host kernel does not see it",
			EventGuestEntry:    "not under KVM: the host kernel does not see it",
			EventFirmwareEnd:   "not under KVM: the host kernel does not see it",
			EventIdle:          "not under KVM: the host kernel does not see it",
			EventConsoleFirst:  "syscall: attached by raw_tp, but has never fired on this host",
			EventConsoleReady:  "syscall: attached by raw_tp, but has never fired on this host",
			EventFrameOut:      "the guest has no network device",
			EventSYNACK:        "the app has no service port",
			EventFirstResponse: "the app has no service port",
			EventVMMExit:       "sched_exit: not attached",
		}},
		{"a service under KVM", Target{CgroupID: nowhere, KVM: true, ServicePort: 80}, func(b *bench, w *Watch) {
			b.pretend(HookVMIoctl, "", Refusal{Fentry, "the kernel forbids it"}, Refusal{Kprobe, "no kprobes"})
			b.pretend(HookVCPU, Kprobe)
			b.pretend(HookEntry, TPBTF)
			b.pretend(HookInsn, RawTP)
			b.alive(bpf.KVMHookHOOK_INSN)
			w.dev = b.testDevice()
			b.alive(bpf.KVMHookHOOK_TC_OUT)
		}, map[string]string{
			EventVMMExec:       "sched_exec: not attached",
			EventVMCreated:     "kvm_dev_ioctl: not attached (the kernel forbids it); syscall: not attached",
			EventVCPUCreated:   "kvm_vcpu_create: attached by kprobe, but has never fired on this host; syscall: not attached",
			EventFirstRun:      "kvm_run: not attached; syscall: not attached",
			EventGuestEntry:    "kvm_entry: attached by tp_btf, but has never fired on this host; kvm_emulate_insn: alive, but did not happen in this guest",
			EventFirmwareEnd:   "the image's load segments are not known",
			EventIdle:          "the guest did not become ready",
			EventConsoleFirst:  "the guest has no console",
			EventConsoleReady:  "not looked for: this app is ready at its first response",
			EventFrameOut:      "tc_out: alive, but no such frame came; tap_out: not attached",
			EventSYNACK:        "tc_out: alive, but no such frame came",
			EventFirstResponse: "tc_out: alive, but no such frame came",
			EventVMMExit:       "sched_exit: not attached",
		}},
		{"a bzImage behind an option ROM under KVM that only emulates", Target{CgroupID: nowhere, KVM: true, Image: bzImage}, func(b *bench, _ *Watch) {
			b.pretend(HookKVMExit, TPBTF)
			b.pretend(HookInsn, Tracepoint)
			b.alive(bpf.KVMHookHOOK_INSN)
		}, map[string]string{
			EventOptionROM:   "kvm_exit: attached by tp_btf, but has never fired on this host; kvm_emulate_insn: alive, but did not happen in this guest",
			EventFirmwareEnd: "kvm_exit: attached by tp_btf, but has never fired on this host; kvm_emulate_insn: alive, but did not happen in this guest",
			EventDecompress:  "kvm_exit: attached by tp_btf, but has never fired on this host; kvm_emulate_insn: alive, but did not happen in this guest",
			EventKernel:      "kvm_exit: attached by tp_btf, but has never fired on this host; kvm_emulate_insn: alive, but did not happen in this guest",
		}},
		{"an option ROM on rungs that do not tell the code segment's base", Target{CgroupID: nowhere, KVM: true, Image: bzImage}, func(b *bench, _ *Watch) {
			b.pretend(HookKVMExit, Tracepoint)
			b.pretend(HookInsn, TPBTF)
		}, map[string]string{
			EventOptionROM: "kvm_exit by tracepoint, kvm_emulate_insn by tp_btf: without the code segment's base, by which addresses in real mode are known",
		}},
		{"a bzImage under TCG", Target{CgroupID: nowhere, Image: bzImage}, func(*bench, *Watch) {}, map[string]string{
			EventOptionROM: "not under KVM: the host kernel does not see it",
			EventKernel:    "not under KVM: the host kernel does not see it",
		}},
		{"a console that says something else", Target{CgroupID: nowhere, ConsolePort: com1, KVM: true, Ready: ready}, func(_ *bench, w *Watch) {
			w.console.Add(Line{FirstNS: 5, LastNS: 6, Text: "panic\n", Hook: HookPIO}, w.target.Ready)
		}, map[string]string{EventConsoleReady: `none of 1 console lines matched "^ready$"`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, 1, SVM)
			w := b.open(tt.target)
			tt.set(b, w)
			tl := w.Timeline()
			got := map[string]string{}
			for _, m := range tl.Missing {
				got[m.Name] = m.Reason
			}
			for _, name := range expected {
				if _, there := tl.At(name); tt.target.Has(name) && there == (got[name] != "") {
					t.Errorf("%s: there is %v, and missing because %q", name, there, got[name])
				}
			}
			if len(tt.want) < 10 { // not all of them
				maps.DeleteFunc(got, func(name, _ string) bool { _, ok := tt.want[name]; return !ok })
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("reasons (-want +got):\n%s", diff)
			}
		})
	}
}

// alive lets a hook have fired once.
func (b *bench) alive(id bpf.KVMHook) {
	b.t.Helper()
	cpus := b.loader.maps[bpf.KVMMapCpus]
	var perCPU []bpf.KVMPerCpu
	if err := cpus.Lookup(uint32(0), &perCPU); err != nil {
		b.t.Fatal(err)
	}
	perCPU[0].Hits[id]++
	if err := cpus.Put(uint32(0), perCPU); err != nil {
		b.t.Fatal(err)
	}
}
