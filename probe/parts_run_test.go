// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"encoding/binary"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ukprobe/ukprobe/bpf"
)

const pause = 5 * time.Millisecond

// within checks a duration against the least that it must be and the time that
// the test itself took.
func within(t *testing.T, what string, got, least, most time.Duration) {
	t.Helper()
	if got < least || got > most {
		t.Errorf("%s: %v, want %v to %v", what, got, least, most)
	}
}

// TestGuestTime: from the entry to the exit, by the exit's reason.
func TestGuestTime(t *testing.T) {
	b := newBench(t, 1, SVM)
	w := b.open(kvmTarget(t))
	b.fireRecord("tracepoint_kvm_exit", kvmExit(isaSVM, 0x7b, 0)) // its entry was not seen
	begin := time.Now()
	b.fire("raw_tp_entry")
	time.Sleep(pause)
	b.fireRecord("tracepoint_kvm_exit", kvmExit(isaSVM, 0x72, 0))
	took := time.Since(begin)
	c := countsOf(t, w)
	if len(c.GuestTime) != 1 || c.GuestTime["cpuid"].Count != 1 {
		t.Fatalf("guest time %+v: want one, before the CPUID", c.GuestTime)
	}
	within(t, "in the guest", time.Duration(c.GuestTime["cpuid"].SumNS), pause, took)
	if c.ExitCounts["io"] != 1 || c.ExitCounts["cpuid"] != 1 || c.Values["kvm_entries"] != 1 {
		t.Errorf("exits %v, entries %d: want both exits and the entry", c.ExitCounts, c.Values["kvm_entries"])
	}
}

// TestEntryThatWasNotSeen: two exits in a row, as the kernel can leave a program out:
// the second has no time in the guest, and the first's parts are not its own.
func TestEntryThatWasNotSeen(t *testing.T) {
	b := newBench(t, 1, SVM)
	w := b.open(kvmTarget(t))
	sys := newSyscalls(b)
	b.fire("raw_tp_entry")
	b.fireRecord("tracepoint_kvm_exit", kvmExit(isaSVM, 0x7b, 0))
	b.fire("raw_tp_user_exit", 2, 0)
	time.Sleep(pause)
	sys.enter(nrIoctl, 7, kvmRun)
	b.fireRecord("tracepoint_kvm_exit", kvmExit(isaSVM, 0x72, 0))
	b.fire("raw_tp_entry")
	c := countsOf(t, w)
	if c.GuestTime["io"].Count != 1 || c.GuestTime["cpuid"].Count != 0 || c.ExitCounts["cpuid"] != 1 {
		t.Errorf("time in the guest %+v, exits %v: want one, and both exits", c.GuestTime, c.ExitCounts)
	}
	if p := c.Parts["cpuid"]; p != (Parts{}) || c.Exits["cpuid"].Count != 1 {
		t.Errorf("parts %+v of %+v: want none", p, c.Exits)
	}
}

// TestVMMIsAPartOfAnExit: an exit to the VMM and back is told apart from KVM's own
// time, and belongs to the reason of the exit.
func TestVMMIsAPartOfAnExit(t *testing.T) {
	b := newBench(t, 1, SVM)
	w := b.open(kvmTarget(t))
	sys := newSyscalls(b)
	// Before the guest has run this is part of no exit.
	b.fire("raw_tp_user_exit", 10, 0)
	time.Sleep(pause)
	sys.enter(nrIoctl, 7, kvmRun)
	b.fire("raw_tp_entry")
	exit := func(reason uint32, inVMM time.Duration) time.Duration {
		begin := time.Now()
		b.fireRecord("tracepoint_kvm_exit", kvmExit(isaSVM, reason, 0))
		if inVMM > 0 {
			b.fire("raw_tp_user_exit", 2, 0)
			time.Sleep(inVMM)
			sys.enter(nrIoctl, 7, kvmRun)
		}
		time.Sleep(pause)
		b.fire("raw_tp_entry")
		return time.Since(begin)
	}
	took := exit(0x7b, 2*pause)
	exit(0x400, 0)
	c := countsOf(t, w)
	io, npf := c.Parts["io"], c.Parts["nested_page_fault"]
	within(t, "in the VMM", io.VMM, 2*pause, took-pause)
	within(t, "in KVM", io.KVM(c.Exits["io"]), pause, took-2*pause)
	if npf != (Parts{}) {
		t.Errorf("a page fault that KVM handled has the parts %+v", npf)
	}
	if h := c.UserExits["io"]; h.Count != 1 || time.Duration(h.SumNS) != io.VMM {
		t.Errorf("round trips %+v: want the one of %v", h, io.VMM)
	}
}

