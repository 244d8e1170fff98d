// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"fmt"
	"slices"
	"time"

	"github.com/ukprobe/ukprobe/bpf"
)

// Timeline is the events of one sample in the order of their times, and why
// others are missing.
type Timeline struct {
	Events  []Event
	Missing []Missing
	// ReadyEvent is the name of the event that makes this guest ready:
	// console_ready or first_response.
	ReadyEvent string
	// NoFirmware says that the VMM starts the image itself.
	NoFirmware bool
}

// Timeline puts together what has been seen so far, and why the rest is missing.
func (w *Watch) Timeline() Timeline {
	t := w.Events()
	t.Missing = w.missing(t)
	return t
}

// Events is Timeline without the missing events. It is cheap enough to be asked
// for again and again while a guest boots.
func (w *Watch) Events() Timeline {
	t := Timeline{ReadyEvent: EventFirstResponse, NoFirmware: w.target.NoFirmware}
	if w.target.Ready != nil {
		t.ReadyEvent = EventConsoleReady
	}
	s, err := w.state()
	if err == nil {
		t.Events = w.markEvents(&s)
	}
	t.Events = append(t.Events, w.consoleEvents()...)
	if e, ok := w.idleEvent(t); ok {
		t.Events = append(t.Events, e)
	}
	slices.SortStableFunc(t.Events, func(a, b Event) int { return compare(a.NS, b.NS) })
	return t
}

func compare(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func (w *Watch) markEvents(s *bpf.KVMSlot) []Event {
	var out []Event
	for kind, m := range s.Marks {
		name, ok := markNames[bpf.KVMMarkKind(kind)]
		if !ok || m.Ns == 0 {
			continue
		}
		hook := hookName(bpf.KVMHook(m.Hook))
		e := Event{Name: name, NS: int64(m.Ns), Rung: w.rungOf(hook), Hook: hook, TID: int(m.Tid)}
		if w.target.Has(name) && (name != EventOptionROM || linear(hook, e.Rung, w.p.isa)) {
			out = append(out, e)
		}
	}
	return out
}

// rungOf tells the rung of a hook; for tcx and clsact it is the device's.
func (w *Watch) rungOf(hook string) Rung {
	if hook == HookTCIn || hook == HookTCOut {
		if dev := w.device(); dev != nil {
			return dev.Rung
		}
		return ""
	}
	if s := w.p.state(hook); s != nil {
		return s.rung
	}
	return ""
}

// consoleEvents costs the same however much the guest prints.
func (w *Watch) consoleEvents() []Event {
	var out []Event
	first, ready := w.consoleLines()
	if first != nil {
		out = append(out, Event{Name: EventConsoleFirst, NS: first.FirstNS, Rung: w.rungOf(first.Hook), Hook: first.Hook})
	}
	if ready != nil {
		out = append(out, Event{Name: EventConsoleReady, NS: ready.LastNS, Rung: w.rungOf(ready.Hook), Hook: ready.Hook})
	}
	return out
}

// consoleLines are the first line and the one that made the guest ready.
func (w *Watch) consoleLines() (first, ready *Line) {
	w.mu.Lock()
	ready = w.console.Ready
	if len(w.console.Lines) > 0 {
		first = &w.console.Lines[0]
	}
	w.mu.Unlock()
	if first == nil {
		if l, ok := w.unfinished(); ok {
			first = &l
		}
	}
	return first, ready
}

// idleEvent is the first halt after the ready event, or the first write to the port
// by which the guest says that it waits.
func (w *Watch) idleEvent(t Timeline) (Event, bool) {
	ready, ok := t.At(t.ReadyEvent)
	if !ok {
		return Event{}, false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, h := range w.halts {
		if h.ns >= ready.NS {
			return Event{Name: EventIdle, NS: h.ns, Rung: w.rungOf(h.hook), Hook: h.hook}, true
		}
	}
	return Event{}, false
}

// At returns the event of that name.
func (t Timeline) At(name string) (Event, bool) {
	for _, e := range t.Events {
		if e.Name == name {
			return e, true
		}
	}
	return Event{}, false
}

// Ready reports whether the guest has become ready.
func (t Timeline) Ready() bool {
	_, ok := t.At(t.ReadyEvent)
	return ok
}

// after lists pairs of events of which the second can never come before the
// first.
var after = [][2]string{
	{EventCreateSent, EventCreated}, {EventCreated, EventStartSent}, {EventStartSent, EventRuntimeExec},
	{EventStartSent, EventContainerMade}, {EventStartSent, EventStarted}, {EventRuntimeExec, EventVMMExec}, {EventVMMExec, EventVMCreated}, {EventVMCreated, EventVCPUCreated}, {EventVCPUCreated, EventFirstRun},
	{EventFirstRun, EventGuestEntry}, {EventGuestEntry, EventFirmwareEnd}, {EventGuestEntry, EventFrameOut},
	{EventGuestEntry, EventOptionROM}, {EventOptionROM, EventFirmwareEnd}, {EventFirmwareEnd, EventDecompress},
	{EventFirmwareEnd, EventKernel}, {EventDecompress, EventKernel},
	{EventConsoleFirst, EventConsoleReady}, {EventSYN, EventSYNACK}, {EventSYNACK, EventFirstResponse},
	{EventFirstRequest, EventFirstResponse}, {EventVMMExec, EventConsoleFirst},
}

// Check tells what is wrong with a timeline: events against their natural
// order. An empty result means that it is sound.
func (t Timeline) Check() []string {
	var out []string
	for _, p := range after {
		a, ok1 := t.At(p[0])
		b, ok2 := t.At(p[1])
		if ok1 && ok2 && b.NS < a.NS {
			out = append(out, fmt.Sprintf("%s (%s) is %v before %s (%s)", p[1], b.Hook, time.Duration(a.NS-b.NS), p[0], a.Hook))
		}
	}
	return out
}
