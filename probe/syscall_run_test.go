// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"encoding/binary"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/bpf"
)

// Numbers of arch/x86/entry/syscalls/syscall_64.tbl and linux/kvm.h.
const (
	nrWrite, nrIoctl, nrWritev, nrRead = 1, 16, 20, 0
	kvmCreateVM, kvmCreateVCPU, kvmRun = 0xae01, 0xae41, 0xae80
)

// syscalls plays a VMM: it fires sys_enter and sys_exit with registers laid out
// as the running kernel's struct pt_regs.
type syscalls struct {
	*bench
	regs   *kernelBuffer
	offset map[string]uint64
}

func newSyscalls(b *bench) syscalls {
	s := syscalls{bench: b, regs: newKernelBuffer(b.t, 168), offset: map[string]uint64{}}
	for _, reg := range []string{"di", "si", "dx", "orig_ax"} {
		s.offset[reg] = memberOffset(b.t, b.loader, "pt_regs", reg)
	}
	return s
}

func (s syscalls) set(nr uint64, args ...uint64) {
	image := make([]byte, s.regs.size)
	binary.NativeEndian.PutUint64(image[s.offset["orig_ax"]:], nr)
	for i, a := range args {
		binary.NativeEndian.PutUint64(image[s.offset[[]string{"di", "si", "dx"}[i]]:], a)
	}
	s.regs.Set(image)
}

func (s syscalls) enter(nr uint64, args ...uint64) {
	s.t.Helper()
	s.set(nr, args...)
	s.fire("raw_tp_sys_enter", s.regs.Addr, nr)
}

func (s syscalls) exit(ret int64, nr uint64, args ...uint64) {
	s.t.Helper()
	s.set(nr, args...)
	s.fire("raw_tp_sys_exit", s.regs.Addr, uint64(ret))
}

// userMemory is the address of some of this process's memory.
func userMemory[T any](x []T) uint64 { return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(x)))) }

// write is one write(2), from its beginning to its result.
func (s syscalls) write(fd uint64, text string, ret int64) {
	s.t.Helper()
	buf := []byte(text)
	s.enter(nrWrite, fd, userMemory(buf), uint64(len(buf)))
	s.exit(ret, nrWrite, fd, userMemory(buf), uint64(len(buf)))
	runtime.KeepAlive(buf)
}

func TestWriteIsTheConsole(t *testing.T) {
	b := newBench(t, 1, SVM)
	w := b.open(Target{CgroupID: ownCgroup(t), ConsoleWrite: true, ConsoleFD: 1})
	s := newSyscalls(b)
	s.write(1, "hel", 3)
	s.write(2, "an error\n", 9)
	s.write(1, "lo\nwor", 6)
	s.write(1, "", 0)
	first, second := []byte("ld\n"), []byte("unseen")
	vec := []uint64{userMemory(first), uint64(len(first)), userMemory(second), uint64(len(second))}
	s.enter(nrWritev, 1, userMemory(vec), 2)
	s.exit(9, nrWritev, 1, userMemory(vec), 2)
	s.enter(nrRead, 1, userMemory(first), 3)
	s.exit(3, nrRead, 1, userMemory(first), 3)
	runtime.KeepAlive(first)
	runtime.KeepAlive(second)
	runtime.KeepAlive(vec)
	eventually(t, "two whole lines", func() bool {
		lines := w.Lines()
		return len(lines) == 2 && !lines[1].Partial
	})
	if diff := cmp.Diff([]string{"hello\n", "world\n"}, texts(w.Lines())); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	if c := countsOf(t, w); c.Lost["console_bytes"] != 6 {
		t.Errorf("lost %v: the 6 bytes of a writev's second element are not read, which must be counted", c.Lost)
	}
}

