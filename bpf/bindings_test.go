// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"
)

// onlyNet are maps that only net's programs use.
var onlyNet = []string{NetMapFlows, NetMapFlowGuests, NetMapFlowCount, NetMapNetHist}

// objects are the object files that share their maps.
func objects(t *testing.T) map[string]*ebpf.CollectionSpec {
	t.Helper()
	out := map[string]*ebpf.CollectionSpec{}
	for name, load := range map[string]func() (*ebpf.CollectionSpec, error){
		"kvm": LoadKVM, "proc": LoadProc, "net": LoadNet, "clock": LoadClock, "hist_test": LoadHistTest,
	} {
		spec, err := load()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out[name] = spec
	}
	return out
}

// own are the maps that only one object declares.
var own = map[string]string{ClockMapTsc: "clock"}

// TestMapsAreTheSameInAllObjects: user space makes each map once, from one of
// them, and hands it to all that declare it.
func TestMapsAreTheSameInAllObjects(t *testing.T) {
	type shape struct {
		Type                           ebpf.MapType
		KeySize, ValueSize, Max, Flags uint32
	}
	shapes := map[string]map[string]shape{}
	for obj, spec := range objects(t) {
		shapes[obj] = map[string]shape{}
		for name, m := range spec.Maps {
			if !strings.HasPrefix(name, ".") && own[name] != obj {
				shapes[obj][name] = shape{m.Type, m.KeySize, m.ValueSize, m.MaxEntries, m.Flags}
			}
		}
	}
	if len(shapes["kvm"]) == 0 {
		t.Error("kvm has no maps")
	}
	for _, name := range onlyNet { // of bpf/flow.h
		delete(shapes["net"], name)
	}
	for obj := range shapes {
		if diff := cmp.Diff(shapes["kvm"], shapes[obj]); diff != "" {
			t.Errorf("maps of kvm and %s differ: run `make generate` (-kvm +%s):\n%s", obj, obj, diff)
		}
	}
}

// TestGoTypesFitTheMaps: a Go type of another size than its C type would shift
// every field behind the difference.
func TestGoTypesFitTheMaps(t *testing.T) {
	maps := objects(t)["kvm"].Maps
	for name, obj := range own {
		maps[name] = objects(t)[obj].Maps[name]
	}
	for _, tt := range []struct {
		name       string
		key, value uintptr
	}{
		{KVMMapTargets, 8, unsafe.Sizeof(KVMTarget{})},
		{KVMMapDevices, unsafe.Sizeof(KVMDeviceKey{}), unsafe.Sizeof(KVMDevice{})},
		{KVMMapSlots, 4, unsafe.Sizeof(KVMSlot{})},
		{KVMMapCounts, 4, unsafe.Sizeof(KVMCounters{})},
		{KVMMapVcpus, 4, unsafe.Sizeof(KVMVcpuState{})},
		{KVMMapThreads, 4, 4},
		{KVMMapConfigs, 4, unsafe.Sizeof(KVMConfig{})},
		{KVMMapVms, 4, unsafe.Sizeof(KVMTarget{})},
		{KVMMapGuestHist, 4, unsafe.Sizeof(KVMHist{})},
		{KVMMapSpanHist, 4, unsafe.Sizeof(KVMHist{})},
		{KVMMapExitParts, 4, unsafe.Sizeof(KVMParts{})},
		{KVMMapPorts, unsafe.Sizeof(KVMPioKey{}), 8},
		{KVMMapExitHist, 4, unsafe.Sizeof(KVMHist{})},
		{KVMMapUserExitHist, 4, unsafe.Sizeof(KVMHist{})},
		{KVMMapUserExits, 4, 8},
		{ClockMapTsc, 4, unsafe.Sizeof(ClockTscState{})},
		{KVMMapCpus, 4, unsafe.Sizeof(KVMPerCpu{})},
	} {
		m := maps[tt.name]
		if m == nil {
			t.Errorf("no map %s", tt.name)
		} else if uintptr(m.KeySize) != tt.key || uintptr(m.ValueSize) != tt.value {
			t.Errorf("%s: key and value of %d and %d bytes, in Go %d and %d", tt.name, m.KeySize, m.ValueSize, tt.key, tt.value)
		}
		// KERNEL.md: a per-CPU value is at most 32 KiB.
		if m != nil && m.Type == ebpf.PerCPUArray && m.ValueSize > 32<<10 {
			t.Errorf("%s: a per-CPU value of %d bytes, at most 32768", tt.name, m.ValueSize)
		}
	}
}

