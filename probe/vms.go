// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/cilium/ebpf"

	"github.com/ukprobe/ukprobe/bpf"
	"github.com/ukprobe/ukprobe/internal/procstat"
)

// VM is a virtual machine that ukprobe did not start. It is one process: the VMs
// of a process with several are counted together.
type VM struct {
	ID    uint64 // never given again by this probe, also when the pid is
	PID   int    // of the VMM
	Start uint64 // of the process, in clock ticks since the host's boot (proc(5), stat, field 22); 0 if it ended at once
	Found time.Time
	Watch *Watch // for Counts and Events; closed by Release
}

// VMEvent says that a VM was found, or that its process has ended. The counts of
// one that has ended can be read until it is released.
type VMEvent struct {
	VM   *VM
	Gone bool
}

// vms is what a probe knows of VMs that it did not start.
type vms struct {
	events chan VMEvent

	mu     sync.Mutex
	cond   *sync.Cond
	closed bool
	queue  []VMEvent // not yet taken by the reader of events
	live   map[int]*VM
	lastID uint64
	// born is, by slot, which VM of the slot was taken up last: the kernel's rows and
	// records name it, so that what is told twice or late is known for it.
	born []uint64
	stop chan struct{}
	once sync.Once
	done sync.WaitGroup // the goroutines
}

func newVMs(slots int) *vms {
	v := &vms{events: make(chan VMEvent), live: map[int]*VM{}, born: make([]uint64, slots), stop: make(chan struct{})}
	v.cond = sync.NewCond(&v.mu)
	return v
}

// close ends the goroutines and waits for them.
func (v *vms) close() {
	v.mu.Lock()
	if !v.closed {
		v.closed = true
		close(v.stop)
		v.cond.Broadcast()
	}
	v.mu.Unlock()
	v.done.Wait()
}

// send queues an event. v.mu is held.
func (v *vms) send(e VMEvent) {
	v.queue = append(v.queue, e)
	v.cond.Signal()
}

// deliver hands the queue to the reader of the channel, however slow it is: the
// reader of the kernel's records never waits for it.
func (v *vms) deliver() {
	defer close(v.events)
	for {
		v.mu.Lock()
		for len(v.queue) == 0 && !v.closed {
			v.cond.Wait()
		}
		if v.closed {
			v.mu.Unlock()
			return
		}
		e := v.queue[0]
		v.queue = v.queue[1:]
		v.mu.Unlock()
		select {
		case v.events <- e:
		case <-v.stop:
			return
		}
	}
}

// lookAgain is how often the kernel's table of VMs is compared with what its
// records told: those can be lost when the ring buffer is full.
const lookAgain = 2 * time.Second

// discover makes the programs give each process with a VM a slot of its own.
func (p *Probe) discover() error {
	p.startVMs()
	p.config.Discover = 1
	return p.newGeneration()
}

// startVMs begins to tell of VMs and to look for what records were lost of.
func (p *Probe) startVMs() {
	p.vms.once.Do(func() {
		p.vms.done.Go(p.vms.deliver)
		p.vms.done.Go(func() {
			tick := time.NewTicker(lookAgain)
			defer tick.Stop()
			for {
				select {
				case <-p.vms.stop:
					return
				case <-tick.C:
					p.reconcile()
				}
			}
		})
	})
}

// VMs tells of VMs as they come and go: with Options.Discover of all, else of those
// that were adopted. It is closed with the probe. One reader.
func (p *Probe) VMs() <-chan VMEvent { return p.vms.events }

// Beyond is how many VMs could not be watched because all slots were taken. They
// are taken up when one becomes free.
func (p *Probe) Beyond() uint64 {
	var c bpf.KVMConfig
	if err := p.loader.maps[bpf.KVMMapConfigs].Lookup(uint32(bpfConfigKernel), &c); err != nil {
		return 0
	}
	return c.Beyond
}

// arrived takes up a VM that was given a slot by the kernel side, unless that was
// done before. born tells it from others in that slot.
func (p *Probe) arrived(tgid, slot uint32, born uint64) {
	p.vms.mu.Lock()
	defer p.vms.mu.Unlock()
	if p.isNew(slot, born) {
		p.take(tgid, slot, born)
	}
}

