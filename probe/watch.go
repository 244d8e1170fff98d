// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"regexp"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"

	"github.com/ukprobe/ukprobe/bpf"
)

// Segment is a span of guest addresses, [Lo, Hi), that belongs to the image.
type Segment struct{ Lo, Hi uint64 }

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
	Image        []Segment // load segments, at most four; none: firmware_end is missing
	// Ready is the console line that makes the guest ready; nil if ready is
	// the first response on the wire.
	Ready *regexp.Regexp
	// ServicePort is the TCP port of the guest's service; 0 for none.
	ServicePort uint16
	// KVM says whether the guest runs under KVM at all, for the reasons given
	// with missing events.
	KVM bool
	// Full demands every on-demand hook for this guest, whatever it costs.
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

	mu      sync.Mutex
	release []func() error // of on-demand hooks
	missed  uint64         // of all hooks, when the watch began
	dev     *Device
	armed   bool // the target is in its map
	lines   []Line
	ready   *Line // the first that matched the ready pattern
	halts   []int64
	partial Line // of a console that comes by write(2)
	over    uint64
}

// maxLines and maxHalts bound what one guest can make ukprobe remember.
const (
	maxLines = 4096
	maxHalts = 65536
)

// Watch arms the hooks for a target. Start the VMM after it returns, inside the
// target's cgroup; then nothing is missed.
func (p *Probe) Watch(t Target) (*Watch, error) {
	if len(t.Image) > len(bpf.KVMSlot{}.Image) {
		return nil, fmt.Errorf("watch: %d image segments: at most %d", len(t.Image), len(bpf.KVMSlot{}.Image))
	}
	w := &Watch{p: p, target: t, missed: p.missed(), progress: make(chan struct{}, 1)}
	if err := p.takeSlot(w); err != nil {
		return nil, err
	}
	if err := w.arm(); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

func (p *Probe) takeSlot(w *Watch) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.watches {
		if p.watches[i] == nil {
			p.watches[i] = w
			w.slot, w.startNS = uint32(i), now()
			return nil
		}
	}
	return fmt.Errorf("watch: all %d slots are taken", len(p.watches))
}

func (w *Watch) arm() error {
	if err := w.p.clearSlot(w.slot); err != nil {
		return err
	}
	var s bpf.KVMSlot
	for i, seg := range w.target.Image {
		s.Image[i] = bpf.KVMSegment{Lo: seg.Lo, Hi: seg.Hi}
	}
	if err := w.p.updateMap(bpf.KVMMapSlots, w.slot, &s); err != nil {
		return err
	}
	for _, name := range w.demanded() {
		release, err := w.p.demand(name)
		if err != nil {
			return err
		}
		w.mu.Lock()
		w.release = append(w.release, release)
		w.mu.Unlock()
	}
	t := bpf.KVMTarget{Slot: w.slot, ConsolePort: w.target.ConsolePort}
	if w.target.ConsoleWrite {
		t.ConsoleFd = uint16(w.target.ConsoleFD) + 1
	}
	if err := w.p.addKey(bpf.KVMMapTargets, w.target.CgroupID, &t); err != nil {
		if errors.Is(err, ebpf.ErrKeyExist) {
			return fmt.Errorf("watch cgroup %d: it is already watched", w.target.CgroupID)
		}
		return err
	}
	w.armed = true
	return nil
}

// demanded lists the on-demand hooks that this guest needs.
func (w *Watch) demanded() []string {
	var out []string
	if w.needsSyscalls() {
		out = append(out, HookSyscall)
	}
	if s := w.p.state(HookKVMExit); w.target.KVM && len(w.target.Image) > 0 && w.p.isa == VMX && s != nil && s.rung != Tracepoint {
		out = append(out, HookRIP)
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

// lastNeed is the mark after which the on-demand hooks of a guest under KVM have
// told all they can: they cost every system call, or every exit, of the host.
func (w *Watch) lastNeed() bpf.KVMMarkKind {
	if w.p.isa == VMX && len(w.target.Image) > 0 {
		return bpf.KVMMarkKindMARK_FIRMWARE_END
	}
	return bpf.KVMMarkKindMARK_FIRST_RUN
}

// releaseEarly detaches them, unless the console needs one.
func (w *Watch) releaseEarly() {
	if !w.target.ConsoleWrite {
		_ = w.releaseAll()
	}
}

func (w *Watch) releaseAll() error {
	w.mu.Lock()
	all := w.release
	w.mu.Unlock()
	var errs []error
	for _, release := range all {
		errs = append(errs, release())
	}
	return errors.Join(errs...)
}

// Close disarms the hooks for this target and frees its slot.
func (w *Watch) Close() error {
	errs := []error{w.releaseAll()}
	if w.armed {
		errs = append(errs, w.p.deleteKey(bpf.KVMMapTargets, w.target.CgroupID))
		w.armed = false
	}
	if dev := w.device(); dev != nil {
		errs = append(errs, dev.Close())
	}
	errs = append(errs, w.p.clearVCPUs(w.slot)) // threads that live on are no longer this slot's
	w.p.mu.Lock()
	w.p.watches[w.slot] = nil
	w.p.mu.Unlock()
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
	out := append([]Line(nil), w.lines...)
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
	p.mu.Lock()
	var w *Watch
	if int(r.Slot) < len(p.watches) {
		w = p.watches[r.Slot]
	}
	p.mu.Unlock()
	if w == nil || int64(r.Ns) < w.startNS { // of the slot's last tenant
		return
	}
	w.take(r)
	select {
	case w.progress <- struct{}{}:
	default:
	}
}

// take stores one record.
func (w *Watch) take(r bpf.KVMRecord) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch bpf.KVMRecordKind(r.Kind) {
	case bpf.KVMRecordKindRECORD_LINE:
		w.addLine(Line{FirstNS: int64(r.Ns), LastNS: int64(r.LastNs), Text: string(r.Data[:r.Arg]), Hook: HookPIO})
	case bpf.KVMRecordKindRECORD_WRITE:
		for _, l := range w.partial.feed(int64(r.Ns), r.Data[:r.Arg]) {
			w.addLine(l)
		}
	case bpf.KVMRecordKindRECORD_HALT:
		if len(w.halts) < maxHalts {
			w.halts = append(w.halts, int64(r.Ns))
		} else {
			w.over++
		}
	case bpf.KVMRecordKindRECORD_MARK:
		if bpf.KVMMarkKind(r.Arg) == w.lastNeed() {
			go w.releaseEarly()
		}
	}
}

// addLine keeps the first lines of a flood and counts the rest; the line that
// makes the guest ready is kept wherever it comes.
func (w *Watch) addLine(l Line) {
	matched := w.ready == nil && w.target.Ready != nil && w.target.Ready.MatchString(l.Clean())
	if matched {
		w.ready = &l
	}
	if len(w.lines) >= maxLines && !matched {
		w.over++
		return
	}
	w.lines = append(w.lines, l)
}

// now is CLOCK_MONOTONIC in nanoseconds, as bpf_ktime_get_ns.
func now() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0 // cannot happen with a clock that every Linux has
	}
	return ts.Nano()
}