// task is a struct task_struct of the running kernel's, as far as it is looked at.
type task struct {
	buf            *kernelBuffer
	toPID, toState uint64
	len            int
}

func newTask(b *bench) *task {
	t := &task{toPID: memberOffset(b.t, b.loader, "task_struct", "pid"), toState: memberOffset(b.t, b.loader, "task_struct", "__state")}
	t.len = int(max(t.toPID, t.toState) + 8)
	t.buf = newKernelBuffer(b.t, t.len)
	return t
}

func (t *task) set(pid, state int) uint64 {
	image := make([]byte, t.len)
	binary.NativeEndian.PutUint32(image[t.toPID:], uint32(pid))
	binary.NativeEndian.PutUint32(image[t.toState:], uint32(state))
	t.buf.Set(image)
	return t.buf.Addr
}

// TestHaltedAndWaited: a vCPU halts, is woken up and then waits for its CPU: two
// different times.
func TestHaltedAndWaited(t *testing.T) {
	b := newBench(t, 1, SVM)
	w := b.open(kvmTarget(t))
	for _, hook := range []string{HookWakeup, HookSched} {
		b.hold(w, hook)
	}
	me, other := newTask(b), newTask(b)
	mine, others := me.set(unix.Gettid(), 1), other.set(unix.Gettid()+1<<20, 0)
	b.fire("raw_tp_entry")
	begin := time.Now()
	b.fireRecord("tracepoint_kvm_exit", kvmExit(isaSVM, 0x78, 0))
	halted := time.Now()
	b.fire("raw_tp_sched_wakeup", mine) // of a thread that is still running: nothing to wait for
	time.Sleep(2 * pause)
	b.fire("raw_tp_sched_switch", 0, mine, others) // asleep
	time.Sleep(2 * pause)
	// Each program takes its time somewhere between the test's own before and after it.
	haltedLeast := time.Since(halted)
	beforeWake := time.Now()
	b.fire("raw_tp_sched_wakeup", mine)
	afterWake := time.Now()
	time.Sleep(pause)
	waitedLeast := time.Since(afterWake)
	b.fire("raw_tp_sched_switch", 0, others, mine)
	waitedMost := time.Since(beforeWake)
	b.fire("raw_tp_wakeup", uint64(time.Since(begin)))
	haltedMost := time.Since(begin) - waitedLeast
	b.fire("raw_tp_entry")
	took := time.Since(begin)

	c := countsOf(t, w)
	halt, wait := c.Spans[SpanHalted], c.Spans[SpanWaited]
	if halt.Count != 1 || wait.Count != 1 {
		t.Fatalf("halted %+v, waited %+v: want one each", halt, wait)
	}
	within(t, "waited", time.Duration(wait.SumNS), waitedLeast, waitedMost)
	within(t, "halted", time.Duration(halt.SumNS), haltedLeast, haltedMost)
	hlt := c.Parts["hlt"]
	if hlt.Halted != time.Duration(halt.SumNS) || hlt.Waited != time.Duration(wait.SumNS) || hlt.VMM != 0 {
		t.Errorf("parts %+v: want the same", hlt)
	}
	within(t, "all parts", hlt.Halted+hlt.Waited+hlt.KVM(c.Exits["hlt"]), 5*pause, took)
}

