// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"

	"github.com/ukprobe/ukprobe/bpf"
)

// Target says what to watch.
type Target struct {
	// CgroupID is the cgroup v2 id in which the VMM will be started (its
	// inode number). Nothing outside that cgroup is counted.
	CgroupID uint64
	// ConsolePort is the base port of the guest's UART, e.g. 0x3f8; 0 for none.
	ConsolePort uint16
	// ConsoleWrite takes the console from the write(2)s to descriptor
	// ConsoleFD: for TCG and processes, whose console is no port.
	ConsoleWrite bool
	ConsoleFD    int
	// IdlePort is the port to which the guest writes when it waits for something to
	// happen, for guests that never halt; 0 for none.
	IdlePort uint16
	// Image is where the guest runs what, at most eight segments; none:
	// firmware_end is missing.
	Image []Segment
	// NoFirmware says that the VMM starts the image itself: the guest's own time
	// begins at guest_entry.
	NoFirmware bool
	// Ready is the console line that makes the guest ready; nil if ready is
	// the first response on the wire.
	Ready *regexp.Regexp
	// ServicePort is the TCP port of the guest's service; 0 for none.
	ServicePort uint16
	// FromExec leaves out what passes the guest's network device before vmm_exec, where
	// that can be seen: a client that asks already is no part of the guest.
	FromExec bool
	// Flows measures how long answers take on the guest's network device, if one
	// is watched: see [Watch.Network].
	Flows bool
	// MaxFlows is how many requests and connections can be open there at one time; 0 for
	// 2048. Each takes 128 bytes of the kernel's memory. What finds no room is counted as
	// lost.
	MaxFlows int
	// BootTimer looks for the guest's write to Firecracker's boot timer.
	BootTimer bool
	// KVM says whether the guest runs under KVM at all, for the reasons given
	// with missing events.
	KVM bool
	// Container says that a container engine starts it, in a group below the cgroup
	// (see Options.GroupLevel): what counts as its exec is that of its first process
	// in a pid namespace of its own, and the runtime's exec is looked for.
	Container bool
	// Full attaches, while this guest is watched, also the hooks that tell no
	// event but where time and memory go: halted time, waiting for a CPU, page
	// faults, and the VMM's share of exits where that takes the syscall hook.
	Full bool
}

// Watch collects what happens in one cgroup. It is used by one goroutine; its
// channels may be read from others.
type Watch struct {
	p       *Probe
	slot    uint32
	target  Target
	startNS int64

	progress chan struct{}
	clock    clockWatch

	mu      sync.Mutex
	release map[string]func() error // of on-demand hooks
	missed  uint64                  // of all hooks, when the watch began
	dev     *Device
	disarm  func() error // takes the target out of its map
	closed  bool
	console Console
	partial Line // of a console that comes by write(2)
	halts   []halt
	over    uint64 // halts beyond maxHalts
}

// halt is when a guest began to wait, and the hook that told it.
type halt struct {
	ns   int64
	hook string
}

// maxHalts bounds, as [MaxLines] does, what one guest can make ukprobe remember.
const maxHalts = 65536

