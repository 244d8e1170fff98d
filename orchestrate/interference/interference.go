// SPDX-License-Identifier: Apache-2.0

// Package interference measures who disturbed a sample: every foreign task and
// interrupt that ran on the sample's CPUs while a guest was there, the time that a
// hypervisor below took, and throttling. It judges that against a threshold.
//
// It knows the host's files and package probe's Interference. It does not know the
// matrix, guests or results, and it changes nothing on the host.
package interference

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/ukprobe/ukprobe/probe"
)

// Seer is what a Meter needs of package probe; *probe.Interference is one.
type Seer interface {
	Begin(cpus []int, group uint64) error
	End() (probe.Look, error)
	SeesInterrupts() (bool, string)
	// Missed is how often the programs have not run so far although they should have.
	Missed() uint64
}

// Meter measures one run's samples, one at a time.
type Meter struct {
	seer  Seer
	group uint64
	host  host
}

// NewMeter makes a Meter. The group is the id of the cgroup that all the run's guests
// are in or below, and groupDir its directory.
func NewMeter(s Seer, group uint64, groupDir string) *Meter {
	return &Meter{seer: s, group: group, host: host{root: os.DirFS("/"), groupDir: groupDir}}
}

// Window is the time of one sample in which the guest's CPUs are looked at: from before
// its VMM is started until it is known that it is ready, or has been used. It may be opened more
// than once, one after the other or several at a time: it is open until the last one is closed,
// and what was measured adds up. A nil Window measures nothing.
//
// What is judged of it is only what each [Opening] says: its VMM's or its own part.
type Window struct {
	meter  *Meter
	group  uint64 // whose tasks are the guests
	cpus   []int
	shared []int // of cpus: where clients run too, as planned

	mu     sync.Mutex
	open   int
	spans  []*span
	before readings
	errs   []error

	missedBefore, missed uint64

	engine bool // a container engine's work is measured, and not foreign
}

// span is a time without a break in which a Window was open.
type span struct {
	look     probe.Look
	host     readings // differences
	openings []*Opening
}

// Opening is one guest's part of a Window. Its zero value is that of a window that
// measures nothing.
type Opening struct {
	window *Window
	closed bool
	// What of it counts, on CLOCK_MONOTONIC in ns; 0: from its begin, to its end.
	from, to int64
}

// Window begins a sample on some CPUs, with nothing measured yet. Of those in shared
// it is planned that clients run there too.
func (m *Meter) Window(cpus, shared []int) *Window {
	return &Window{meter: m, group: m.group, cpus: slices.Compact(slices.Sorted(slices.Values(cpus))), shared: shared}
}

// In says, before the first Open, that the guests of this sample are in or below another
// cgroup than the run's.
func (w *Window) In(group uint64) {
	if w != nil {
		w.group = group
	}
}

// OfEngine says that a container engine starts this sample's guests: its work is what is
// measured. In other samples it is foreign, like anybody's.
func (w *Window) OfEngine() {
	if w != nil {
		w.engine = true
	}
}

// Open begins to measure.
func (w *Window) Open() *Opening {
	if w == nil || len(w.cpus) == 0 {
		return &Opening{}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.open++; w.open == 1 {
		w.begin()
	}
	o := &Opening{window: w}
	last := w.spans[len(w.spans)-1]
	last.openings = append(last.openings, o)
	return o
}

// Close ends that. It may be called more than once.
func (o *Opening) Close() {
	w := o.window
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if o.closed {
		return
	}
	o.closed = true
	if w.open--; w.open == 0 {
		w.end(w.spans[len(w.spans)-1])
	}
}

// Counts says what of the time is judged, on CLOCK_MONOTONIC in ns: the rest was before
// the guest was started, or after it was ready. 0 is when it was opened, or closed.
func (o *Opening) Counts(from, to int64) {
	if o.window == nil {
		return
	}
	o.window.mu.Lock()
	defer o.window.mu.Unlock()
	o.from, o.to = from, to
}

// counts is what of a span is judged: from the first guest's start to the last one's end.
func (s *span) counts() (from, to int64) {
	for n, o := range s.openings {
		if n == 0 {
			from, to = o.from, o.to
			continue
		}
		from = min(from, o.from)
		if to != 0 {
			to = max(to, o.to)
		}
		if o.to == 0 {
			to = 0
		}
	}
	return from, to
}

func (w *Window) begin() {
	w.spans = append(w.spans, &span{})
	w.missedBefore = w.meter.seer.Missed()
	w.before = w.meter.host.read(w.cpus)
	if err := w.meter.seer.Begin(w.cpus, w.group); err != nil {
		w.errs = append(w.errs, err)
	}
}

func (w *Window) end(s *span) {
	var err error
	if s.look, err = w.meter.seer.End(); err != nil {
		w.errs = append(w.errs, err)
	}
	w.missed += w.meter.seer.Missed() - w.missedBefore
	s.host = w.meter.host.read(w.cpus).since(w.before)
}

// sums is what was measured of a Window that counts.
type sums struct {
	cpuTime map[int]probe.CPUTime
	sources map[sourceKey]Source
	host    readings
	uncut   bool // more is in it than counts
}

// sum adds up what counts.
func (w *Window) sum() sums {
	out := sums{cpuTime: map[int]probe.CPUTime{}, sources: map[sourceKey]Source{}}
	for _, s := range w.spans {
		look, whole := s.look.Between(s.counts())
		out.uncut = out.uncut || !whole
		out.host.add(s.host.certain(outside(s.look, look)))
		for _, t := range look.CPUs {
			sum := out.cpuTime[t.CPU]
			sum.CPU = t.CPU
			sum.Span += t.Span
			sum.Idle += t.Idle
			sum.Mine += t.Mine
			sum.Own += t.Own
			sum.Engine += t.Engine
			sum.Others += t.Others
			sum.IRQ += t.IRQ
			sum.SoftIRQ += t.SoftIRQ
			sum.Unnamed += t.Unnamed
			sum.UnnamedCount += t.UnnamedCount
			sum.Switches += t.Switches
			out.cpuTime[t.CPU] = sum
		}
		for _, x := range look.Sources {
			w.add(out.sources, x)
		}
	}
	return out
}

// outside is how much of the time that was looked at does not count.
func outside(all, counts probe.Look) time.Duration {
	var out time.Duration
	for n := range counts.CPUs {
		out = max(out, all.CPUs[n].Span-counts.CPUs[n].Span)
	}
	return out
}

// sourceKey is by what sources are one to a person: a build's hundred compilers are.
type sourceKey struct {
	kind probe.SourceKind
	name string
	cpu  int
}

// add adds what one thread or interrupt took to what others of its name did.
func (w *Window) add(to map[sourceKey]Source, s probe.Source) {
	name := s.Name
	if s.Kind == probe.SourceIRQ {
		name = w.meter.host.irqName(s.ID)
	}
	key := sourceKey{s.Kind, name, s.CPU}
	sum := to[key]
	sum.Kind, sum.Name, sum.CPU = string(s.Kind), name, s.CPU
	sum.Time += s.Time
	sum.Count += s.Count
	to[key] = sum
}

// err is what went wrong; nil if nothing did.
func (w *Window) err() error { return errors.Join(w.errs...) }

// irqName is an interrupt's as its drivers call it.
func (h host) irqName(irq int) string {
	raw, err := fs.ReadFile(h.root, irqDir(irq)+"actions")
	if name := oneLine(raw); err == nil && name != "" {
		return name
	}
	return irqNumber(irq)
}
