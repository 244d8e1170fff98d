// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"strings"
	"testing"
	"unsafe"

	"github.com/cilium/ebpf"

	"github.com/ukprobe/ukprobe/bpf"
)

// These tests fail when the C side changes and this package's copies of its
// constants and tables do not.

func TestConstantsAreTheKernelSides(t *testing.T) {
	kvm, err := bpf.LoadKVM()
	if err != nil {
		t.Fatal(err)
	}
	entries := func(name string) int { return int(kvm.Maps[name].MaxEntries) }
	slots := entries(bpf.KVMMapSlots)
	clock, err := bpf.LoadClock()
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name      string
		here, bpf int
	}{
		{"TSC_VCPUS", tscVCPUs, int(clock.Maps[bpf.ClockMapTsc].MaxEntries) / slots},
		{"MAX_SLOTS", bpfMaxSlots, slots},
		{"EXIT_ROWS", exitRows, entries(bpf.KVMMapExitHist) / slots},
		{"EXIT_ROWS of the guest's time", exitRows, entries(bpf.KVMMapGuestHist) / slots},
		{"EXIT_ROWS of the parts", exitRows, entries(bpf.KVMMapExitParts) / slots},
		{"EXIT_CLASSES", exitClasses, entries(bpf.KVMMapExits) / slots},
		{"USER_EXIT_ROWS", userExitRows, entries(bpf.KVMMapUserExitHist) / slots},
		{"SPANS", len(spans), entries(bpf.KVMMapSpanHist) / slots},
		{"SPANS of the kernel", len(spans), int(bpf.KVMSpanSPANS)},
		{"MAX_VCPUS", bpfMaxVCPUs, entries(bpf.KVMMapVcpus)},
		{"MAX_VCPUS of the free ones", bpfMaxVCPUs, entries(bpf.KVMMapFreeVcpus)},
		{"USER_EXIT_CLASSES of the counts", userExitClasses, entries(bpf.KVMMapUserExits) / slots},
		{"EXIT_CODES", exitCodes, int(kvm.Variables[bpf.KVMVarExitClassOf].Size())},
		{"LINE_MAX", maxLine, len(bpf.KVMRecord{}.Data)},
		{"LINE_MAX of the slot", maxLine, len(bpf.KVMLine{}.Data)},
		{"RECORD_HEADER", recordHeader, int(unsafe.Offsetof(bpf.KVMRecord{}.Data))},
		{"HIST_BUCKETS", histBuckets(DefaultSchema), len(bpf.KVMHist{}.Buckets)},
		{"the histogram's header", histHeader, int(unsafe.Offsetof(bpf.KVMHist{}.Buckets))},
		{"HOOK_KINDS", len(bpf.KVMPerCpu{}.Hits), int(bpf.KVMHookHOOK_KINDS)},
		{"TSC_CHANGES", tscChanges, len(bpf.ClockTscState{}.Change)},
		{"MARK_KINDS", len(bpf.KVMSlot{}.Marks), int(bpf.KVMMarkKindMARK_KINDS)},
		{"COUNTERS", len(bpf.KVMCounters{}.N), int(bpf.KVMCounterCOUNTERS)},
	}
	for _, tt := range tests {
		if tt.here != tt.bpf {
			t.Errorf("%s: %d here, %d in bpf", tt.name, tt.here, tt.bpf)
		}
	}
}

// TestHistMinIndexIsTheKernelSides: the bucket of the array in which the kernel
// counts a nanosecond is where client_golang has it.
func TestHistMinIndexIsTheKernelSides(t *testing.T) {
	objs := loadHistTest(t, DefaultSchema)
	if _, err := objs.observe.Run(&ebpf.RunOptions{Data: packet(1)}); err != nil {
		t.Fatal(err)
	}
	var perCPU []bpf.KVMHist
	if err := objs.maps[bpf.KVMMapExitHist].Lookup(uint32(0), &perCPU); err != nil {
		t.Fatal(err)
	}
	for _, h := range perCPU {
		for bucket, n := range h.Buckets {
			if n > 0 && bucket+histMinIndex(DefaultSchema) != clientIndex(t, DefaultSchema, 1) {
				t.Errorf("1 ns is in bucket %d, index %d; client_golang says %d", bucket, bucket+histMinIndex(DefaultSchema), clientIndex(t, DefaultSchema, 1))
			} else if n > 0 {
				return
			}
		}
	}
	t.Error("1 ns is in no bucket")
}

// TestEveryKindHasAName: nothing that the kernel side tells is left out here.
func TestEveryKindHasAName(t *testing.T) {
	names := map[string]bool{}
	for k := range bpf.KVMMarkKindMARK_KINDS {
		name := markNames[k]
		if name == "" || names[name] {
			t.Errorf("mark %d has the name %q: missing or not its own", k, name)
		}
		names[name] = true
	}
	ids := map[string]bool{}
	for h := bpf.KVMHookHOOK_NONE + 1; h < bpf.KVMHookHOOK_KINDS; h++ {
		name := hookName(h)
		if name == "" || ids[name] {
			t.Errorf("hook %d has the name %q: missing or not its own", h, name)
		}
		ids[name] = true
	}
	// Entries are counted by two maps: Counts puts them together.
	told := map[bpf.KVMCounter]bool{bpf.KVMCounterCOUNT_ENTRY: true}
	for _, c := range counted {
		told[c.c] = true
	}
	for _, c := range losses {
		told[c] = true
	}
	for c := range bpf.KVMCounterCOUNTERS {
		if !told[c] {
			t.Errorf("counter %d is neither counted nor lost", c)
		}
	}
	for _, name := range expected {
		if eventHooks[name] == nil && !strings.HasPrefix(name, "console_") {
			t.Errorf("no hook is known for the expected event %s", name)
		}
	}
}

// TestHookTable: every program that a hook names exists with the type that its
// rung attaches, and every program is some hook's.
func TestHookTable(t *testing.T) {
	specs := map[object]*ebpf.CollectionSpec{}
	for obj, load := range map[object]func() (*ebpf.CollectionSpec, error){objProc: bpf.LoadProc, objKVM: bpf.LoadKVM, objNet: bpf.LoadNet, objClock: bpf.LoadClock} {
		spec, err := load()
		if err != nil {
			t.Fatal(err)
		}
		specs[obj] = spec
	}
	types := map[Rung]ebpf.ProgramType{Fentry: ebpf.Tracing, TPBTF: ebpf.Tracing, RawTP: ebpf.RawTracepoint, Kprobe: ebpf.Kprobe, Tracepoint: ebpf.TracePoint}
	used := map[string]bool{bpf.NetProgTcOut: true, bpf.NetProgTcIn: true}
	for _, h := range hooks {
		if h.tells == "" || len(h.rungs) == 0 {
			t.Errorf("%s: tells %q on %d rungs", h.name, h.tells, len(h.rungs))
		}
		for rung, programs := range h.rungs {
			for _, p := range programs {
				spec := specs[h.obj].Programs[p.name]
				if spec == nil {
					t.Errorf("%s by %s: no program %s", h.name, rung, p.name)
					continue
				}
				if used[p.name] = true; spec.Type != types[rung] || spec.AttachTo == "" {
					t.Errorf("%s by %s: %s is of type %s, attached to %q", h.name, rung, p.name, spec.Type, spec.AttachTo)
				}
			}
		}
	}
	for _, spec := range specs {
		for name := range spec.Programs {
			if !used[name] {
				t.Errorf("program %s is no hook's", name)
			}
		}
	}
}