// isNew reports whether a slot's VM was not yet taken up. p.vms.mu is held.
func (p *Probe) isNew(slot uint32, born uint64) bool {
	if int(slot) >= len(p.vms.born) {
		p.badRecords.Add(1)
		return false
	}
	return born > p.vms.born[slot]
}

// take makes the watch of a VM that was given a slot. p.vms.mu is held.
func (p *Probe) take(tgid, slot uint32, born uint64) *VM {
	p.vms.born[slot] = born
	if old := p.vms.live[int(tgid)]; old != nil { // its end was not told
		p.ended(old)
	}
	w := p.tenant(slot, Target{KVM: true, Full: true, Flows: true})
	w.startNS = int64(born)
	w.disarm = func() error { return p.deleteVM(tgid, born) }
	// Attaching takes its time, in which the kernel's records would wait. What a hook
	// that cannot be had tells is missing; the rest is not.
	go func() { _ = w.demand() }()
	return p.adopted(int(tgid), w)
}

// ended tells of a VM's end. p.vms.mu is held.
func (p *Probe) ended(vm *VM) {
	delete(p.vms.live, vm.PID)
	p.vms.send(VMEvent{VM: vm, Gone: true})
}

// deleteVM deletes a VM's row, unless it is another's by now.
func (p *Probe) deleteVM(tgid uint32, born uint64) error {
	var t bpf.KVMTarget
	err := p.loader.maps[bpf.KVMMapVms].Lookup(tgid, &t)
	if errors.Is(err, ebpf.ErrKeyNotExist) || err == nil && t.BornNs != born {
		return nil
	}
	return errors.Join(err, p.deleteKey(bpf.KVMMapVms, tgid))
}

// adopted makes a VM of a watch and tells of it. p.vms.mu is held.
func (p *Probe) adopted(pid int, w *Watch) *VM {
	p.vms.lastID++
	vm := &VM{ID: p.vms.lastID, PID: pid, Watch: w}
	vm.Found = time.Now().Add(time.Duration(w.startNS - now())) // counted from then on
	vm.Start, _ = processStart(pid)
	p.vms.live[pid] = vm
	p.vms.send(VMEvent{VM: vm})
	return vm
}

// left is told by the kernel when a VM's process has ended: of one whose arrival
// was not told, too.
func (p *Probe) left(tgid, slot uint32, born uint64) {
	p.vms.mu.Lock()
	defer p.vms.mu.Unlock()
	if p.isNew(slot, born) {
		p.ended(p.take(tgid, slot, born))
		return
	}
	if vm := p.vms.live[int(tgid)]; vm != nil && vm.Watch.slot == slot && p.vms.born[slot] == born {
		p.ended(vm)
	}
}

// reconcile finds what records were lost of.
func (p *Probe) reconcile() {
	rows := map[uint32]bpf.KVMTarget{}
	var tgid uint32
	var t bpf.KVMTarget
	it := p.loader.maps[bpf.KVMMapVms].Iterate()
	for it.Next(&tgid, &t) {
		rows[tgid] = t
	}
	if it.Err() != nil {
		return // changed while it was read: the next time
	}
	for tgid, t := range rows {
		if int(t.Slot) < len(p.watches) {
			p.arrived(tgid, t.Slot, t.BornNs)
		} else if _, err := processStart(int(tgid)); errors.Is(err, os.ErrNotExist) {
			_ = p.deleteVM(tgid, t.BornNs)
		}
	}
	p.vms.mu.Lock()
	defer p.vms.mu.Unlock()
	for pid, vm := range p.vms.live {
		t, ok := rows[uint32(pid)]
		dead := ok && t.Flags&bpfTargetDead != 0 && t.Slot == vm.Watch.slot
		if dead || vm.processEnded() {
			if ok {
				_ = p.deleteVM(uint32(pid), p.vms.born[vm.Watch.slot])
			}
			p.ended(vm)
		}
	}
}

