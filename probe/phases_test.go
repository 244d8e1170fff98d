// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func span(d time.Duration) *time.Duration { return &d }

func TestPhases(t *testing.T) {
	at := func(ms map[string]int64) (out []Event) {
		for name, n := range ms {
			out = append(out, Event{Name: name, NS: n * 1e6})
		}
		return out
	}
	const ms = time.Millisecond
	tests := []struct {
		name string
		tl   Timeline
		at   map[string]int64
		want Phases
	}{
		{"a console's", Timeline{ReadyEvent: EventConsoleReady}, map[string]int64{EventVMMExec: 10, EventGuestEntry: 30, EventFirmwareEnd: 70, EventConsoleReady: 150, EventFirstResponse: 999},
			Phases{VMM: span(20 * ms), Firmware: span(40 * ms), Guest: span(80 * ms), Total: span(140 * ms)}},
		{"a service's", Timeline{ReadyEvent: EventFirstResponse}, map[string]int64{EventVMMExec: 10, EventGuestEntry: 30, EventFirmwareEnd: 70, EventFirstResponse: 270, EventConsoleReady: 1},
			Phases{VMM: span(20 * ms), Firmware: span(40 * ms), Guest: span(200 * ms), Total: span(260 * ms)}},
		{"no firmware end", Timeline{ReadyEvent: EventConsoleReady}, map[string]int64{EventVMMExec: 10, EventGuestEntry: 30, EventConsoleReady: 50},
			Phases{VMM: span(20 * ms), Total: span(40 * ms)}},
		{"a process", Timeline{ReadyEvent: EventConsoleReady}, map[string]int64{EventVMMExec: 10, EventConsoleReady: 12}, Phases{Total: span(2 * ms)}},
		{"never ready", Timeline{ReadyEvent: EventConsoleReady}, map[string]int64{EventVMMExec: 10, EventGuestEntry: 30, EventFirmwareEnd: 31}, Phases{VMM: span(20 * ms), Firmware: span(ms)}},
		{"no exec", Timeline{ReadyEvent: EventConsoleReady}, map[string]int64{EventGuestEntry: 30, EventFirmwareEnd: 31, EventConsoleReady: 33}, Phases{Firmware: span(ms), Guest: span(2 * ms)}},
		{"nothing", Timeline{ReadyEvent: EventConsoleReady}, nil, Phases{}},

		{"a bzImage on SeaBIOS", Timeline{ReadyEvent: EventConsoleReady},
			map[string]int64{EventVMMExec: 0, EventGuestEntry: 20, EventOptionROM: 25, EventFirmwareEnd: 31, EventDecompress: 33, EventKernel: 112, EventConsoleReady: 250},
			Phases{VMM: span(20 * ms), Firmware: span(11 * ms), BIOS: span(5 * ms), OptionROM: span(6 * ms),
				Guest: span(219 * ms), Setup: span(2 * ms), Decompress: span(79 * ms), Kernel: span(138 * ms), Total: span(250 * ms)}},
		{"a bzImage of which the decompressor was seen first", Timeline{ReadyEvent: EventConsoleReady},
			map[string]int64{EventVMMExec: 0, EventGuestEntry: 20, EventFirmwareEnd: 33, EventDecompress: 33, EventKernel: 112, EventConsoleReady: 250},
			Phases{VMM: span(20 * ms), Firmware: span(13 * ms), Guest: span(217 * ms), Decompress: span(79 * ms), Kernel: span(138 * ms), Total: span(250 * ms)}},
		{"a bzImage of which the decompressor was not seen", Timeline{ReadyEvent: EventConsoleReady, Missing: []Missing{{Name: EventDecompress}}},
			map[string]int64{EventGuestEntry: 20, EventFirmwareEnd: 30, EventKernel: 112, EventConsoleReady: 250},
			Phases{Firmware: span(10 * ms), Guest: span(220 * ms), Kernel: span(138 * ms)}},
		{"a vmlinux by PVH", Timeline{ReadyEvent: EventConsoleReady},
			map[string]int64{EventGuestEntry: 20, EventOptionROM: 24, EventFirmwareEnd: 30, EventKernel: 30, EventConsoleReady: 250},
			Phases{Firmware: span(10 * ms), BIOS: span(4 * ms), OptionROM: span(6 * ms), Guest: span(220 * ms), Kernel: span(220 * ms)}},
		{"a vmlinux on a VMM without firmware", Timeline{ReadyEvent: EventConsoleReady, NoFirmware: true},
			map[string]int64{EventVMMExec: 0, EventGuestEntry: 20, EventKernel: 21, EventConsoleReady: 120},
			Phases{VMM: span(20 * ms), Guest: span(100 * ms), Kernel: span(100 * ms), Total: span(120 * ms)}},
		{"a unikernel on a VMM without firmware", Timeline{ReadyEvent: EventConsoleReady, NoFirmware: true},
			map[string]int64{EventVMMExec: 0, EventGuestEntry: 20, EventFirmwareEnd: 22, EventConsoleReady: 120},
			Phases{VMM: span(20 * ms), Guest: span(100 * ms), Total: span(120 * ms)}},
		{"an option ROM and no more", Timeline{ReadyEvent: EventConsoleReady}, map[string]int64{EventGuestEntry: 20, EventOptionROM: 24}, Phases{BIOS: span(4 * ms)}},
	}
	for _, tt := range tests {
		tt.tl.Events = at(tt.at)
		if diff := cmp.Diff(tt.want, tt.tl.Phases()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
		if _, has := tt.at[tt.tl.ReadyEvent]; tt.tl.Ready() != has {
			t.Errorf("%s: ready is %v", tt.name, tt.tl.Ready())
		}
	}
}

// randomTimeline is a boot of some guest on some VMM, of which anything may not
// have been seen. Moments may fall together.
func randomTimeline(r *rand.Rand) Timeline {
	tl := Timeline{ReadyEvent: EventConsoleReady, NoFirmware: r.IntN(3) == 0}
	names := []string{EventVMMExec, EventGuestEntry}
	if !tl.NoFirmware {
		if r.IntN(2) == 0 {
			names = append(names, EventOptionROM)
		}
		names = append(names, EventFirmwareEnd)
	}
	switch r.IntN(3) {
	case 0:
		names = append(names, EventDecompress, EventKernel)
	case 1:
		names = append(names, EventKernel)
	}
	ns := int64(r.IntN(1000))
	for _, name := range append(names, EventConsoleReady) {
		if r.IntN(4) != 0 {
			ns += r.Int64N(1e9)
		}
		if r.IntN(6) == 0 {
			tl.Missing = append(tl.Missing, Missing{Name: name, Reason: "not seen"})
			continue
		}
		tl.Events = append(tl.Events, Event{Name: name, NS: ns})
	}
	return tl
}

// sumTo checks that parts that are all there add up to the whole.
func sumTo(t *testing.T, tl Timeline, what string, whole *time.Duration, parts ...*time.Duration) {
	t.Helper()
	var sum time.Duration
	for _, p := range parts {
		if p == nil {
			return
		}
		sum += *p
	}
	if whole == nil || *whole != sum {
		t.Fatalf("%s: the parts' sum is %v, the whole %v: %+v", what, sum, whole, tl)
	}
}

// TestPhasesAddUp holds random timelines against what the doc of Phases promises.
func TestPhasesAddUp(t *testing.T) {
	const seed = 3
	r := rand.New(rand.NewPCG(seed, seed))
	seen := map[string]int{}
	for range 20000 {
		tl := randomTimeline(r)
		p := tl.Phases()
		zero := time.Duration(0)
		setup := p.Setup
		if setup == nil {
			setup = &zero // not there, or not seen apart
		}
		if tl.NoFirmware {
			sumTo(t, tl, "total without firmware", p.Total, p.VMM, p.Guest)
		} else {
			sumTo(t, tl, "total", p.Total, p.VMM, p.Firmware, p.Guest)
		}
		sumTo(t, tl, "firmware", p.Firmware, p.BIOS, p.OptionROM)
		if tl.decompresses() && p.Guest != nil {
			sumTo(t, tl, "guest of a bzImage", p.Guest, setup, p.Decompress, p.Kernel)
		} else if !tl.decompresses() {
			sumTo(t, tl, "guest of a vmlinux", p.Guest, p.Kernel)
		}
		for name, d := range map[string]*time.Duration{"vmm": p.VMM, "firmware": p.Firmware, "guest": p.Guest, "total": p.Total,
			"bios": p.BIOS, "option ROM": p.OptionROM, "setup": p.Setup, "decompress": p.Decompress, "kernel": p.Kernel} {
			if d != nil && *d < 0 {
				t.Fatalf("%s is %v: %+v", name, *d, tl)
			}
			if d != nil {
				seen[name]++
			}
		}
		if !slices.IsSortedFunc(tl.Events, func(a, b Event) int { return compare(a.NS, b.NS) }) || len(tl.Check()) != 0 {
			t.Fatalf("not a sound timeline: %+v, %v", tl, tl.Check())
		}
	}
	if len(seen) != 9 {
		t.Errorf("only these phases came up: %v", seen)
	}
}

// TestLinear: which rungs know where real mode is.
func TestLinear(t *testing.T) {
	for _, tt := range []struct {
		hook string
		rung Rung
		isa  ISA
		want bool
	}{
		{HookKVMExit, TPBTF, SVM, true},
		{HookKVMExit, Kprobe, SVM, true},
		{HookKVMExit, Tracepoint, SVM, false},
		{HookKVMExit, Fentry, VMX, false},
		{HookRIP, Tracepoint, VMX, false},
		{HookInsn, Tracepoint, VMX, true},
		{HookInsn, TPBTF, SVM, false},
	} {
		if got := linear(tt.hook, tt.rung, tt.isa); got != tt.want {
			t.Errorf("%s by %s on %s: %v", tt.hook, tt.rung, tt.isa, got)
		}
	}
}

// TestPhasesOfAContainer: the engine's part and the app's add up to what the caller
// waits; without the kernel's events there is only that.
func TestPhasesOfAContainer(t *testing.T) {
	at := func(names ...string) (tl Timeline) {
		tl.ReadyEvent = EventFirstResponse
		for i, name := range names {
			tl.Events = append(tl.Events, Event{Name: name, NS: int64(i+1) * 1000})
		}
		return tl
	}
	const us = time.Microsecond
	for _, tt := range []struct {
		tl   Timeline
		want Phases
	}{
		{at(EventCreateSent, EventCreated, EventStartSent, EventRuntimeExec, EventContainerMade, EventVMMExec, EventStarted, EventFirstResponse),
			Phases{VMM: span(5 * us), Guest: span(2 * us), Total: span(7 * us)}},
		{at(EventCreateSent, EventCreated, EventStartSent, EventStarted, EventFirstResponse), Phases{Total: span(4 * us)}},
		{at(EventCreateSent, EventCreated), Phases{}},
	} {
		if diff := cmp.Diff(tt.want, tt.tl.Phases()); diff != "" {
			t.Errorf("%v (-want +got):\n%s", tt.tl.Events, diff)
		}
	}
}