// TestPreemptedVCPUWaits: a thread that is put off its CPU while it could run on.
func TestPreemptedVCPUWaits(t *testing.T) {
	for name, preempted := range map[string]uint64{"preempted": 1, "yields": 0} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, 1, SVM)
			w := b.open(kvmTarget(t))
			b.hold(w, HookSched)
			me, other := newTask(b), newTask(b)
			state := 0
			if preempted == 1 {
				state = 1 // about to sleep, but not yet
			}
			mine, others := me.set(unix.Gettid(), state), other.set(unix.Gettid()+1<<20, 1)
			b.fire("raw_tp_entry")
			b.fire("raw_tp_sched_switch", preempted, mine, others)
			time.Sleep(pause)
			b.fire("raw_tp_sched_switch", 0, others, mine)
			b.fire("raw_tp_sched_switch", 0, others, mine) // it ran: nothing to wait for
			if h := countsOf(t, w).Spans[SpanWaited]; h.Count != 1 || time.Duration(h.SumNS) < pause {
				t.Errorf("waited %+v: want one of %v or more", h, pause)
			}
		})
	}
}

// TestPopulatingFaults: memory that was not there, and no device's.
func TestPopulatingFaults(t *testing.T) {
	const present, rsvd = 1, 1 << 3
	b := newBench(t, 1, SVM)
	target := kvmTarget(t)
	w := b.open(target)
	b.hold(w, HookFault)
	arg := []uint64{0, 0x1000, 0}
	at := 2
	if !b.loader.pageFaultHasVCPU() {
		arg, at = arg[1:], 1
	}
	fault := func(code uint64) { arg[at] = code; b.fire("raw_tp_page_fault", arg...) }
	fault(0)        // before anything was seen of the guest there is no time to count from
	origin := now() // or some time after, in the program
	b.fire("raw_tp_entry")
	time.Sleep(pause)
	fault(2)
	fault(4)
	fault(present | 2)
	fault(rsvd)
	upTo := time.Duration(now() - origin)
	c := countsOf(t, w)
	if n := c.Values["page_faults"]; n != 5 {
		t.Errorf("%d faults, want 5", n)
	}
	h := c.Spans[SpanPopulate]
	if h.Count != 2 {
		t.Fatalf("%d faults gave memory, want 2", h.Count)
	}
	within(t, "since the guest was first seen", h.Mean(), pause, upTo)
}

// TestStagesOfABoot: each span of addresses has its moment, in any order up to the
// last, after which nothing more is looked for.
func TestStagesOfABoot(t *testing.T) {
	b := newBench(t, 1, SVM)
	target := kvmTarget(t)
	target.Image = []Segment{{Lo: 0xc0000, Hi: 0xe0000, Stage: StageOptionROM}, {Lo: 0x100000, Hi: 0x900000, Stage: StageDecompress},
		{Lo: 0xffffffff80000000, Hi: 0xffffffffc0000000, Stage: StageKernel}}
	w := b.open(target)
	var got []string
	for _, rip := range []uint64{0xfffffff0, 0xc8000, 0xf1234, 0x100200, 0x200000, 0xffffffff81000000, 0xc8004} {
		b.fireRecord("tracepoint_kvm_exit", kvmExit(isaSVM, 0x7b, rip))
	}
	for _, e := range w.Timeline().Events {
		switch e.Name {
		case EventOptionROM, EventFirmwareEnd, EventDecompress, EventKernel:
			got = append(got, e.Name)
		}
	}
	s := slotOf(t, w)
	if s.Wanted != 0 {
		t.Error("after the kernel an instruction pointer is still looked for")
	}
	at := func(kind bpf.KVMMarkKind) uint64 { return s.Marks[kind].Ns }
	if at(bpf.KVMMarkKindMARK_FIRMWARE_END) != at(bpf.KVMMarkKindMARK_DECOMPRESS) {
		t.Error("the decompressor did not end the firmware")
	}
	if at(bpf.KVMMarkKindMARK_KERNEL) <= at(bpf.KVMMarkKindMARK_DECOMPRESS) || at(bpf.KVMMarkKindMARK_OPTION_ROM) >= at(bpf.KVMMarkKindMARK_DECOMPRESS) {
		t.Errorf("events %v: out of order", got)
	}
	if len(got) != 4 {
		t.Errorf("events %v: want all four", got)
	}
}

