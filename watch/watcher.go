// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ukprobe/ukprobe/probe"
)

// Options say what a Watcher watches and for how long it remembers.
type Options struct {
	Filter Filter
	// Keep is how long a VM that has ended is still reported, so that a scraper
	// that comes by once a minute gets its last figures.
	Keep time.Duration
	// MaxKept is how many of those at most; the oldest go first.
	MaxKept int
	// KeepLabels: a VM that has ended keeps its label as long as it is kept. Without
	// it one that is started anew takes over its predecessor's.
	KeepLabels bool
	// MaxVMs is how many VMs the Source has room for, to be reported.
	MaxVMs int
	// Network: attach to the VMs' network devices too.
	Network bool
	Log     *slog.Logger
	// Beat is called by Run about every second, and no longer if Run hangs.
	Beat func()
}

// Bounds of a Watcher's own memory.
const (
	// maxIgnored is how many processes that are not meant are looked at again,
	// in case they were moved into a cgroup that is.
	maxIgnored = 4096
	// lookAgain is how often.
	lookAgain = 5 * time.Second
	// beatEvery is how often Run shows that it is alive, and forgets.
	beatEvery = time.Second
)

// Watcher keeps account of the VMs of a Source. Run drives it; its other methods
// may be called meanwhile by several goroutines.
type Watcher struct {
	src  Source
	opt  Options
	proc proc
	now  func() time.Time

	beatEvery, lookAgainEvery time.Duration

	mu      sync.Mutex
	vms     map[uint64]*VM     // those that run, and those kept
	labels  map[string]*VM     // by their label
	ignored map[uint64]process // by the Source's ID
	waiting map[Wanted]bool    // of --pid, not a VM yet
	seen    uint64
	// forgotten counts the VMs that were dropped before their time, for others.
	forgotten uint64
	// passed counts the VMs that the filter does not take; silent are those of them
	// that ran before and have not shown themselves, lest they be counted twice.
	passed uint64
	silent map[process]bool

	taken      atomic.Uint64 // events
	readErrors atomic.Uint64
	// networkErrors counts VMs whose network could not be watched.
	networkErrors atomic.Uint64
	lastBeat      atomic.Int64 // unix nanoseconds
}

type process struct {
	pid   int
	start uint64
}

// VM is one that is watched, or was and is kept.
type VM struct {
	Identity
	Label   string // unique among those that run or are kept
	ID      uint64
	PID     int
	Since   time.Time // counted from then on
	process process

	mu     sync.Mutex // reading and giving back exclude each other
	counts func() (probe.Counts, error)
	ended  time.Time // zero while it runs
	last   probe.Counts
	err    error
}

// Reading is what was counted for a VM until a moment.
type Reading struct {
	VM     *VM
	Until  time.Time // its end, if it has ended
	Ended  bool
	Counts probe.Counts
	Err    error // why Counts is incomplete
}

// Duration is how long was counted.
func (r Reading) Duration() time.Duration { return max(r.Until.Sub(r.VM.Since), 0) }

// New makes a Watcher. Begin and then Run it.
func New(src Source, opt Options) *Watcher { return newWatcher(src, opt, procRoot) }

func newWatcher(src Source, opt Options, p proc) *Watcher {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	w := &Watcher{src: src, opt: opt, proc: p, now: time.Now, beatEvery: beatEvery, lookAgainEvery: lookAgain,
		vms: map[uint64]*VM{}, labels: map[string]*VM{}, ignored: map[uint64]process{}, waiting: map[Wanted]bool{}, silent: map[process]bool{}}
	w.lastBeat.Store(time.Now().UnixNano())
	return w
}

// ErrAllEnded is returned by Run when nothing can come any more: every process
// of --pid has ended, and is no longer kept.
var ErrAllEnded = errors.New("every process that was to be watched has ended")

