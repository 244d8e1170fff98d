// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf"

	"github.com/ukprobe/ukprobe/bpf"
)

// Counts is what was counted for one guest. A count whose hook has not proven
// itself alive is absent, never zero.
type Counts struct {
	// Values by name, as in run.json: kvm_entries, kvm_exits,
	// kvm_userspace_exits, pio_in, pio_out, cpuid, halts, frames_out,
	// bytes_out, frames_in, bytes_in, tap_frames_out, tap_frames_in.
	Values map[string]uint64
	// Lost by cause; a cause that did not occur is absent.
	Lost map[string]uint64
	// Ports counts port accesses.
	Ports map[Port]uint64
	// ExitCounts counts exits by reason, those included that no entry followed.
	ExitCounts map[string]uint64
	// Exits holds, per reason, how long the exits took that an entry followed:
	// from the exit to that entry, sleep included (for hlt it is the guest's own
	// idle time).
	Exits map[string]Histogram
	// Parts says, per reason, what the sum of Exits consists of besides KVM.
	Parts map[string]Parts
	// GuestTime holds, per reason, how long the guest had run when it exited: from
	// the entry to the exit.
	GuestTime map[string]Histogram
	// Spans holds SpanHalted, SpanWaited and SpanPopulate, as far as their hooks
	// are attached for this guest and alive.
	Spans map[string]Histogram
	// UserExits holds, per KVM_EXIT reason, the round trips through the VMM:
	// from the userspace exit to the next KVM_RUN. Rare reasons are together in
	// "other".
	UserExits map[string]Histogram
	// UserExitCounts counts exits to the VMM by reason.
	UserExitCounts map[string]uint64
	// Network is what was seen on the guest's device: empty without
	// [Target].Flows.
	Network Network
	// ISA names the vendor whose reasons those are; "" where KVM only emulates.
	ISA ISA
}

// Parts are shares of the handling time of exits. What is left of the sum is
// KVM's own. All are zero where the hooks that tell them are not attached (see
// [Target.Full]).
type Parts struct {
	VMM    time.Duration // in user space: from the userspace exit to the next KVM_RUN
	Halted time.Duration // blocked, as the guest asked for
	Waited time.Duration // in the kernel, could run, and did not: another thread had the CPU
}

// Names of Counts.Spans.
const (
	// SpanHalted is how long vCPUs were halted: from the HLT to the wake-up,
	// halt polling included, waiting for a CPU afterwards not.
	SpanHalted = "halted"
	// SpanWaited is how long vCPU threads waited for a CPU, each time that they
	// could run and did not at once.
	SpanWaited = "waited"
	// SpanPopulate is when KVM gave the guest memory: page faults on memory that
	// was not there, by the time since the guest was first seen (its VMM's exec,
	// if ukprobe started it). Counted, not bytes: a fault gives 4 KiB or 2 MiB.
	SpanPopulate = "populate"
)

// spans lists them in the order of the kernel side, with the hook that each
// depends on.
var spans = []struct{ name, hook string }{
	bpf.KVMSpanSPAN_HALTED:   {SpanHalted, HookWakeup},
	bpf.KVMSpanSPAN_WAITED:   {SpanWaited, HookSched},
	bpf.KVMSpanSPAN_POPULATE: {SpanPopulate, HookFault},
}

// Port is an I/O port and a direction, seen from the guest.
type Port struct {
	Number uint16
	Out    bool
}