// TestWriteCountsWhatWasWritten: of a write that a full pipe cut short, the rest
// is written again; what failed was not written at all.
func TestWriteCountsWhatWasWritten(t *testing.T) {
	b := newBench(t, 1, SVM)
	w := b.open(Target{CgroupID: ownCgroup(t), ConsoleWrite: true, ConsoleFD: 1})
	s := newSyscalls(b)
	const eagain = -11
	s.write(1, "never\n", eagain)
	s.write(1, "one line\n", 4)
	s.write(1, "line\n", 5)
	eventually(t, "the line", func() bool { return len(w.Lines()) == 1 && !w.Lines()[0].Partial })
	if diff := cmp.Diff([]string{"one line\n"}, texts(w.Lines())); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	if c := countsOf(t, w); len(c.Lost) != 0 {
		t.Errorf("lost %v: nothing was", c.Lost)
	}
}

func TestWriteLost(t *testing.T) {
	b := newBench(t, 1, SVM)
	w := b.open(Target{CgroupID: ownCgroup(t), ConsoleWrite: true, ConsoleFD: 1})
	s := newSyscalls(b)
	long := strings.Repeat("x", maxLine+44)
	s.write(1, long, maxLine+44)
	s.enter(nrWrite, 1, 8, 5) // not readable
	s.exit(5, nrWrite, 1, 8, 5)
	eventually(t, "the line", func() bool { return len(w.Lines()) == 1 })
	if got := w.Lines()[0].Text; got != long[:maxLine] {
		t.Errorf("line of %d bytes, want the first %d", len(got), maxLine)
	}
	if c := countsOf(t, w); c.Lost["console_bytes"] != 44+5 {
		t.Errorf("lost %v: want 44 bytes beyond the bound and 5 unreadable", c.Lost)
	}
}

// TestIoctlsByTheLastRung: KVM's ioctls seen as system calls.
func TestIoctlsByTheLastRung(t *testing.T) {
	b := newBench(t, 1, SVM)
	w := b.open(kvmTarget(t))
	s := newSyscalls(b)
	mark := func(k bpf.KVMMarkKind) uint64 { return slotOf(t, w).Marks[k].Ns }

	s.enter(nrIoctl, 3, 0x1234)
	s.exit(0, nrIoctl, 3, 0x1234)
	s.enter(nrIoctl, 3, kvmCreateVM)
	s.exit(-12, nrIoctl, 3, kvmCreateVM) // out of memory: no VM
	if mark(bpf.KVMMarkKindMARK_VM_CREATED) != 0 {
		t.Error("a failed KVM_CREATE_VM created a VM")
	}
	s.exit(4, nrIoctl, 3, kvmCreateVM)
	s.exit(4, nrRead, 3, kvmCreateVCPU) // not an ioctl
	if mark(bpf.KVMMarkKindMARK_VCPU_CREATED) != 0 {
		t.Error("read(2) created a vCPU")
	}
	s.exit(5, nrIoctl, 4, kvmCreateVCPU)
	s.enter(nrIoctl, 5, kvmRun)

	tl := w.Timeline()
	var names []string
	for _, e := range tl.Events {
		names = append(names, e.Name)
		if e.Hook != HookSyscall {
			t.Errorf("%s is of %s, want %s", e.Name, e.Hook, HookSyscall)
		}
	}
	if diff := cmp.Diff([]string{EventVMCreate, EventVMCreated, EventVCPUCreated, EventFirstRun}, names); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if wrong := tl.Check(); len(wrong) > 0 {
		t.Errorf("check: %v", wrong)
	}
}

// TestExecAndExitMarks: the first exec is the VMM's, and its exit ends it.
func TestExecAndExitMarks(t *testing.T) {
	b := newBench(t, 1, SVM)
	w := b.open(kvmTarget(t))
	b.fire("raw_tp_exit") // a thread that is not the VMM's
	if n := slotOf(t, w).Marks[bpf.KVMMarkKindMARK_VMM_EXIT].Ns; n != 0 {
		t.Error("an exit before any exec is the VMM's")
	}
	b.fire("raw_tp_exec")
	first := slotOf(t, w).Marks[bpf.KVMMarkKindMARK_VMM_EXEC]
	b.fire("raw_tp_exec")
	if again := slotOf(t, w).Marks[bpf.KVMMarkKindMARK_VMM_EXEC]; first.Ns == 0 || again != first {
		t.Errorf("exec mark %+v, then %+v: the first must stay", first, again)
	}
}