// Run takes in what the Source tells until the context ends or the Source is
// closed. It gives every VM back before it returns.
func (w *Watcher) Run(ctx context.Context) error {
	defer w.releaseAll()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	seen := w.look(ctx)
	beat := time.NewTicker(w.beatEvery)
	defer beat.Stop()
	again := time.NewTicker(w.lookAgainEvery)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case s, ok := <-seen:
			if !ok && ctx.Err() == nil {
				return errors.New("the instrument has stopped")
			}
			if !ok {
				return nil
			}
			w.take(s)
			w.taken.Add(1)
		case <-again.C:
			w.lookAgain()
		case <-beat.C:
			w.lastBeat.Store(time.Now().UnixNano())
			w.forget()
			if w.opt.Beat != nil {
				w.opt.Beat()
			}
			if w.allEnded() {
				return ErrAllEnded
			}
		}
	}
}

// Healthy reports whether Run is at work.
func (w *Watcher) Healthy() bool {
	return time.Since(time.Unix(0, w.lastBeat.Load())) < 30*time.Second
}

// sighting is an event, with what /proc said of a VM that has come.
type sighting struct {
	Event
	process Process
	err     error
}

// look reads what a VM is as soon as it has come: some live for milliseconds, and
// what is done with those before it may take longer.
func (w *Watcher) look(ctx context.Context) <-chan sighting {
	out := make(chan sighting, 2*maxVMs) // arrival and end of as many as there are slots
	go func() {
		defer close(out)
		for {
			select {
			case <-ctx.Done():
				return
			case e, ok := <-w.src.Events():
				if !ok {
					return
				}
				s := sighting{Event: e}
				if !e.Gone {
					s.process, s.err = w.proc.read(e.Guest.PID)
				}
				select {
				case out <- s:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	return out
}

// take handles one event.
func (w *Watcher) take(s sighting) {
	if s.Gone {
		w.end(s.Guest)
		return
	}
	w.arrive(s.Guest, s.process, s.err)
}

// arrive decides on a VM that has shown itself.
func (w *Watcher) arrive(g Guest, p Process, err error) {
	w.mu.Lock()
	known := w.vms[g.ID] != nil
	w.mu.Unlock()
	if known { // adopted a moment ago
		return
	}
	if err == nil && g.Start != 0 && p.Start != g.Start {
		err = errGone // and its pid is another's by now
	}
	if err != nil {
		// Nothing tells any more whether it was meant, but for --all and --pid.
		p = Process{PID: g.PID, Start: g.Start}
	}
	id := Identify(p)
	if err != nil {
		id.VMM = "unknown"
	}
	if !w.opt.Filter.Match(p, id) {
		w.ignore(g)
		return
	}
	w.add(g, id)
}

func (w *Watcher) add(g Guest, id Identity) {
	vm := &VM{Identity: id, ID: g.ID, PID: g.PID, Since: g.Found, counts: g.Counts, process: process{g.PID, g.Start}}
	w.mu.Lock()
	vm.Label = w.label(vm)
	w.vms[vm.ID], w.labels[vm.Label] = vm, vm
	delete(w.waiting, Wanted{PID: g.PID, Start: g.Start})
	w.seen++
	if w.silent[vm.process] { // moved into a cgroup that is meant
		delete(w.silent, vm.process)
		w.passed--
	}
	w.mu.Unlock()
	w.opt.Log.Debug("watching", "vm", vm.Label, "vmm", vm.VMM, "pid", vm.PID, "found_after", w.now().Sub(vm.Since).Round(time.Microsecond))
	if !w.opt.Network {
		return
	}
	device, err := w.src.WatchNetwork(g.ID)
	switch {
	case err != nil && !w.proc.alive(g.PID, g.Start):
	case err != nil:
		w.networkErrors.Add(1)
		w.opt.Log.Warn("the VM's network is not watched", "vm", vm.Label, "pid", vm.PID, "err", err)
	case device != "":
		w.opt.Log.Debug("watching the VM's network", "vm", vm.Label, "device", Clean(device, maxName))
	}
}

// label finds the label of a new VM: its name, if it has one that no other VM
// has that runs; else the pid is appended. A VM that has ended and is only kept
// makes room: one that is started anew goes on under its old label.
func (w *Watcher) label(vm *VM) string {
	candidates := []string{fmt.Sprintf("%s-%d", cmp.Or(vm.Name, vm.VMM, "vm"), vm.PID)}
	candidates = append(candidates, fmt.Sprintf("%s-%d", candidates[0], vm.ID))
	if vm.Name != "" {
		candidates = append([]string{vm.Name}, candidates...)
	}
	for i := 0; ; i++ {
		name := candidates[len(candidates)-1]
		if i < len(candidates) {
			name = candidates[i]
		} else { // a name made to look like another's label
			name = fmt.Sprintf("%s-%d", name, i)
		}
		old := w.labels[name]
		if old == nil {
			return name
		}
		if old.isEnded() && !w.opt.KeepLabels {
			w.drop(old)
			return name
		}
	}
}

// drop forgets a VM. The caller holds the lock.
func (w *Watcher) drop(vm *VM) {
	delete(w.vms, vm.ID)
	if w.labels[vm.Label] == vm {
		delete(w.labels, vm.Label)
	}
}

// ignore gives a VM back that is not meant.
func (w *Watcher) ignore(g Guest) {
	if err := w.src.Release(g.ID, true); err != nil {
		w.opt.Log.Warn("give back a VM that is not to be watched", "pid", g.PID, "err", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	p := process{g.PID, g.Start}
	if !w.silent[p] {
		w.passed++
	}
	delete(w.silent, p)
	// Only a cgroup can take it in later.
	if len(w.opt.Filter.Cgroups) == 0 {
		return
	}
	if len(w.ignored) < maxIgnored {
		w.ignored[g.ID] = p
	}
}

// end keeps the last figures of a VM and gives the rest back.
func (w *Watcher) end(g Guest) {
	w.mu.Lock()
	vm := w.vms[g.ID]
	delete(w.ignored, g.ID)
	w.mu.Unlock()
	if vm == nil || vm.isEnded() {
		return
	}
	err := vm.finish(w.now(), func() error { return w.src.Release(g.ID, false) })
	if err != nil {
		w.readErrors.Add(1)
		w.opt.Log.Warn("last figures of a VM", "vm", vm.Label, "pid", vm.PID, "err", err)
	}
	w.opt.Log.Debug("ended", "vm", vm.Label, "pid", vm.PID)
	w.forget()
}

// finish reads a VM for the last time and releases it.
func (vm *VM) finish(at time.Time, release func() error) error {
	vm.mu.Lock()
	defer vm.mu.Unlock()
	counts, err := vm.counts()
	if err == nil || vm.last.Values == nil {
		vm.last = counts
	}
	vm.err, vm.ended, vm.counts = err, at, nil
	return errors.Join(err, release())
}

func (vm *VM) isEnded() bool {
	vm.mu.Lock()
	defer vm.mu.Unlock()
	return !vm.ended.IsZero()
}

// read reads what was counted so far.
func (vm *VM) read(now time.Time) Reading {
	vm.mu.Lock()
	defer vm.mu.Unlock()
	if !vm.ended.IsZero() {
		return Reading{VM: vm, Until: vm.ended, Ended: true, Counts: vm.last, Err: vm.err}
	}
	counts, err := vm.counts()
	return Reading{VM: vm, Until: now, Counts: counts, Err: err}
}

// forget drops the VMs that have been kept long enough, and the oldest of too
// many.
func (w *Watcher) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now()
	var kept []*VM
	for _, vm := range w.vms {
		if !vm.isEnded() {
			continue
		}
		if now.Sub(vm.ended) >= w.opt.Keep {
			w.drop(vm)
			continue
		}
		kept = append(kept, vm)
	}
	if len(kept) <= w.opt.MaxKept {
		return
	}
	slices.SortFunc(kept, func(a, b *VM) int { return a.ended.Compare(b.ended) })
	for _, vm := range kept[:len(kept)-w.opt.MaxKept] {
		w.forgotten++
		w.drop(vm)
	}
}

// allEnded: only processes were asked for, and all of them and their VMs are gone.
func (w *Watcher) allEnded() bool {
	if !w.opt.Filter.onlyPIDs() {
		return false
	}
	w.mu.Lock()
	n := len(w.vms)
	w.mu.Unlock()
	if n > 0 {
		return false
	}
	for _, want := range w.opt.Filter.PIDs {
		if w.proc.alive(want.PID, want.Start) {
			return false
		}
	}
	return true
}

// Begin takes up the VMs that run already; some may be silent for long. Other than
// Run it looks into processes of others, which needs CAP_SYS_PTRACE.
func (w *Watcher) Begin() {
	for _, cg := range w.opt.Filter.Cgroups {
		if cg.missing() {
			w.opt.Log.Info("there is no such cgroup yet: waiting for it", "cgroup", cg.path)
		}
	}
	var pids []int
	if w.opt.Filter.onlyPIDs() {
		for _, want := range w.opt.Filter.PIDs {
			pids = append(pids, want.PID)
		}
	} else {
		var err error
		if pids, err = w.proc.pids(); err != nil {
			w.opt.Log.Warn("look for running VMs: those that are silent are found when they do something", "err", err)
		}
	}
	denied := 0
	for _, pid := range pids {
		if err := w.tryAdopt(pid); err != nil && !errors.Is(err, errGone) {
			denied++
			w.opt.Log.Debug("look for a running VM", "pid", pid, "err", err)
		}
	}
	if denied > 0 {
		w.opt.Log.Warn("processes that could not be looked into: if they run VMs, those are found when they do something (needs CAP_SYS_PTRACE)", "processes", denied)
	}
	w.noteWaiting()
}

// noteWaiting tells of processes of --pid that are no VMs yet.
func (w *Watcher) noteWaiting() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, want := range w.opt.Filter.PIDs {
		found := false
		for _, vm := range w.vms {
			found = found || vm.process == (process{want.PID, want.Start})
		}
		if !found {
			w.waiting[want] = true
			w.opt.Log.Info("the process has no VM yet: waiting for it", "pid", want.PID)
		}
	}
}

// tryAdopt adopts a process that is meant and has a VM.
func (w *Watcher) tryAdopt(pid int) error {
	if ok, err := w.proc.holdsVM(pid); !ok || err != nil {
		return err
	}
	p, err := w.proc.read(pid)
	if err != nil {
		return err
	}
	id := Identify(p)
	if !w.opt.Filter.Match(p, id) {
		w.mu.Lock()
		w.silent[process{p.PID, p.Start}] = true
		w.passed++
		w.mu.Unlock()
		return nil
	}
	return w.adopt(p, id)
}

func (w *Watcher) adopt(p Process, id Identity) error {
	w.mu.Lock()
	for _, vm := range w.vms {
		if vm.process == (process{p.PID, p.Start}) {
			w.mu.Unlock()
			return nil // it has shown itself meanwhile
		}
	}
	w.mu.Unlock()
	g, err := w.src.Adopt(p.PID)
	if err != nil {
		return fmt.Errorf("adopt the VM of process %d: %w", p.PID, err)
	}
	w.mu.Lock()
	known := w.vms[g.ID] != nil
	w.mu.Unlock()
	if !known {
		w.add(g, id)
	}
	return nil
}

// lookAgain takes in what was not meant and now is, because its process was moved
// into another cgroup.
func (w *Watcher) lookAgain() {
	w.mu.Lock()
	again := make(map[uint64]process, len(w.ignored))
	for id, p := range w.ignored {
		again[id] = p
	}
	w.mu.Unlock()
	for id, ig := range again {
		p, err := w.proc.read(ig.pid)
		if err == nil && p.Start != ig.start {
			err = errGone
		}
		match := false
		if err == nil {
			identity := Identify(p)
			if match = w.opt.Filter.Match(p, identity); match {
				err = w.adopt(p, identity)
			}
		}
		if match || errors.Is(err, errGone) {
			w.mu.Lock()
			delete(w.ignored, id)
			if match && err == nil {
				w.passed--
			}
			w.mu.Unlock()
		}
		if err != nil && !errors.Is(err, errGone) {
			w.opt.Log.Warn("take in a VM that was moved", "pid", ig.pid, "err", err)
		}
	}
}

// releaseAll gives every VM back.
func (w *Watcher) releaseAll() {
	now := w.now()
	for _, vm := range w.list() {
		if vm.isEnded() {
			continue
		}
		if err := vm.finish(now, func() error { return w.src.Release(vm.ID, false) }); err != nil {
			w.opt.Log.Debug("give a VM back", "vm", vm.Label, "err", err)
		}
	}
}

// list is the VMs by label.
func (w *Watcher) list() []*VM {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]*VM, 0, len(w.vms))
	for _, vm := range w.vms {
		out = append(out, vm)
	}
	slices.SortFunc(out, func(a, b *VM) int { return cmp.Compare(a.Label, b.Label) })
	return out
}

// Each calls yield with a reading of each VM, by label, those kept included. Only
// one reading is held at a time.
func (w *Watcher) Each(yield func(Reading) bool) {
	for _, vm := range w.list() {
		r := vm.read(w.now())
		if r.Err != nil && !r.Ended {
			w.readErrors.Add(1)
		}
		if !yield(r) {
			return
		}
	}
}

// Totals are a Watcher's own figures.
type Totals struct {
	Running, Kept int
	Seen          uint64 // VMs watched since the beginning
	NotWatched    uint64 // for want of room
	PassedOver    uint64 // VMs that the filter does not take
	Forgotten     uint64 // ended VMs that were not kept as long as they should be, for want of room
	MaxVMs        int
	ReadErrors    uint64
	NetworkErrors uint64 // VMs whose network could not be watched
}

// Totals counts.
func (w *Watcher) Totals() Totals {
	t := Totals{NotWatched: w.src.Beyond(), MaxVMs: w.opt.MaxVMs, ReadErrors: w.readErrors.Load(), NetworkErrors: w.networkErrors.Load()}
	for _, vm := range w.list() {
		if vm.isEnded() {
			t.Kept++
		} else {
			t.Running++
		}
	}
	w.mu.Lock()
	t.Seen, t.PassedOver, t.Forgotten = w.seen, w.passed, w.forgotten
	w.mu.Unlock()
	return t
}

// Unmet says, in words for a person, which parts of the filter have nothing to
// take now, and that there were VMs which it did not take.
func (w *Watcher) Unmet() []string {
	f := w.opt.Filter
	var out []string
	for _, cg := range f.Cgroups {
		if cg.missing() {
			out = append(out, "no such cgroup (yet): "+cg.path)
		}
	}
	w.mu.Lock()
	taken := make(map[process]bool, len(w.vms))
	for _, vm := range w.vms {
		taken[vm.process] = true
	}
	passed, seen := w.passed, w.seen
	w.mu.Unlock()
	for _, want := range f.PIDs {
		switch {
		case taken[process{want.PID, want.Start}]:
		case !w.proc.alive(want.PID, want.Start):
			out = append(out, fmt.Sprintf("pid %d has ended", want.PID))
		default:
			out = append(out, fmt.Sprintf("pid %d has no VM", want.PID))
		}
	}
	// Of VMs that are silent it knows only where it has looked at all processes.
	if seen == 0 && passed > 0 && !f.onlyPIDs() {
		vms := fmt.Sprintf("%d VMs were seen", passed)
		if passed == 1 {
			vms = "1 VM was seen"
		}
		out = append(out, fmt.Sprintf("%s, none matches %s", vms, f.flags()))
	}
	return out
}