// TestBootTimerIsFirecrackers: the value 123 to its port, and only if asked for.
func TestBootTimerIsFirecrackers(t *testing.T) {
	b := newBench(t, 1, SVM)
	for _, asked := range []bool{false, true} {
		target := kvmTarget(t)
		target.BootTimer = asked
		w := b.open(target)
		fire := func(port, value uint64) {
			data := newKernelBuffer(t, 8)
			data.Set([]byte{byte(value)})
			b.fire("raw_tp_pio", pioOut, port, 1, 1, data.Addr)
		}
		fire(0x3f0, 122)
		fire(0x3f1, 123)
		if _, ok := w.Timeline().At(EventBootTimer); ok {
			t.Error("another value, or another port, is the boot timer")
		}
		fire(0x3f0, 123)
		if _, ok := w.Timeline().At(EventBootTimer); ok != asked {
			t.Errorf("seen %v, asked for %v", ok, asked)
		}
		closeWatch(t, w)
	}
}

// TestFloodingGuestKeepsToItsShare: the ring buffer is full of one guest's lines
// while nobody reads, and another's line still gets in.
func TestFloodingGuestKeepsToItsShare(t *testing.T) {
	b := newBench(t, 2, SVM)
	target := kvmTarget(t)
	target.ConsolePort = com1
	flood := b.open(target)
	share := int(b.loader.ringBytes()) / 2 / recordBytes
	// As if the reader had not taken anything.
	s := slotOf(t, flood)
	s.Sent = uint64(share)
	if err := b.updateMap(bpf.KVMMapSlots, flood.slot, &s); err != nil {
		t.Fatal(err)
	}
	newUART(b).print("flood\n")
	c := countsOf(t, flood)
	if c.Lost["ringbuf"] == 0 || len(flood.Lines()) != 0 {
		t.Errorf("lost %v, lines %v: want the line lost", c.Lost, flood.Lines())
	}
	closeWatch(t, flood)
	second := b.open(target)
	newUART(b).print("mine\n")
	eventually(t, "the next guest's line", func() bool { return len(second.Lines()) == 1 })
	eventually(t, "it is taken", func() bool {
		raw := make([]byte, 8)
		_, err := b.taken.ReadAt(raw, int64(second.slot)*8)
		return err == nil && binary.NativeEndian.Uint64(raw) == slotOf(t, second).Sent
	})
}

// hold makes a watch believe that it has an on-demand hook, alive.
func (b *bench) hold(w *Watch, name string) {
	b.t.Helper()
	b.pretend(name, RawTP)
	w.mu.Lock()
	w.release[name] = func() error { return nil }
	w.mu.Unlock()
	b.alive(b.state(name).hook.id)
}

// TestMigratingVCPU: the exit on one CPU, the entry on another.
func TestMigratingVCPU(t *testing.T) {
	if runtime.NumCPU() < 2 {
		t.Skip("needs two CPUs")
	}
	b := newBench(t, 1, SVM)
	w := b.open(kvmTarget(t))
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.SchedSetaffinity(0, &before) }()
	const rounds = 20
	for i := range rounds {
		for j, fire := range []func(){
			func() { b.fireRecord("tracepoint_kvm_exit", kvmExit(isaSVM, 0x7b, 0)) },
			func() { b.fire("raw_tp_entry") },
		} {
			var set unix.CPUSet
			set.Set((i + j) % 2)
			if err := unix.SchedSetaffinity(0, &set); err != nil {
				t.Fatal(err)
			}
			fire()
		}
	}
	c := countsOf(t, w)
	if c.Exits["io"].Count != rounds || c.ExitCounts["io"] != rounds || c.GuestTime["io"].Count != rounds-1 {
		t.Errorf("handled %d, counted %d, in the guest %d: want %d, the same, one less", c.Exits["io"].Count, c.ExitCounts["io"], c.GuestTime["io"].Count, rounds)
	}
}