// counted lists the counters with the hook that each depends on.
var counted = []struct {
	name string
	c    bpf.KVMCounter
	hook bpf.KVMHook
}{
	{"kvm_userspace_exits", bpf.KVMCounterCOUNT_USER_EXIT, bpf.KVMHookHOOK_USER_EXIT},
	{"pio_in", bpf.KVMCounterCOUNT_PIO_IN, bpf.KVMHookHOOK_PIO},
	{"pio_out", bpf.KVMCounterCOUNT_PIO_OUT, bpf.KVMHookHOOK_PIO},
	{"cpuid", bpf.KVMCounterCOUNT_CPUID, bpf.KVMHookHOOK_CPUID},
	{"halts", bpf.KVMCounterCOUNT_HALT, bpf.KVMHookHOOK_HALT},
	{"page_faults", bpf.KVMCounterCOUNT_PAGE_FAULT, bpf.KVMHookHOOK_PAGE_FAULT},
	{"tap_frames_out", bpf.KVMCounterCOUNT_TAP_OUT, bpf.KVMHookHOOK_TAP_OUT},
	{"tap_frames_in", bpf.KVMCounterCOUNT_TAP_IN, bpf.KVMHookHOOK_TAP_IN},
	{"frames_out", bpf.KVMCounterCOUNT_FRAMES_OUT, bpf.KVMHookHOOK_TC_OUT},
	{"bytes_out", bpf.KVMCounterCOUNT_BYTES_OUT, bpf.KVMHookHOOK_TC_OUT},
	{"frames_in", bpf.KVMCounterCOUNT_FRAMES_IN, bpf.KVMHookHOOK_TC_IN},
	{"bytes_in", bpf.KVMCounterCOUNT_BYTES_IN, bpf.KVMHookHOOK_TC_IN},
}

var losses = map[string]bpf.KVMCounter{
	"ringbuf":       bpf.KVMCounterLOST_RINGBUF,
	"console_bytes": bpf.KVMCounterLOST_CONSOLE,
	"pio_ports":     bpf.KVMCounterLOST_PIO_PORTS,
	"vcpus":         bpf.KVMCounterLOST_VCPUS,
}

// Losses of the whole probe while a guest was watched: runs of programs that the
// kernel left out, and records that could not be read.
const (
	lostRuns    = "hook_runs"
	lostRecords = "bad_records"
)

// applies tells whether a hook can have counted for this guest at all, so that a
// zero would mean something: the network's need a device of their kind, KVM's a
// guest that has run.
func (w *Watch) applies(h bpf.KVMHook, s *bpf.KVMSlot) bool {
	dev := w.device()
	switch h {
	case bpf.KVMHookHOOK_TC_IN, bpf.KVMHookHOOK_TC_OUT:
		return dev != nil
	case bpf.KVMHookHOOK_TAP_IN, bpf.KVMHookHOOK_TAP_OUT:
		// The function rungs are the tun driver's, the others see every device.
		rung := w.rungOf(hookName(h))
		return dev != nil && (dev.tap || rung == TPBTF || rung == RawTP)
	}
	if st := w.p.state(hookName(h)); st != nil && st.hook.onDemand && !w.holds(st.hook.name) {
		return false // it was not attached for this guest
	}
	ran := s.Vcpus > 0 || s.Marks[bpf.KVMMarkKindMARK_FIRST_RUN].Ns != 0 || s.Marks[bpf.KVMMarkKindMARK_GUEST_ENTRY].Ns != 0
	return w.target.KVM && ran
}

// Counts reads the guest's counters.
func (w *Watch) Counts() (Counts, error) {
	c := Counts{Values: map[string]uint64{}, Lost: map[string]uint64{}, ISA: w.p.isa}
	if !HasVirtualisation() && w.p.hits(bpf.KVMHookHOOK_KVM_EXIT) == 0 {
		c.ISA = "" // KVM emulates: no vendor's exits here
	}
	slot, err := w.state()
	if err != nil {
		return c, err
	}
	var perCPU []bpf.KVMCounters
	if err := w.p.loader.maps[bpf.KVMMapCounts].Lookup(w.slot, &perCPU); err != nil {
		return c, fmt.Errorf("read BPF map counts: %w", err)
	}
	var sum bpf.KVMCounters
	for _, one := range perCPU {
		for i, n := range one.N {
			sum.N[i] += n
		}
	}
	hits := w.p.allHits()
	alive := func(h bpf.KVMHook) bool { return w.applies(h, &slot) && hits[h] > 0 }
	for _, v := range counted {
		if alive(v.hook) {
			c.Values[v.name] = sum.N[v.c]
		}
	}
	for name, i := range losses {
		if sum.N[i] > 0 {
			c.Lost[name] = sum.N[i]
		}
	}
	w.mu.Lock()
	if over := w.over + w.console.Beyond; over > 0 {
		c.Lost[LostBeyondBound] = over
	}
	w.mu.Unlock()
	if n := w.p.badRecords.Load(); n > 0 {
		c.Lost[lostRecords] = n
	}
	if n := w.p.missed(); n > w.missed {
		c.Lost[lostRuns] = n - w.missed
	}
	entries := sum.N[bpf.KVMCounterCOUNT_ENTRY]
	err = errors.Join(w.readPorts(&c), w.readExits(&c, &entries), w.readUserExits(&c), w.readSpans(&c, alive), w.readNetwork(&c))
	if alive(bpf.KVMHookHOOK_ENTRY) {
		c.Values["kvm_entries"] = entries
	}
	if alive(bpf.KVMHookHOOK_KVM_EXIT) {
		c.Values["kvm_exits"] = 0
		for _, n := range c.ExitCounts {
			c.Values["kvm_exits"] += n
		}
	}
	return c, err
}

