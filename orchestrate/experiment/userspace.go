// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/ukprobe/ukprobe/orchestrate/client"
	"github.com/ukprobe/ukprobe/probe"
)

// HookUserspace is the hook of events that user space saw by itself, and RungNone
// its rung: nothing is attached to the kernel.
const (
	HookUserspace            = "userspace"
	RungNone      probe.Rung = "none"
)

// StartWindow is the name of the value that says how long starting the VMM took
// as user space sees it, in ns: the exec lies somewhere in it, and vmm_exec is its
// beginning.
const StartWindow = "start_window_ns"

// Userspace is the Instrument without BPF, for --probes none. Its events are times
// of CLOCK_MONOTONIC that ukprobe took itself: before the VMM was started, after
// each read of the guest's console from the pipe, at the client's socket, and when
// the VMM was reaped.
//
// Each but the first is later than what it stands for, by the time until ukprobe
// was given a CPU: tens of microseconds on an idle machine, milliseconds on a busy
// one. vmm_exec is earlier (see [StartWindow]). So a total is an upper bound.
type Userspace struct{}

// Watch implements Instrument.
func (Userspace) Watch(t probe.Target) (Watch, error) {
	return &userWatch{target: t, progress: make(chan struct{}, 1)}, nil
}

// witness is a Watch that is told what the experiment itself sees of its guest.
// Its methods are called from several goroutines.
type witness interface {
	// Started is told of the times before the VMM was started and after.
	Started(before, after int64)
	// Console is told what one read from the guest's console gave, and when.
	Console(ns int64, data []byte)
	Answered(client.Result)
	Ended(ns int64)
}

type userWatch struct {
	target   probe.Target
	progress chan struct{}

	mu      sync.Mutex
	events  []probe.Event // but for the console's
	console probe.Console
	partial probe.Line
	window  int64 // of the start, in ns
}

func (w *userWatch) happened(name string, ns int64) {
	w.mu.Lock()
	w.events = append(w.events, userEvent(name, ns))
	w.mu.Unlock()
	w.tell()
}

func userEvent(name string, ns int64) probe.Event {
	return probe.Event{Name: name, NS: ns, Rung: RungNone, Hook: HookUserspace}
}

func (w *userWatch) tell() {
	select {
	case w.progress <- struct{}{}:
	default:
	}
}

// Started implements witness.
func (w *userWatch) Started(before, after int64) {
	w.mu.Lock()
	w.window = after - before
	w.mu.Unlock()
	if w.target.Container {
		return // the engine has been asked, and the exec is nobody's to see
	}
	w.happened(probe.EventVMMExec, before)
}

// Console implements witness.
func (w *userWatch) Console(ns int64, data []byte) {
	w.mu.Lock()
	for _, l := range w.partial.Feed(HookUserspace, ns, data) {
		w.console.Add(l, w.target.Ready)
	}
	w.mu.Unlock()
	w.tell()
}

// Answered implements witness.
func (w *userWatch) Answered(r client.Result) {
	if r.ConnectedNs != 0 {
		w.happened(probe.EventSYNACK, r.ConnectedNs)
	}
	if r.FirstByteNs != 0 {
		w.happened(probe.EventFirstResponse, r.FirstByteNs)
	}
}

// Ended implements witness.
func (w *userWatch) Ended(ns int64) { w.happened(probe.EventVMMExit, ns) }

// WatchDevice implements Watch: user space sees no frames.
func (*userWatch) WatchDevice(int) error { return nil }

// Progress implements Watch.
func (w *userWatch) Progress() <-chan struct{} { return w.progress }

// Drain implements Watch: nothing is on its way.
func (*userWatch) Drain() {}

// Events implements Watch.
func (w *userWatch) Events() probe.Timeline {
	t := probe.Timeline{ReadyEvent: probe.EventFirstResponse}
	if w.target.Ready != nil {
		t.ReadyEvent = probe.EventConsoleReady
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	t.Events = slices.Clone(w.events)
	switch {
	case len(w.console.Lines) > 0:
		t.Events = append(t.Events, userEvent(probe.EventConsoleFirst, w.console.Lines[0].FirstNS))
	case w.partial.Text != "":
		t.Events = append(t.Events, userEvent(probe.EventConsoleFirst, w.partial.FirstNS))
	}
	if w.console.Ready != nil {
		t.Events = append(t.Events, userEvent(probe.EventConsoleReady, w.console.Ready.LastNS))
	}
	slices.SortStableFunc(t.Events, func(a, b probe.Event) int { return cmp.Compare(a.NS, b.NS) })
	return t
}

// kernelOnly are the expected events that no clock of user space can give.
var kernelOnly = []string{
	probe.EventRuntimeExec, probe.EventVMCreated, probe.EventVCPUCreated, probe.EventFirstRun, probe.EventGuestEntry,
	probe.EventOptionROM, probe.EventFirmwareEnd, probe.EventDecompress, probe.EventKernel, probe.EventFrameOut, probe.EventIdle,
}

// Timeline implements Watch.
func (w *userWatch) Timeline() probe.Timeline {
	t := w.Events()
	for _, name := range kernelOnly {
		if !w.target.Has(name) {
			continue
		}
		t.Missing = append(t.Missing, probe.Missing{Name: name, Reason: "--probes none: only the host kernel could see it"})
	}
	for _, name := range []string{probe.EventVMMExec, probe.EventConsoleFirst, probe.EventConsoleReady,
		probe.EventSYNACK, probe.EventFirstResponse, probe.EventVMMExit} {
		if _, ok := t.At(name); !ok {
			t.Missing = append(t.Missing, probe.Missing{Name: name, Reason: w.whyMissing(name)})
		}
	}
	return t
}

func (w *userWatch) whyMissing(name string) string {
	service := name == probe.EventSYNACK || name == probe.EventFirstResponse
	switch {
	case name == probe.EventVMMExec && w.target.Container:
		return "--probes none: only the host kernel could see it"
	case name == probe.EventConsoleReady && w.target.Ready == nil:
		return "not looked for: this app is ready at its first response"
	case name == probe.EventConsoleReady:
		if n := len(w.Lines()); n > 0 {
			return fmt.Sprintf("none of %d console lines matched %q", n, w.target.Ready)
		}
		return "the guest printed nothing"
	case name == probe.EventConsoleFirst:
		return "the guest printed nothing"
	case service && w.target.ServicePort == 0:
		return "the app has no service port"
	case service:
		return "the client got no answer"
	}
	return "did not happen while the guest was watched"
}

// Lines implements Watch.
func (w *userWatch) Lines() []probe.Line {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := slices.Clone(w.console.Lines)
	if w.partial.Text != "" {
		out = append(out, w.partial)
	}
	return out
}

// Counts implements Watch: nothing of the guest was counted.
func (w *userWatch) Counts() (probe.Counts, error) {
	c := probe.Counts{Values: map[string]uint64{}, Lost: map[string]uint64{}}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.window > 0 {
		c.Values[StartWindow] = uint64(w.window)
	}
	if w.console.Beyond > 0 {
		c.Lost[probe.LostBeyondBound] = w.console.Beyond
	}
	return c, nil
}

// Close implements Watch.
func (*userWatch) Close() error { return nil }

// monotonicNs reads CLOCK_MONOTONIC, the clock of every event in ukprobe.
func monotonicNs() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0 // cannot happen with a clock that every Linux has
	}
	return ts.Nano()
}
