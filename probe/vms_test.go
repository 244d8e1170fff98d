// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ukprobe/ukprobe/bpf"
)

// discovering is a bench in which this very process is a VM that nobody started.
func discovering(t *testing.T, slots int) *bench {
	t.Helper()
	b := newBench(t, slots, SVM)
	if err := b.discover(); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) nextVM() VMEvent {
	b.t.Helper()
	select {
	case e := <-b.VMs():
		return e
	case <-time.After(5 * time.Second):
		b.t.Fatal("no VM was told of within 5 s")
		return VMEvent{}
	}
}

// noVM: nothing was told of that has not been taken. What the kernel had to tell by
// now is taken in first, and events come in order: the next one is the test's own.
func (b *bench) noVM() {
	b.t.Helper()
	(&Watch{p: b.Probe}).Drain()
	b.vms.mu.Lock()
	b.vms.send(VMEvent{})
	b.vms.mu.Unlock()
	for e := b.nextVM(); e.VM != nil; e = b.nextVM() {
		b.t.Errorf("a VM was told of: %+v", e)
	}
}

func TestVMIsFoundAtItsFirstEvent(t *testing.T) {
	b := discovering(t, 2)
	b.fire("raw_tp_entry")
	e := b.nextVM()
	if e.Gone || e.VM.PID != os.Getpid() || e.VM.ID == 0 {
		t.Fatalf("found %+v, want this process", e)
	}
	if start, err := processStart(os.Getpid()); err != nil || e.VM.Start != start {
		t.Errorf("started at %d, want %d (%v)", e.VM.Start, start, err)
	}
	b.fire("raw_tp_entry")
	if n := countsOf(t, e.VM.Watch).Values["kvm_entries"]; n != 2 {
		t.Errorf("%d entries, want 2: the one that told of the VM included", n)
	}
	if again, err := b.Adopt(os.Getpid()); err != nil || again != e.VM {
		t.Errorf("adopted %+v, %v: want the one that is known", again, err)
	}
	b.noVM()
	b.release(e.VM, false)
}

func (b *bench) release(vm *VM, ignore bool) {
	b.t.Helper()
	if err := b.Release(vm, ignore); err != nil {
		b.t.Errorf("release: %v", err)
	}
}

// TestVMIsSomebodyElseWithAnotherID: released and found again it begins at zero.
func TestVMIsSomebodyElseWithAnotherID(t *testing.T) {
	b := discovering(t, 2)
	b.fire("raw_tp_entry")
	first := b.nextVM().VM
	b.release(first, false)
	b.fire("raw_tp_entry")
	second := b.nextVM().VM
	if second.ID == first.ID {
		t.Error("both have the same ID")
	}
	if n := countsOf(t, second.Watch).Values["kvm_entries"]; n != 1 {
		t.Errorf("%d entries, want 1", n)
	}
	b.release(second, true)
	b.fire("raw_tp_entry")
	b.noVM()
	if vm, err := b.Adopt(os.Getpid()); err != nil {
		t.Errorf("adopt what was ignored: %v", err)
	} else {
		b.fire("raw_tp_entry")
		if n := countsOf(t, vm.Watch).Values["kvm_entries"]; n != 1 {
			t.Errorf("%d entries, want 1", n)
		}
		b.release(vm, false)
	}
}

// TestVMsBeyondTheSlots: they are counted, and taken up when there is room.
func TestVMsBeyondTheSlots(t *testing.T) {
	b := discovering(t, 1)
	taken := b.open(Target{CgroupID: nowhere, KVM: true})
	b.fire("raw_tp_entry")
	b.fire("raw_tp_entry")
	b.noVM()
	if n := b.Beyond(); n != 1 {
		t.Errorf("%d VMs beyond, want this one, once", n)
	}
	closeWatch(t, taken)
	if err := b.takeUpBeyond(); err != nil {
		t.Fatal(err)
	}
	b.fire("raw_tp_entry")
	e := b.nextVM()
	if e.VM.PID != os.Getpid() {
		t.Errorf("found %+v", e.VM)
	}
	b.release(e.VM, false)
}