func (w *Watch) readPorts(c *Counts) error {
	c.Ports = map[Port]uint64{}
	return w.p.eachPort(func(key bpf.KVMPioKey, n uint64) {
		if key.Slot == w.slot {
			c.Ports[Port{Number: key.Port, Out: key.Out != 0}] += n
		}
	})
}

// eachPort goes through the table of ports of all guests, in few system calls: with
// hundreds of guests it has ten thousands of rows.
func (p *Probe) eachPort(do func(key bpf.KVMPioKey, n uint64)) error {
	const batch = 4096
	m := p.loader.maps[bpf.KVMMapPorts]
	keys, values := make([]bpf.KVMPioKey, batch), make([]uint64, batch)
	var cursor ebpf.MapBatchCursor
	for {
		n, err := m.BatchLookup(&cursor, keys, values, nil)
		for i := range n {
			do(keys[i], values[i])
		}
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			return nil // that was the last
		}
		if err != nil {
			return fmt.Errorf("read BPF map ports: %w", err)
		}
	}
}

// holds reports whether an on-demand hook was attached for this guest.
func (w *Watch) holds(hook string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, ok := w.release[hook]
	return ok
}

// readExits reads what is kept by exit reason. entries grows by those that ended
// an exit: they are counted by its histogram.
func (w *Watch) readExits(c *Counts, entries *uint64) error {
	var errs []error
	c.Exits, c.GuestTime = map[string]Histogram{}, map[string]Histogram{}
	c.ExitCounts, c.Parts = map[string]uint64{}, map[string]Parts{}
	others := uint64(0) // of row 0, that have a name nonetheless
	for class := exitRows; class < exitClasses; class++ {
		name := exitReasonName(w.p.isa, class)
		before := c.ExitCounts[name]
		errs = append(errs, w.p.addClass(c.ExitCounts, name, bpf.KVMMapExits, w.slot*exitClasses+uint32(class)))
		others += c.ExitCounts[name] - before
	}
	for row := range exitRows {
		name, key := exitReasonName(w.p.isa, row), w.slot*exitRows+uint32(row)
		h, n, err := w.p.readHist(bpf.KVMMapExitHist, key)
		*entries += n
		guest, n, guestErr := w.p.readHist(bpf.KVMMapGuestHist, key)
		parts, partsErr := w.p.readParts(key)
		errs = append(errs, err, guestErr, partsErr)
		if row == 0 {
			n -= min(n, others)
		}
		if n > 0 {
			c.ExitCounts[name] += n
		}
		if h.Count > 0 {
			c.Exits[name], c.Parts[name] = h, parts
		}
		if guest.Count > 0 {
			c.GuestTime[name] = guest
		}
	}
	return errors.Join(errs...)
}

func (p *Probe) readParts(key uint32) (Parts, error) {
	var perCPU []bpf.KVMParts
	if err := p.loader.maps[bpf.KVMMapExitParts].Lookup(key, &perCPU); err != nil {
		return Parts{}, fmt.Errorf("read BPF map %s: %w", bpf.KVMMapExitParts, err)
	}
	var sum Parts
	for _, one := range perCPU {
		sum.VMM += time.Duration(one.Vmm)
		sum.Halted += time.Duration(one.Halted)
		sum.Waited += time.Duration(one.Waited)
	}
	return sum, nil
}