// TestAddressTypesFitTheMap: the same of the programs that share no map.
func TestAddressTypesFitTheMap(t *testing.T) {
	spec, err := LoadAddresses()
	if err != nil {
		t.Fatal(err)
	}
	m := spec.Maps[AddressesMapGroups]
	if m == nil || m.KeySize != 8 || uintptr(m.ValueSize) != unsafe.Sizeof(AddressesAddresses{}) {
		t.Errorf("%+v, in Go a value of %d bytes", m, unsafe.Sizeof(AddressesAddresses{}))
	}
}

// TestFlowTypesFitTheMaps: the same of the maps that only net's programs use.
func TestFlowTypesFitTheMaps(t *testing.T) {
	maps := objects(t)["net"].Maps
	table := maps[NetMapFlows].InnerMap
	if table == nil {
		t.Fatal("flows has no inner map")
	}
	for _, tt := range []struct {
		m          *ebpf.MapSpec
		key, value uintptr
	}{
		{table, unsafe.Sizeof(NetFlowKey{}), unsafe.Sizeof(NetFlow{})},
		{maps[NetMapFlowGuests], 4, unsafe.Sizeof(NetFlowGuest{})},
		{maps[NetMapFlowCount], 4, unsafe.Sizeof(NetFlowCounts{})},
		{maps[NetMapNetHist], 4, unsafe.Sizeof(KVMHist{})},
	} {
		if uintptr(tt.m.KeySize) != tt.key || uintptr(tt.m.ValueSize) != tt.value {
			t.Errorf("%s: key and value of %d and %d bytes, in Go %d and %d", tt.m.Name, tt.m.KeySize, tt.m.ValueSize, tt.key, tt.value)
		}
	}
	slots := maps[NetMapFlows].MaxEntries
	if rows := uint32(NetFlowKindFLOW_KINDS) * uint32(NetFlowSideFLOW_SIDES); maps[NetMapNetHist].MaxEntries != slots*rows {
		t.Errorf("net_hist has %d rows, want %d for each of %d slots", maps[NetMapNetHist].MaxEntries, rows, slots)
	}
}

// TestObjectsAreOfTheseHeaders: what the headers define stands in the objects.
func TestObjectsAreOfTheseHeaders(t *testing.T) {
	defined := map[string]int{}
	re := regexp.MustCompile(`(?m)^#define (\w+) \(?(-?\d+)\)?`)
	for _, file := range []string{"event.h"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range re.FindAllStringSubmatch(string(text), -1) {
			n, err := strconv.Atoi(m[2])
			if err != nil {
				t.Fatal(err)
			}
			defined[m[1]] = n
		}
	}
	kvm := objects(t)["kvm"]
	slots := int(kvm.Maps[KVMMapSlots].MaxEntries)
	for name, got := range map[string]int{
		"MAX_SLOTS":         slots,
		"MAX_SEGMENTS":      len(KVMSlot{}.Image),
		"LINE_MAX":          len(KVMRecord{}.Data),
		"EXIT_CODES":        int(kvm.Variables[KVMVarExitClassOf].Size()),
		"EXIT_CLASSES":      int(kvm.Maps[KVMMapExits].MaxEntries) / slots,
		"EXIT_ROWS":         int(kvm.Maps[KVMMapExitHist].MaxEntries) / slots,
		"USER_EXIT_ROWS":    int(kvm.Maps[KVMMapUserExitHist].MaxEntries) / slots,
		"MAX_VCPUS":         int(kvm.Maps[KVMMapVcpus].MaxEntries),
		"USER_EXIT_CLASSES": int(kvm.Maps[KVMMapUserExits].MaxEntries) / slots,
	} {
		if want, ok := defined[name]; !ok || got != want {
			t.Errorf("%s: %d in the objects, %d in the headers (%v): run `make generate`", name, got, want, ok)
		}
	}
}