// TestReusedPIDIsAnotherVM: the pid of a VM that ended is given to another process
// before anybody looked.
func TestReusedPIDIsAnotherVM(t *testing.T) {
	b := discovering(t, 2)
	b.fire("raw_tp_entry")
	first := b.nextVM().VM
	// What the program at the process's end does.
	if err := b.deleteKey(bpf.KVMMapVms, uint32(first.PID)); err != nil {
		t.Fatal(err)
	}
	b.dispatch(bpf.KVMRecord{Kind: uint32(bpf.KVMRecordKindRECORD_GONE), Slot: first.Watch.slot, Arg: uint32(first.PID), Ns: uint64(now()), LastNs: b.vms.born[first.Watch.slot]})
	if e := b.nextVM(); !e.Gone || e.VM != first {
		t.Fatalf("%+v, want the end of the first", e)
	}
	if err := b.clearVCPUs(first.Watch.slot); err != nil { // its threads ended with it
		t.Fatal(err)
	}
	b.fire("raw_tp_entry")
	second := b.nextVM().VM
	if second.ID == first.ID || second.PID != first.PID {
		t.Errorf("%+v after %+v: want another VM with the same pid", second, first)
	}
	b.release(first, false) // late
	b.fire("raw_tp_entry")
	if n := countsOf(t, second.Watch).Values["kvm_entries"]; n != 2 {
		t.Errorf("%d entries, want 2: the release of the first took the second's slot", n)
	}
	b.release(second, false)
}

// TestLostRecordsAreMadeGood: neither the arrival nor the end of a VM depends on
// the ring buffer.
func TestLostRecordsAreMadeGood(t *testing.T) {
	b := discovering(t, 2)
	child := exec.Command("sleep", "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	defer func() {
		if !ended {
			_, _ = child.Process.Kill(), child.Wait()
		}
	}()
	// The kernel side gave it a slot, and its record was lost.
	var slot uint32
	if err := b.loader.maps[bpf.KVMMapFreeSlots].LookupAndDelete(nil, &slot); err != nil {
		t.Fatal(err)
	}
	if err := b.addKey(bpf.KVMMapVms, uint32(child.Process.Pid), &bpf.KVMTarget{Slot: slot, BornNs: uint64(now())}); err != nil {
		t.Fatal(err)
	}
	found := b.nextVM()
	if found.Gone || found.VM.PID != child.Process.Pid {
		t.Fatalf("%+v: want the child", found)
	}
	_, _ = child.Process.Kill(), child.Wait()
	ended = true
	if e := b.nextVM(); !e.Gone || e.VM != found.VM {
		t.Errorf("%+v: want the child's end", e)
	}
	b.release(found.VM, false)
	var left []uint32
	var tgid uint32
	var target bpf.KVMTarget
	for it := b.loader.maps[bpf.KVMMapVms].Iterate(); it.Next(&tgid, &target); {
		left = append(left, tgid)
	}
	if len(left) != 0 {
		t.Errorf("the table still has %v", left)
	}
}

func TestAdoptRefusesWhatIsNotThere(t *testing.T) {
	b := newBench(t, 1, SVM)
	const nobody = 1 << 22 // beyond pid_max
	if vm, err := b.Adopt(nobody); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("%+v, %v", vm, err)
	}
	vm, err := b.Adopt(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	b.release(vm, false)
	b.open(Target{CgroupID: nowhere})
	if vm, err := b.Adopt(os.Getpid()); err == nil || err.Error() != "watch: all 1 slots are taken" {
		t.Errorf("without a slot: %+v, %v", vm, err)
	}
}

// TestSlowReaderOfVMsHoldsNobodyUp: events queue up, records are still read.
func TestSlowReaderOfVMsHoldsNobodyUp(t *testing.T) {
	b := discovering(t, 2)
	for range 50 {
		b.fire("raw_tp_entry")
		eventually(t, "the VM is known", func() bool { b.vms.mu.Lock(); defer b.vms.mu.Unlock(); return len(b.vms.live) == 1 })
		b.vms.mu.Lock()
		vm := b.vms.live[os.Getpid()]
		b.vms.mu.Unlock()
		b.release(vm, false)
	}
	for range 50 {
		if e := b.nextVM(); e.Gone {
			t.Fatalf("%+v: want arrivals only", e)
		}
	}
}

