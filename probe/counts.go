// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"errors"
	"fmt"

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
	// UserExits holds, per KVM_EXIT reason, the round trips through the VMM:
	// from the userspace exit to the next KVM_RUN.
	UserExits map[string]Histogram
	// UserExitCounts counts exits to the VMM by reason.
	UserExitCounts map[string]uint64
	// Network is what was seen on the guest's device: empty without
	// Target.Flows.
	Network Network
	// ISA names the vendor whose reasons those are.
	ISA ISA
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
	{"kvm_entries", bpf.KVMCounterCOUNT_ENTRY, bpf.KVMHookHOOK_ENTRY},
	{"kvm_exits", bpf.KVMCounterCOUNT_EXIT, bpf.KVMHookHOOK_KVM_EXIT},
	{"kvm_userspace_exits", bpf.KVMCounterCOUNT_USER_EXIT, bpf.KVMHookHOOK_USER_EXIT},
	{"pio_in", bpf.KVMCounterCOUNT_PIO_IN, bpf.KVMHookHOOK_PIO},
	{"pio_out", bpf.KVMCounterCOUNT_PIO_OUT, bpf.KVMHookHOOK_PIO},
	{"cpuid", bpf.KVMCounterCOUNT_CPUID, bpf.KVMHookHOOK_CPUID},
	{"halts", bpf.KVMCounterCOUNT_HALT, bpf.KVMHookHOOK_HALT},
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

// lostBeyondBound is the loss that happens here and not in the kernel: records
// beyond maxLines and maxHalts.
const lostBeyondBound = "records_beyond_bound"

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
	ran := s.Marks[bpf.KVMMarkKindMARK_FIRST_RUN].Ns != 0 || s.Marks[bpf.KVMMarkKindMARK_GUEST_ENTRY].Ns != 0
	return w.target.KVM && ran
}

// Counts reads the guest's counters.
func (w *Watch) Counts() (Counts, error) {
	c := Counts{Values: map[string]uint64{}, Lost: map[string]uint64{}, ISA: w.p.isa}
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
	for _, v := range counted {
		if w.applies(v.hook, &slot) && w.p.hits(v.hook) > 0 {
			c.Values[v.name] = sum.N[v.c]
		}
	}
	for name, i := range losses {
		if sum.N[i] > 0 {
			c.Lost[name] = sum.N[i]
		}
	}
	w.mu.Lock()
	if w.over > 0 {
		c.Lost[lostBeyondBound] = w.over
	}
	w.mu.Unlock()
	if n := w.p.badRecords.Load(); n > 0 {
		c.Lost[lostRecords] = n
	}
	if n := w.p.missed(); n > w.missed {
		c.Lost[lostRuns] = n - w.missed
	}
	return c, errors.Join(w.readPorts(&c), w.readExits(&c), w.readNetwork(&c))
}

func (w *Watch) readPorts(c *Counts) error {
	c.Ports = map[Port]uint64{}
	var key bpf.KVMPioKey
	var n uint64
	it := w.p.loader.maps[bpf.KVMMapPorts].Iterate()
	for it.Next(&key, &n) {
		if key.Slot == w.slot {
			c.Ports[Port{Number: key.Port, Out: key.Out != 0}] = n
		}
	}
	if err := it.Err(); err != nil {
		return fmt.Errorf("read BPF map ports: %w", err)
	}
	return nil
}

func (w *Watch) readExits(c *Counts) error {
	var errs []error
	c.Exits, c.UserExits = map[string]Histogram{}, map[string]Histogram{}
	c.ExitCounts, c.UserExitCounts = map[string]uint64{}, map[string]uint64{}
	for class := range exitClasses {
		h, err := w.p.readHist(bpf.KVMMapExitHist, w.slot*exitClasses+uint32(class))
		errs = append(errs, err, w.p.addClass(c.ExitCounts, exitReasonName(w.p.isa, class), bpf.KVMMapExits, w.slot*exitClasses+uint32(class)))
		if h.Count > 0 {
			c.Exits[exitReasonName(w.p.isa, class)] = h
		}
	}
	for r := range userExitClasses {
		h, err := w.p.readHist(bpf.KVMMapUserExitHist, w.slot*userExitClasses+uint32(r))
		errs = append(errs, err)
		if h.Count > 0 {
			c.UserExits[UserExitName(r)] = h
		}
		errs = append(errs, w.p.addClass(c.UserExitCounts, UserExitName(r), bpf.KVMMapUserExits, w.slot*userExitClasses+uint32(r)))
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
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return fmt.Errorf("count possible CPUs: %w", err)
	}
	errs := []error{
		p.updateMap(bpf.KVMMapSlots, slot, &bpf.KVMSlot{}),
		p.updateMap(bpf.KVMMapCounts, slot, make([]bpf.KVMCounters, cpus)),
	}
	empty, none := make([]bpf.KVMHist, cpus), make([]uint64, cpus)
	for i := range uint32(exitClasses) {
		errs = append(errs,
			p.updateMap(bpf.KVMMapExitHist, slot*exitClasses+i, empty),
			p.updateMap(bpf.KVMMapExits, slot*exitClasses+i, none))
	}
	for i := range uint32(userExitClasses) {
		errs = append(errs,
			p.updateMap(bpf.KVMMapUserExitHist, slot*userExitClasses+i, empty),
			p.updateMap(bpf.KVMMapUserExits, slot*userExitClasses+i, none))
	}
	return errors.Join(append(errs, p.clearPorts(slot), p.clearVCPUs(slot))...)
}

func (p *Probe) clearPorts(slot uint32) error {
	var key bpf.KVMPioKey
	var n uint64
	var stale []bpf.KVMPioKey
	it := p.loader.maps[bpf.KVMMapPorts].Iterate()
	for it.Next(&key, &n) {
		if key.Slot == slot {
			stale = append(stale, key)
		}
	}
	errs := []error{it.Err()}
	for _, k := range stale {
		errs = append(errs, p.deleteKey(bpf.KVMMapPorts, &k))
	}
	return errors.Join(errs...)
}

func (p *Probe) clearVCPUs(slot uint32) error {
	var tid uint32
	var v bpf.KVMVcpuState
	var stale []uint32
	it := p.loader.maps[bpf.KVMMapVcpus].Iterate()
	for it.Next(&tid, &v) {
		if v.Slot == slot {
			stale = append(stale, tid)
		}
	}
	errs := []error{it.Err()}
	for _, t := range stale {
		errs = append(errs, p.deleteKey(bpf.KVMMapVcpus, t))
	}
	return errors.Join(errs...)
}