func (w *Watch) readUserExits(c *Counts) error {
	var errs []error
	c.UserExits, c.UserExitCounts = map[string]Histogram{}, map[string]uint64{}
	for row := range userExitRows {
		h, _, err := w.p.readHist(bpf.KVMMapUserExitHist, w.slot*userExitRows+uint32(row))
		errs = append(errs, err)
		if h.Count > 0 {
			c.UserExits[userExitRowName(row)] = h
		}
	}
	for r := range userExitClasses {
		errs = append(errs, w.p.addClass(c.UserExitCounts, UserExitName(r), bpf.KVMMapUserExits, w.slot*userExitClasses+uint32(r)))
	}
	return errors.Join(errs...)
}

func (w *Watch) readSpans(c *Counts, alive func(bpf.KVMHook) bool) error {
	var errs []error
	c.Spans = map[string]Histogram{}
	for i, span := range spans {
		h, _, err := w.p.readHist(bpf.KVMMapSpanHist, w.slot*uint32(len(spans))+uint32(i))
		errs = append(errs, err)
		if s := w.p.state(span.hook); s != nil && alive(s.hook.id) {
			c.Spans[span.name] = h
		}
	}
	return errors.Join(errs...)
}

// addClass adds a per-CPU counter to counts under a name, unless it is zero.
func (p *Probe) addClass(counts map[string]uint64, name, table string, key uint32) error {
	var perCPU []uint64
	if err := p.loader.maps[table].Lookup(key, &perCPU); err != nil {
		return fmt.Errorf("read BPF map %s: %w", table, err)
	}
	for _, n := range perCPU {
		if n > 0 {
			counts[name] += n
		}
	}
	return nil
}

// clearSlot empties everything that a slot's last tenant left.
func (p *Probe) clearSlot(slot uint32) error {
	errs := []error{p.clearPorts(slot)}
	for _, table := range []struct {
		name string
		rows uint32
	}{
		{bpf.KVMMapCounts, 1}, {bpf.KVMMapExits, exitClasses}, {bpf.KVMMapExitHist, exitRows}, {bpf.KVMMapGuestHist, exitRows},
		{bpf.KVMMapExitParts, exitRows}, {bpf.KVMMapUserExits, userExitClasses}, {bpf.KVMMapUserExitHist, userExitRows},
		{bpf.KVMMapSpanHist, uint32(len(spans))},
	} {
		for i := range table.rows {
			errs = append(errs, p.updateMap(table.name, slot*table.rows+i, [][]byte{})) // CPUs that are not given become zero
		}
	}
	p.mu.Lock()
	p.told[slot] = 0
	_, err := p.taken.WriteAt(make([]byte, 8), int64(slot)*8)
	p.mu.Unlock()
	return errors.Join(append(errs, err, p.updateMap(bpf.KVMMapSlots, slot, &bpf.KVMSlot{}))...)
}

func (p *Probe) clearPorts(slot uint32) error {
	var stale []bpf.KVMPioKey
	errs := []error{p.eachPort(func(key bpf.KVMPioKey, _ uint64) {
		if key.Slot == slot {
			stale = append(stale, key)
		}
	})}
	for _, k := range stale {
		errs = append(errs, p.deleteKey(bpf.KVMMapPorts, &k))
	}
	return errors.Join(errs...)
}

// clearVCPUs frees the states of a slot's threads.
func (p *Probe) clearVCPUs(slot uint32) error {
	var tid, index uint32
	stale := map[uint32]uint32{}
	it := p.loader.maps[bpf.KVMMapThreads].Iterate()
	for it.Next(&tid, &index) {
		stale[tid] = index
	}
	errs := []error{it.Err()}
	for tid, index := range stale {
		var v bpf.KVMVcpuState
		if err := p.loader.maps[bpf.KVMMapVcpus].Lookup(index, &v); err != nil || v.Slot != slot || v.Tid != tid {
			continue
		}
		// Who takes the thread out of the table frees its state: the programs do so
		// at the thread's end.
		err := p.loader.maps[bpf.KVMMapThreads].Delete(tid)
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			continue
		}
		if err == nil {
			err = errors.Join(p.loader.maps[bpf.KVMMapVcpus].Put(index, &bpf.KVMVcpuState{}),
				p.loader.maps[bpf.KVMMapFreeVcpus].Put(nil, index))
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("free the state of thread %d: %w", tid, err))
		}
	}
	return errors.Join(errs...)
}