// freeSlots empties the queue of free slots and puts them back.
func (b *bench) freeSlots() []uint32 {
	b.t.Helper()
	queue := b.loader.maps[bpf.KVMMapFreeSlots]
	var out []uint32
	var slot uint32
	for queue.LookupAndDelete(nil, &slot) == nil {
		out = append(out, slot)
	}
	for _, slot := range out {
		if err := queue.Put(nil, slot); err != nil {
			b.t.Fatal(err)
		}
	}
	slices.Sort(out)
	return out
}

// ends is what the program at a process's end does, and what it tells.
func (b *bench) ends(tgid, slot uint32) bpf.KVMRecord {
	b.t.Helper()
	var t bpf.KVMTarget
	if err := b.loader.maps[bpf.KVMMapVms].Lookup(tgid, &t); err != nil {
		b.t.Fatal(err)
	}
	if err := b.deleteKey(bpf.KVMMapVms, tgid); err != nil {
		b.t.Fatal(err)
	}
	return bpf.KVMRecord{Kind: uint32(bpf.KVMRecordKindRECORD_GONE), Slot: slot, Arg: tgid, Ns: uint64(now()), LastNs: t.BornNs}
}

// TestSlotsComeBackOnce: VMs come and go while the table is looked through again
// and again, and what is told late changes nothing.
func TestSlotsComeBackOnce(t *testing.T) {
	const slots = 5
	b := discovering(t, slots)
	want := b.freeSlots()
	stop, looked := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(looked)
		for {
			select {
			case <-stop:
				return
			default:
				b.reconcile()
			}
		}
	}()
	for range 100 {
		b.fire("raw_tp_entry")
		vm := b.nextVM().VM
		born := b.bornOf(vm)
		gone := b.ends(uint32(vm.PID), vm.Watch.slot)
		b.dispatch(gone)
		if e := b.nextVM(); !e.Gone || e.VM != vm {
			t.Fatalf("%+v, want the end of %+v", e, vm)
		}
		b.release(vm, false)
		late := gone
		late.Kind, late.Ns = uint32(bpf.KVMRecordKindRECORD_VM), born
		b.dispatch(late)
		b.dispatch(gone)
	}
	close(stop)
	<-looked
	b.noVM()
	if got := b.freeSlots(); !slices.Equal(got, want) {
		t.Errorf("free slots %v, want %v", got, want)
	}
}

func (b *bench) bornOf(vm *VM) uint64 {
	b.vms.mu.Lock()
	defer b.vms.mu.Unlock()
	return b.vms.born[vm.Watch.slot]
}

// TestVMOfWhichOnlyTheEndIsTold: it was there, with its counts and its slot.
func TestVMOfWhichOnlyTheEndIsTold(t *testing.T) {
	b := discovering(t, 2)
	want := b.freeSlots()
	var slot uint32
	if err := b.loader.maps[bpf.KVMMapFreeSlots].LookupAndDelete(nil, &slot); err != nil {
		t.Fatal(err)
	}
	const tgid = 1 << 22 // beyond pid_max
	b.dispatch(bpf.KVMRecord{Kind: uint32(bpf.KVMRecordKindRECORD_GONE), Slot: slot, Arg: tgid, Ns: uint64(now()), LastNs: uint64(now())})
	came, went := b.nextVM(), b.nextVM()
	if came.Gone || !went.Gone || came.VM != went.VM || came.VM.PID != tgid {
		t.Fatalf("%+v, %+v: want it to come and go", came, went)
	}
	b.release(came.VM, false)
	if got := b.freeSlots(); !slices.Equal(got, want) {
		t.Errorf("free slots %v, want %v", got, want)
	}
}