// TestEnumsAreOfTheHeader: the names of each enum in the header's order are the
// numbers that Go has.
func TestEnumsAreOfTheHeader(t *testing.T) {
	text, err := os.ReadFile("event.h")
	if err != nil {
		t.Fatal(err)
	}
	body := regexp.MustCompile(`(?s)/\*.*?\*/`).ReplaceAllString(string(text), "")
	values := map[string]int{}
	for _, m := range regexp.MustCompile(`(?s)enum (\w+) \{(.*?)\}`).FindAllStringSubmatch(body, -1) {
		next := 0
		for _, item := range strings.Split(m[2], ",") {
			name, value, set := strings.Cut(strings.TrimSpace(item), "=")
			if name == "" {
				continue
			}
			if set {
				if next, err = strconv.Atoi(strings.TrimSpace(value)); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
			}
			values[strings.TrimSpace(name)] = next
			next++
		}
	}
	for name, got := range map[string]int{
		"MARK_VMM_EXEC": int(KVMMarkKindMARK_VMM_EXEC), "MARK_FIRST_RESPONSE": int(KVMMarkKindMARK_FIRST_RESPONSE),
		"MARK_VMM_EXIT": int(KVMMarkKindMARK_VMM_EXIT), "MARK_KINDS": int(KVMMarkKindMARK_KINDS),
		"HOOK_EXEC": int(KVMHookHOOK_EXEC), "HOOK_SYSCALL": int(KVMHookHOOK_SYSCALL), "HOOK_KINDS": int(KVMHookHOOK_KINDS),
		"COUNT_ENTRY": int(KVMCounterCOUNT_ENTRY), "LOST_RINGBUF": int(KVMCounterLOST_RINGBUF), "COUNTERS": int(KVMCounterCOUNTERS),
		"RECORD_LINE": int(KVMRecordKindRECORD_LINE), "RECORD_MARK": int(KVMRecordKindRECORD_MARK),
	} {
		if want, ok := values[name]; !ok || got != want {
			t.Errorf("%s: %d in Go, %d in event.h (%v): run `make generate`", name, got, want, ok)
		}
	}
}

// TestProgramsAreLicensed: helpers that read the kernel's memory are for GPL
// programs only.
func TestProgramsAreLicensed(t *testing.T) {
	for obj, spec := range objects(t) {
		if len(spec.Programs) == 0 {
			t.Errorf("%s has no programs", obj)
		}
		for name, p := range spec.Programs {
			if p.License != "Dual BSD/GPL" {
				t.Errorf("%s: %s has the licence %q", obj, name, p.License)
			}
		}
	}
}

// TestDiskTypesFitTheMaps: likewise.
func TestDiskTypesFitTheMaps(t *testing.T) {
	spec, err := LoadDisk()
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]uintptr{
		DiskMapDiskCounts: unsafe.Sizeof(DiskDiskCount{}), DiskMapDiskPending: unsafe.Sizeof(DiskDiskCall{}),
	} {
		if m := spec.Maps[name]; m == nil || uintptr(m.ValueSize) != value {
			t.Errorf("%s: %v, in Go the value has %d bytes", name, m, value)
		}
	}
	for name, p := range spec.Programs {
		if p.License != "Dual BSD/GPL" {
			t.Errorf("%s has the licence %q", name, p.License)
		}
	}
}

// TestInterferenceTypesFitTheMaps: of the object that shares no map with the others.
func TestInterferenceTypesFitTheMaps(t *testing.T) {
	spec, err := LoadInterference()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name       string
		key, value uintptr
	}{
		{InterferenceMapCpuTimes, 4, unsafe.Sizeof(InterferenceCpuTime{})},
		{InterferenceMapSources, unsafe.Sizeof(InterferenceSourceKey{}), unsafe.Sizeof(InterferenceSourceTime{})},
		{InterferenceMapHeads, 4, unsafe.Sizeof(InterferenceEdge{})},
		{InterferenceMapTails, 4, unsafe.Sizeof(InterferenceEdge{})},
	} {
		if m := spec.Maps[tt.name]; m == nil || uintptr(m.KeySize) != tt.key || uintptr(m.ValueSize) != tt.value {
			t.Errorf("%s: %v, in Go key and value have %d and %d bytes", tt.name, m, tt.key, tt.value)
		}
	}
	for name, p := range spec.Programs {
		if p.License != "Dual BSD/GPL" {
			t.Errorf("%s has the licence %q", name, p.License)
		}
	}
}