// Watch arms the hooks for a target. Start the VMM after it returns, inside the
// target's cgroup; then nothing is missed.
func (p *Probe) Watch(t Target) (*Watch, error) {
	if len(t.Image) > len(bpf.KVMSlot{}.Image) {
		return nil, fmt.Errorf("watch: %d image segments: at most %d", len(t.Image), len(bpf.KVMSlot{}.Image))
	}
	w, err := p.newWatch(t)
	if err != nil {
		return nil, err
	}
	if err := w.arm(bpf.KVMMapTargets, t.CgroupID, 0); err != nil {
		if errors.Is(err, ebpf.ErrKeyExist) {
			err = fmt.Errorf("watch cgroup %d: it is already watched", t.CgroupID)
		}
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

// newWatch takes a free slot for a target and readies it.
func (p *Probe) newWatch(t Target) (*Watch, error) {
	var slot uint32
	if err := p.loader.maps[bpf.KVMMapFreeSlots].LookupAndDelete(nil, &slot); err != nil {
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			return nil, fmt.Errorf("watch: all %d slots are taken", len(p.watches))
		}
		return nil, fmt.Errorf("watch: take a slot: %w", err)
	}
	w := p.tenant(slot, t)
	if err := w.prepare(); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

// tenant makes the watch of a slot that is taken.
func (p *Probe) tenant(slot uint32, t Target) *Watch {
	w := &Watch{p: p, slot: slot, target: t, missed: p.missed(), startNS: now(), progress: make(chan struct{}, 1),
		release: map[string]func() error{}}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watches[slot] = w
	return w
}

// prepare empties the slot, fills in what is looked for and attaches what that
// takes.
func (w *Watch) prepare() error {
	if err := w.p.clearSlot(w.slot); err != nil {
		return err
	}
	var s bpf.KVMSlot
	for i, seg := range w.target.Image {
		s.Image[i] = bpf.KVMSegment{Lo: seg.Lo, Hi: seg.Hi, Mark: uint32(stageMarks[seg.Stage]), Last: number(w.target.last(seg.Stage))}
		s.Wanted = 1
	}
	if err := w.p.updateMap(bpf.KVMMapSlots, w.slot, &s); err != nil {
		return err
	}
	return w.demand()
}

// demand attaches the on-demand hooks that this guest needs.
func (w *Watch) demand() error {
	for _, name := range w.demanded() {
		release, err := w.p.demand(name)
		if err != nil {
			return err
		}
		w.mu.Lock()
		closed := w.closed
		w.release[name] = release
		w.mu.Unlock()
		if closed { // meanwhile: nobody else gives it back
			return release()
		}
	}
	return nil
}

// arm makes the programs count what belongs to a key: a cgroup, or a process, which
// has the time that tells it from others.
func (w *Watch) arm(table string, key any, born uint64) error {
	t := bpf.KVMTarget{Slot: w.slot, ConsolePort: w.target.ConsolePort, IdlePort: w.target.IdlePort, BornNs: born}
	if w.target.ConsoleWrite {
		t.ConsoleFd = uint16(w.target.ConsoleFD) + 1
	}
	if w.target.BootTimer {
		t.Flags |= bpfTargetBootTimer
	}
	if w.target.Container {
		t.Flags |= bpfTargetContainer
	}
	if err := w.p.addKey(table, key, &t); err != nil {
		return err
	}
	w.disarm = func() error { return w.p.deleteKey(table, key) }
	if w.target.Container {
		w.p.countContainers(+1)
		w.disarm = func() error {
			w.p.countContainers(-1)
			return errors.Join(w.p.deleteKey(table, key), w.p.newGeneration())
		}
	}
	if tgid, ok := key.(uint32); ok {
		w.disarm = func() error { return w.p.deleteVM(tgid, born) }
	}
	return w.p.newGeneration()
}

// bpfTargetBootTimer and bpfTargetContainer are TARGET_BOOT_TIMER and
// TARGET_CONTAINER of bpf/event.h.
const (
	bpfTargetBootTimer = 1
	bpfTargetContainer = 4
)

// countContainers makes the programs remember execs while containers are watched.
// It takes effect with the next generation.
func (p *Probe) countContainers(change int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.config.Containers = uint32(int(p.config.Containers) + change)
}

// newGeneration makes the programs ask again who is watched.
func (p *Probe) newGeneration() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.config.Generation++
	return p.updateMap(bpf.KVMMapConfigs, uint32(bpfConfigUser), &p.config)
}

// bpfConfigKernel and bpfConfigUser are CONFIG_KERNEL and CONFIG_USER of bpf/event.h.
const (
	bpfConfigKernel = 0
	bpfConfigUser   = 1
)

// demanded lists the on-demand hooks that this guest needs.
func (w *Watch) demanded() []string {
	var out []string
	if w.needsSyscalls() {
		out = append(out, HookSyscall)
	}
	if !w.target.KVM {
		return out
	}
	if s := w.p.state(HookKVMExit); len(w.target.Image) > 0 && w.p.isa == VMX && s != nil && s.rung != Tracepoint {
		out = append(out, HookRIP)
	}
	if !HasVirtualisation() && len(w.target.Image) > 0 {
		out = append(out, HookInsn)
	}
	if w.target.BootTimer {
		out = append(out, HookMMIO)
	}
	if w.target.Full {
		out = append(out, HookWakeup, HookFault, HookSched)
	}
	return out
}

// needsSyscalls: for a console by write(2), or for KVM's ioctls where the kernel
// has neither kprobes nor fentry.
func (w *Watch) needsSyscalls() bool {
	if w.target.ConsoleWrite {
		return true
	}
	s := w.p.state(HookVMIoctl)
	return w.target.KVM && (s == nil || s.rung == "")
}

// served tells which on-demand hooks have told all they can once a mark has come:
// they cost every system call, every exit or every instruction of the host.
func (w *Watch) served(kind bpf.KVMMarkKind) []string {
	last := slices.ContainsFunc(w.target.Image, func(s Segment) bool { return w.target.last(s.Stage) && stageMarks[s.Stage] == kind })
	switch {
	case last:
		return []string{HookRIP, HookInsn}
	case kind == bpf.KVMMarkKindMARK_FIRST_RUN && !w.target.ConsoleWrite && !w.target.Full:
		return []string{HookSyscall}
	}
	return nil
}

// releaseOnly detaches some of them.
func (w *Watch) releaseOnly(names []string) {
	for _, name := range names {
		w.mu.Lock()
		release := w.release[name]
		w.mu.Unlock()
		if release != nil {
			_ = release()
		}
	}
}

func (w *Watch) releaseAll() error {
	w.mu.Lock()
	all := slices.Collect(maps.Values(w.release))
	w.mu.Unlock()
	var errs []error
	for _, release := range all {
		errs = append(errs, release())
	}
	return errors.Join(errs...)
}

// Close disarms the hooks for this target and frees its slot.
func (w *Watch) Close() error {
	w.mu.Lock()
	disarm, closed := w.disarm, w.closed
	w.disarm, w.closed = nil, true
	w.mu.Unlock()
	if closed {
		return nil
	}
	errs := []error{w.releaseAll(), w.UnwatchClock()}
	if disarm != nil {
		errs = append(errs, disarm())
	}
	if dev := w.device(); dev != nil {
		errs = append(errs, dev.Close())
	}
	w.p.mu.Lock()
	w.p.watches[w.slot] = nil
	w.p.mu.Unlock()
	// Threads that live on are no longer this slot's; then it is clean for the next.
	errs = append(errs, w.p.clearVCPUs(w.slot), w.p.clearSlot(w.slot))
	if err := w.p.loader.maps[bpf.KVMMapFreeSlots].Put(nil, w.slot); err != nil {
		errs = append(errs, fmt.Errorf("give back slot %d: %w", w.slot, err))
	}
	return errors.Join(errs...)
}

// device is the network device, which a collector asks for while it is attached.
func (w *Watch) device() *Device {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dev
}

// Progress receives a token, without ever blocking the probe, whenever something
// arrived. It is for one reader.
func (w *Watch) Progress() <-chan struct{} { return w.progress }

// Lines returns the console lines so far, the unfinished last one included.
func (w *Watch) Lines() []Line {
	w.mu.Lock()
	out := append([]Line(nil), w.console.Lines...)
	w.mu.Unlock()
	if l, ok := w.unfinished(); ok {
		out = append(out, l)
	}
	return out
}

// unfinished is the line that has no end yet.
func (w *Watch) unfinished() (Line, bool) {
	w.mu.Lock()
	partial := w.partial
	w.mu.Unlock()
	if partial.Text != "" {
		return partial, true
	}
	s, err := w.state()
	if err != nil || s.Line.Len == 0 {
		return Line{}, false
	}
	n := min(int(s.Line.Len), len(s.Line.Data))
	return Line{FirstNS: int64(s.Line.FirstNs), LastNS: int64(s.Line.LastNs),
		Text: string(s.Line.Data[:n]), Hook: HookPIO, Partial: true}, true
}

// state reads the slot.
func (w *Watch) state() (bpf.KVMSlot, error) {
	var s bpf.KVMSlot
	if err := w.p.loader.maps[bpf.KVMMapSlots].Lookup(w.slot, &s); err != nil {
		return s, fmt.Errorf("read BPF map slots: %w", err)
	}
	return s, nil
}

// read takes records from the ring buffer until the reader is closed.
func (p *Probe) read() {
	defer close(p.done)
	var rec ringbuf.Record
	for {
		if err := p.reader.ReadInto(&rec); err != nil {
			if errors.Is(err, ringbuf.ErrFlushed) {
				select {
				case p.flushed <- struct{}{}:
				default:
				}
				continue
			}
			if !errors.Is(err, os.ErrClosed) {
				p.badRecords.Add(1) // and the reader is of no more use
			}
			return
		}
		r, err := decode(rec.RawSample)
		if err != nil {
			p.badRecords.Add(1)
			continue
		}
		p.dispatch(r)
	}
}

// Drain returns when everything that the kernel had to tell by now has been taken
// in, or after a second.
func (w *Watch) Drain() {
	w.p.drain.Lock()
	defer w.p.drain.Unlock()
	select {
	case <-w.p.flushed: // of an earlier drain that gave up
	default:
	}
	if err := w.p.reader.Flush(); err != nil {
		return // closed
	}
	select {
	case <-w.p.flushed:
	case <-w.p.done:
	case <-time.After(time.Second):
	}
}

// recordHeader is RECORD_HEADER of bpf/event.h, in bytes.
const recordHeader = 32

// decode reads one record; short and oversized ones are errors.
func decode(raw []byte) (bpf.KVMRecord, error) {
	var r bpf.KVMRecord
	if len(raw) < recordHeader {
		return r, fmt.Errorf("record of %d bytes: at least %d", len(raw), recordHeader)
	}
	r.Ns = binary.NativeEndian.Uint64(raw)
	r.LastNs = binary.NativeEndian.Uint64(raw[8:])
	r.Kind = binary.NativeEndian.Uint32(raw[16:])
	r.Slot = binary.NativeEndian.Uint32(raw[20:])
	r.Hook = binary.NativeEndian.Uint32(raw[24:])
	r.Arg = binary.NativeEndian.Uint32(raw[28:])
	n := copy(r.Data[:], raw[recordHeader:])
	switch bpf.KVMRecordKind(r.Kind) {
	case bpf.KVMRecordKindRECORD_LINE, bpf.KVMRecordKindRECORD_WRITE:
		if int(r.Arg) > n {
			return r, fmt.Errorf("record claims %d bytes of text and carries %d", r.Arg, n)
		}
	}
	return r, nil
}

func (p *Probe) dispatch(r bpf.KVMRecord) {
	switch bpf.KVMRecordKind(r.Kind) {
	case bpf.KVMRecordKindRECORD_VM:
		p.arrived(r.Arg, r.Slot, r.Ns)
		return
	case bpf.KVMRecordKindRECORD_GONE:
		p.left(r.Arg, r.Slot, r.LastNs)
		return
	}
	w := p.tookOne(r.Slot)
	if w == nil || int64(r.Ns) < w.startNS { // of the slot's last tenant
		return
	}
	w.take(r)
	select {
	case w.progress <- struct{}{}:
	default:
	}
}

// tookOne lets the programs know that one more of a slot's records was taken, and
// returns the slot's watch.
func (p *Probe) tookOne(slot uint32) *Watch {
	p.mu.Lock()
	defer p.mu.Unlock()
	if int(slot) >= len(p.watches) {
		return nil
	}
	p.told[slot]++
	// Cannot fail: the slot is one of the map's.
	_, _ = p.taken.WriteAt(binary.NativeEndian.AppendUint64(nil, p.told[slot]), int64(slot)*8)
	return p.watches[slot]
}

// take stores one record.
func (w *Watch) take(r bpf.KVMRecord) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch bpf.KVMRecordKind(r.Kind) {
	case bpf.KVMRecordKindRECORD_LINE:
		w.console.Add(Line{FirstNS: int64(r.Ns), LastNS: int64(r.LastNs), Text: string(r.Data[:r.Arg]), Hook: HookPIO}, w.target.Ready)
	case bpf.KVMRecordKindRECORD_WRITE:
		for _, l := range w.partial.feed(int64(r.Ns), r.Data[:r.Arg]) {
			w.console.Add(l, w.target.Ready)
		}
	case bpf.KVMRecordKindRECORD_HALT:
		if w.target.CgroupID == 0 { // a VM that was found: nobody asks when it went idle
			return
		}
		if len(w.halts) < maxHalts {
			w.halts = append(w.halts, halt{int64(r.Ns), hookName(bpf.KVMHook(r.Hook))})
		} else {
			w.over++
		}
	case bpf.KVMRecordKindRECORD_MARK:
		if names := w.served(bpf.KVMMarkKind(r.Arg)); len(names) > 0 {
			go w.releaseOnly(names)
		}
	}
}

// now is CLOCK_MONOTONIC in nanoseconds, as bpf_ktime_get_ns.
func now() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0 // cannot happen with a clock that every Linux has
	}
	return ts.Nano()
}