// TestDeadRowIsTidiedUp: the ring buffer had no room for the end, so the row stayed.
func TestDeadRowIsTidiedUp(t *testing.T) {
	b := discovering(t, 2)
	b.fire("raw_tp_entry")
	vm := b.nextVM().VM
	row := bpf.KVMTarget{Slot: vm.Watch.slot, BornNs: b.bornOf(vm), Flags: bpfTargetDead}
	if err := b.updateMap(bpf.KVMMapVms, uint32(vm.PID), &row); err != nil {
		t.Fatal(err)
	}
	if e := b.nextVM(); !e.Gone || e.VM != vm {
		t.Errorf("%+v, want its end", e)
	}
	b.release(vm, false)
	b.fire("raw_tp_entry")
	if again := b.nextVM(); again.Gone || again.VM.ID == vm.ID {
		t.Errorf("%+v: want another VM with the same pid", again)
	} else {
		b.release(again.VM, false)
	}
}

// TestWaitingVMIsCountedOnce: however often it tries for a slot.
func TestWaitingVMIsCountedOnce(t *testing.T) {
	b := discovering(t, 1)
	b.open(Target{CgroupID: nowhere, KVM: true})
	for range 5 {
		b.fire("raw_tp_entry")
		if err := b.takeUpBeyond(); err != nil {
			t.Fatal(err)
		}
	}
	if n := b.Beyond(); n != 1 {
		t.Errorf("%d VMs beyond, want 1", n)
	}
}

// TestShareOfTheNextTenant: records of a slot's last tenant that are read late take
// nothing from the next.
func TestShareOfTheNextTenant(t *testing.T) {
	b := newBench(t, 1, SVM)
	target := kvmTarget(t)
	target.ConsolePort = com1
	first := b.open(target)
	closeWatch(t, first)
	for range 100 { // as if they had been in the ring buffer all along
		b.dispatch(bpf.KVMRecord{Kind: uint32(bpf.KVMRecordKindRECORD_HALT), Slot: first.slot, Ns: 1})
	}
	second := b.open(target)
	for range 100 {
		b.dispatch(bpf.KVMRecord{Kind: uint32(bpf.KVMRecordKindRECORD_HALT), Slot: second.slot, Ns: 1})
	}
	newUART(b).print("mine\n")
	eventually(t, "the line", func() bool { return len(second.Lines()) == 1 })
	if lost := countsOf(t, second).Lost; len(lost) != 0 {
		t.Errorf("lost %v", lost)
	}
}

// TestIoctlNumberIsNoVM: any process may ask any descriptor for KVM_RUN's number.
func TestIoctlNumberIsNoVM(t *testing.T) {
	b := discovering(t, 2)
	sys := newSyscalls(b)
	sys.enter(nrIoctl, 7, kvmRun)
	b.noVM()
	b.fire("raw_tp_user_exit", 2, 0)
	vm := b.nextVM().VM
	time.Sleep(pause)
	sys.enter(nrIoctl, 7, kvmRun)
	if h := countsOf(t, vm.Watch).UserExits["io"]; h.Count != 1 {
		t.Errorf("round trips %+v, want one: of a known VM it is KVM_RUN", h)
	}
	b.release(vm, false)
}

// TestNothingIsSaidOfASilentVM: as long as no vCPU of it was seen a zero would mean
// nothing.
func TestNothingIsSaidOfASilentVM(t *testing.T) {
	b := newBench(t, 1, SVM)
	vm, err := b.Adopt(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	b.hold(vm.Watch, HookSched)
	b.alive(bpf.KVMHookHOOK_PIO)
	if c := countsOf(t, vm.Watch); len(c.Values) != 0 || len(c.Spans) != 0 {
		t.Errorf("values %v, spans %v: want none", c.Values, c.Spans)
	}
	b.fire("raw_tp_entry")
	if c := countsOf(t, vm.Watch); c.Values["kvm_entries"] != 1 || len(c.Spans) != 1 {
		t.Errorf("values %v, spans %v: want the entry, and how long it waited", c.Values, c.Spans)
	}
	b.release(vm, false)
}