// processEnded reports whether the VM's process is there no more.
func (vm *VM) processEnded() bool {
	start, err := processStart(vm.PID)
	return errors.Is(err, os.ErrNotExist) || err == nil && vm.Start != 0 && start != vm.Start
}

// Adopt begins to watch a VM that runs already and need not do anything now. One
// that is known already is returned as it is; a new one is told of by [Probe.VMs]
// too.
func (p *Probe) Adopt(pid int) (*VM, error) {
	if err := hostPIDs(); err != nil {
		return nil, err
	}
	if _, err := processStart(pid); err != nil {
		return nil, fmt.Errorf("watch process %d: %w", pid, err)
	}
	p.vms.mu.Lock()
	defer p.vms.mu.Unlock()
	if vm := p.vms.live[pid]; vm != nil {
		return vm, nil
	}
	p.startVMs()
	w, err := p.newWatch(Target{KVM: true, Full: true, Flows: true})
	if err != nil {
		return nil, err
	}
	born := uint64(now())
	p.vms.born[w.slot] = born
	err = p.forget(uint32(pid))
	if err == nil {
		err = w.arm(bpf.KVMMapVms, uint32(pid), born)
	}
	if err != nil {
		err = errors.Join(err, w.Close())
		if errors.Is(err, ebpf.ErrKeyExist) {
			return nil, fmt.Errorf("watch process %d: it is just being found: wait for it", pid)
		}
		return nil, err
	}
	return p.adopted(pid, w), nil
}

// forget deletes a process's row in vms if it has no slot.
func (p *Probe) forget(tgid uint32) error {
	var t bpf.KVMTarget
	err := p.loader.maps[bpf.KVMMapVms].Lookup(tgid, &t)
	if errors.Is(err, ebpf.ErrKeyNotExist) || err == nil && int(t.Slot) < len(p.watches) {
		return nil
	}
	return errors.Join(err, p.deleteKey(bpf.KVMMapVms, tgid))
}

// slotIgnored, slotBeyond and slotRetry are SLOT_IGNORED, SLOT_BEYOND and SLOT_RETRY
// of bpf/event.h, bpfTargetDead is TARGET_DEAD.
const (
	slotIgnored   = 0xffffffff
	slotBeyond    = 0xfffffffe
	slotRetry     = 0xfffffffd
	bpfTargetDead = 2
)

// Release ends the watching of a VM and gives its slot back. With ignore its
// process is not taken up again.
func (p *Probe) Release(vm *VM, ignore bool) error {
	p.vms.mu.Lock()
	live := p.vms.live[vm.PID] == vm
	if live {
		delete(p.vms.live, vm.PID)
	}
	p.vms.mu.Unlock()
	errs := []error{}
	if live && ignore {
		errs = append(errs, p.updateMap(bpf.KVMMapVms, uint32(vm.PID), &bpf.KVMTarget{Slot: slotIgnored}))
	}
	return errors.Join(append(errs, vm.Watch.Close(), p.takeUpBeyond())...)
}

// takeUpBeyond lets VMs for which there was no slot try again.
func (p *Probe) takeUpBeyond() error {
	var beyond []uint32
	var tgid uint32
	var t bpf.KVMTarget
	it := p.loader.maps[bpf.KVMMapVms].Iterate()
	for it.Next(&tgid, &t) {
		if t.Slot == slotBeyond {
			beyond = append(beyond, tgid)
		}
	}
	var errs []error
	for _, tgid := range beyond {
		err := p.loader.maps[bpf.KVMMapVms].Update(tgid, &bpf.KVMTarget{Slot: slotRetry}, ebpf.UpdateExist)
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) { // it has ended
			errs = append(errs, fmt.Errorf("write BPF map %s: %w", bpf.KVMMapVms, err))
		}
	}
	if len(beyond) > 0 {
		errs = append(errs, p.newGeneration())
	}
	return errors.Join(errs...)
}

// processStart is when a process began, in clock ticks since the host's boot:
// together with its pid it is nobody else's.
func processStart(pid int) (uint64, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, err
	}
	s, err := procstat.Parse(data)
	if err != nil {
		return 0, fmt.Errorf("read /proc/%d/stat: %w", pid, err)
	}
	return s.Start, nil
}
