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

	"github.com/ukprobe/ukprobe/probe"
)

// Seer is what a Meter needs of package probe; *probe.Interference is one.
type Seer interface {
	Begin(cpus []int, group uint64) error
	End() ([]probe.CPUTime, []probe.Source, error)
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

// Window is the time of one sample in which a guest was measured: from before its VMM is
// started until it is ready, or has been used. It may be opened more than once, one after the other
// or several at a time: it is open until the last one is closed, and what was measured
// adds up. A nil Window measures nothing.
type Window struct {
	meter  *Meter
	group  uint64 // whose tasks are the guests
	cpus   []int
	shared []int // of cpus: where clients run too, as planned

	mu      sync.Mutex
	open    int
	opened  int
	before  readings
	cpuTime map[int]probe.CPUTime
	sources map[sourceKey]Source
	host    readings // differences, added up
	errs    []error

	missedBefore, missed uint64
}

// Window begins a sample on some CPUs, with nothing measured yet. Of those in shared
// it is planned that clients run there too.
func (m *Meter) Window(cpus, shared []int) *Window {
	return &Window{meter: m, group: m.group, cpus: slices.Compact(slices.Sorted(slices.Values(cpus))), shared: shared,
		cpuTime: map[int]probe.CPUTime{}, sources: map[sourceKey]Source{}}
}

// In says, before the first Open, that the guests of this sample are in or below another
// cgroup than the run's.
func (w *Window) In(group uint64) {
	if w != nil {
		w.group = group
	}
}

// Open begins to measure. The returned function ends that; it may be called more than
// once.
func (w *Window) Open() (closeWindow func()) {
	if w == nil || len(w.cpus) == 0 {
		return func() {}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.open++; w.open == 1 {
		w.begin()
	}
	return sync.OnceFunc(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.open--; w.open == 0 {
			w.end()
		}
	})
}

func (w *Window) begin() {
	w.opened++
	w.missedBefore = w.meter.seer.Missed()
	w.before = w.meter.host.read(w.cpus)
	if err := w.meter.seer.Begin(w.cpus, w.group); err != nil {
		w.errs = append(w.errs, err)
	}
}

func (w *Window) end() {
	times, sources, err := w.meter.seer.End()
	if err != nil {
		w.errs = append(w.errs, err)
	}
	w.missed += w.meter.seer.Missed() - w.missedBefore
	for _, t := range times {
		sum := w.cpuTime[t.CPU]
		sum.CPU = t.CPU
		sum.Span += t.Span
		sum.Idle += t.Idle
		sum.Mine += t.Mine
		sum.Own += t.Own
		sum.Others += t.Others
		sum.IRQ += t.IRQ
		sum.SoftIRQ += t.SoftIRQ
		sum.Unnamed += t.Unnamed
		sum.UnnamedCount += t.UnnamedCount
		sum.Switches += t.Switches
		w.cpuTime[t.CPU] = sum
	}
	for _, s := range sources {
		w.add(s)
	}
	w.host.add(w.meter.host.read(w.cpus).since(w.before))
}

// sourceKey is by what sources are one to a person: a build's hundred compilers are.
type sourceKey struct {
	kind probe.SourceKind
	name string
	cpu  int
}

// add adds what one thread or interrupt took to what others of its name did.
func (w *Window) add(s probe.Source) {
	name := s.Name
	if s.Kind == probe.SourceIRQ {
		name = w.meter.host.irqName(s.ID)
	}
	key := sourceKey{s.Kind, name, s.CPU}
	sum := w.sources[key]
	sum.Kind, sum.Name, sum.CPU = string(s.Kind), name, s.CPU
	sum.Time += s.Time
	sum.Count += s.Count
	w.sources[key] = sum
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
