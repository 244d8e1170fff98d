// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"encoding/binary"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf/btf"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ukprobe/ukprobe/bpf"
)

// kvmExit is the record of kvm_exit: common fields, reason, RIP, ISA.
func kvmExit(isa, reason uint32, rip uint64) []byte {
	r := make([]byte, 32)
	binary.NativeEndian.PutUint32(r[8:], reason)
	binary.NativeEndian.PutUint64(r[16:], rip)
	binary.NativeEndian.PutUint32(r[24:], isa)
	return r
}

const isaVMX, isaSVM = 1, 2

func kvmTarget(t *testing.T) Target { return Target{CgroupID: ownCgroup(t), KVM: true} }

func TestExitReasons(t *testing.T) {
	tests := []struct {
		isa    ISA
		number uint32
		fired  []uint32
		want   map[string]uint64
	}{
		// 0x80000021 is a failed entry (bit 31) with reason 33; 70000 is 4464 in
		// its low 16 bits, beyond the table like 0x80.
		{VMX, isaVMX, []uint32{10, 12, 12, 30, 48, 0x80000021, 5, 70000, 0x80}, map[string]uint64{
			"cpuid": 1, "hlt": 2, "io": 1, "nested_page_fault": 1, "other": 3, "invalid_state": 1}},
		{SVM, isaSVM, []uint32{0x72, 0x78, 0x7b, 0x7b, 0x400, 0x401, 0x3ff, 0x40f, 0xffffffff}, map[string]uint64{
			"cpuid": 1, "hlt": 1, "io": 2, "nested_page_fault": 1, "avic_incomplete_ipi": 1, "other": 3}},
	}
	for _, tt := range tests {
		t.Run(string(tt.isa), func(t *testing.T) {
			b := newBench(t, 2, tt.isa)
			w := b.open(kvmTarget(t))
			for _, reason := range tt.fired {
				b.fireRecord("tracepoint_kvm_exit", kvmExit(tt.number, reason, 0))
				b.fire("raw_tp_entry")
			}
			c := countsOf(t, w)
			if diff := cmp.Diff(tt.want, c.ExitCounts); diff != "" {
				t.Errorf("exits (-want +got):\n%s", diff)
			}
			var handled uint64
			for name, h := range c.Exits {
				if handled += h.Count; name != "other" && h.Count != tt.want[name] {
					t.Errorf("%s: %d handling times, want %d", name, h.Count, tt.want[name])
				}
			}
			if handled != uint64(len(tt.fired)) {
				t.Errorf("%d handling times of %d exits", handled, len(tt.fired))
			}
			n := uint64(len(tt.fired))
			if c.Values["kvm_exits"] != n || c.Values["kvm_entries"] != n {
				t.Errorf("values %v: want %d exits and entries", c.Values, n)
			}
		})
	}
}

// TestExitHandlingTime: from the exit to the next entry, once.
func TestExitHandlingTime(t *testing.T) {
	b := newBench(t, 1, SVM)
	w := b.open(kvmTarget(t))
	b.fire("raw_tp_entry") // the first entry ends no exit
	before := now()
	b.fireRecord("tracepoint_kvm_exit", kvmExit(isaSVM, 0x78, 0))
	time.Sleep(20 * time.Millisecond)
	b.fire("raw_tp_entry")
	most := now() - before
	b.fire("raw_tp_entry")                                        // without an exit before it
	b.fireRecord("tracepoint_kvm_exit", kvmExit(isaSVM, 0x78, 0)) // the guest's last: no entry follows
	c := countsOf(t, w)
	if n := c.ExitCounts["hlt"]; n != 2 || len(c.ExitCounts) != 1 {
		t.Errorf("exits %v: want 2 hlt, the last one included", c.ExitCounts)
	}
	h := c.Exits["hlt"]
	if h.Count != 1 || int64(h.SumNS) < 20e6 || int64(h.SumNS) > most {
		t.Errorf("handling time of %d exits is %d ns: want 1 of 20 ms to %d ns", h.Count, h.SumNS, most)
	}
}

func TestFirmwareEndIsFirstAddressInTheImage(t *testing.T) {
	b := newBench(t, 1, SVM)
	target := kvmTarget(t)
	target.Image = []Segment{{Lo: 0x100000, Hi: 0x101000}, {Lo: 0xffffffff80000000, Hi: 0xffffffff81000000}}
	w := b.open(target)
	exit := func(rip uint64) { b.fireRecord("tracepoint_kvm_exit", kvmExit(isaSVM, 0x7b, rip)) }
	ended := func() bool { return slotOf(t, w).Marks[bpf.KVMMarkKindMARK_FIRMWARE_END].Ns != 0 }
	for _, rip := range []uint64{0, 0xfffffff0, 0xfffff, 0x101000, 0xffffffff7fffffff, 0xffffffff81000000} {
		if exit(rip); ended() {
			t.Fatalf("0x%x is outside and ended the firmware", rip)
		}
	}
	before := now()
	exit(0xffffffff80000000)
	first := slotOf(t, w).Marks[bpf.KVMMarkKindMARK_FIRMWARE_END]
	if int64(first.Ns) < before || int64(first.Ns) > now() || bpf.KVMHook(first.Hook) != bpf.KVMHookHOOK_KVM_EXIT || int(first.Tid) != unix.Gettid() {
		t.Errorf("mark %+v: want a time from %d to now, of this thread and kvm_exit", first, before)
	}
	exit(0x100000)
	if again := slotOf(t, w).Marks[bpf.KVMMarkKindMARK_FIRMWARE_END]; again != first {
		t.Errorf("mark %+v became %+v: only the first time counts", first, again)
	}
}

// TestEmulatedInstruction runs the hook on a vCPU made by hand, laid out by the
// running kernel's BTF.
func TestEmulatedInstruction(t *testing.T) {
	b := newBench(t, 1, SVM)
	target := kvmTarget(t)
	target.Image = []Segment{{Lo: 0x100000, Hi: 0x101000}}
	w := b.open(target)
	toCtxt := memberOffset(t, b.loader, "kvm_vcpu", "arch", "emulate_ctxt")
	toEIP := memberOffset(t, b.loader, "x86_emulate_ctxt", "eip")
	vcpu := newKernelBuffer(t, int(toCtxt+8+toEIP+8))
	at := func(rip uint64) {
		image := make([]byte, vcpu.size)
		binary.NativeEndian.PutUint64(image[toCtxt:], vcpu.Addr+toCtxt+8)
		binary.NativeEndian.PutUint64(image[toCtxt+8+toEIP:], rip)
		vcpu.Set(image)
		b.fire("raw_tp_insn", vcpu.Addr, 0)
	}
	marks := func() (entry, firmware bpf.KVMMark) {
		s := slotOf(t, w)
		return s.Marks[bpf.KVMMarkKindMARK_GUEST_ENTRY], s.Marks[bpf.KVMMarkKindMARK_FIRMWARE_END]
	}
	at(0xfffffff0)
	entry, firmware := marks()
	if entry.Ns == 0 || bpf.KVMHook(entry.Hook) != bpf.KVMHookHOOK_INSN || firmware.Ns != 0 {
		t.Fatalf("at the reset vector: entry %+v, firmware end %+v: want the first only", entry, firmware)
	}
	at(0x100010)
	again, firmware := marks()
	if firmware.Ns <= entry.Ns || again != entry {
		t.Errorf("inside the image: entry %+v, then %+v, firmware end %+v", entry, again, firmware)
	}
}

// memberOffset is where the running kernel has a member, in bytes.
func memberOffset(t testing.TB, l *loader, typ string, members ...string) uint64 {
	t.Helper()
	kernel, err := l.cache.Kernel()
	if err != nil {
		t.Fatal(err)
	}
	var s *btf.Struct
	for _, spec := range append([]*btf.Spec{kernel}, l.modules...) {
		if spec.TypeByName(typ, &s) == nil {
			break
		}
	}
	if s == nil {
		t.Skipf("needs a kernel with struct %s: load kvm", typ)
	}
	var offset uint64
	for i, name := range members {
		found := false
		for _, m := range s.Members {
			if m.Name == name {
				offset, found = offset+uint64(m.Offset.Bytes()), true
				if next, ok := btf.UnderlyingType(m.Type).(*btf.Struct); ok && i < len(members)-1 {
					s = next
				}
				break
			}
		}
		if !found {
			t.Fatalf("struct %s has no member %s", s.Name, name)
		}
	}
	return offset
}

func TestUserspaceExits(t *testing.T) {
	b := newBench(t, 1, SVM)
	w := b.open(kvmTarget(t))
	b.ran(w)
	for _, reason := range []uint64{2, 2, 5, 6, 17, 8, 41, 63, 64, 0xffffffff} {
		b.fire("raw_tp_user_exit", reason, 0)
	}
	const eintr = 1<<32 - 4 // as an int
	b.fire("raw_tp_user_exit", 2, eintr)
	c := countsOf(t, w)
	// With an error, the reason in the record is an earlier exit's.
	want := map[string]uint64{"io": 2, "hlt": 1, "mmio": 1, "internal_error": 1, "shutdown": 1, "arm_sea": 1, "exit_63": 3, "intr": 1}
	if diff := cmp.Diff(want, c.UserExitCounts); diff != "" {
		t.Errorf("reasons (-want +got):\n%s", diff)
	}
	if c.Values["kvm_userspace_exits"] != 11 {
		t.Errorf("values %v: want 11 exits", c.Values)
	}
	tl := w.Timeline()
	for _, name := range []string{EventInternalError, EventShutdown} {
		if e, ok := tl.At(name); !ok || e.Hook != HookUserExit || e.TID != unix.Gettid() {
			t.Errorf("%s: %+v, %v", name, e, ok)
		}
	}
}

func TestCPUIDsAreCounted(t *testing.T) {
	b := newBench(t, 1, SVM)
	w := b.open(kvmTarget(t))
	b.ran(w)
	for range 7 {
		b.fire("raw_tp_cpuid")
	}
	if got := countsOf(t, w).Values["cpuid"]; got != 7 {
		t.Errorf("%d, want 7", got)
	}
}

// TestHaltsReportTheFirstAfterWork: every halt counts, but only the first after
// something happened is told, with the time at which it began.
func TestHaltsReportTheFirstAfterWork(t *testing.T) {
	b := newBench(t, 1, SVM)
	target := kvmTarget(t)
	target.ConsolePort, target.Ready = com1, regexp.MustCompile("^ready$")
	w := b.open(target)
	b.ran(w)
	u := newUART(b)
	halted := func() int { w.mu.Lock(); defer w.mu.Unlock(); return len(w.halts) }

	b.fire("raw_tp_halt", 1000) // nothing has happened yet
	u.print("booting\n")
	b.fire("raw_tp_halt", uint64(now())/2) // told now, but begun before the line
	time.Sleep(time.Millisecond)           // longer than the halts that follow
	b.fire("raw_tp_halt", 1000)
	b.fire("raw_tp_halt", 1000)
	eventually(t, "the halt after the first line", func() bool { return halted() == 1 })
	u.print("ready\n")
	time.Sleep(time.Millisecond)
	before := now()
	b.fire("raw_tp_halt", 5000)
	eventually(t, "the halt after the ready line", func() bool { return halted() == 2 })

	if got := countsOf(t, w).Values["halts"]; got != 5 {
		t.Errorf("%d halts, want 5", got)
	}
	idle, ok := w.Timeline().At(EventIdle)
	if !ok || idle.NS < before-5000 || idle.NS > now()-5000 || idle.Hook != HookHalt {
		t.Errorf("idle %+v, %v: want the halt that began 5 µs before it was told, at about %d", idle, ok, before)
	}
}

// TestIdlePort: a guest that never halts is idle at the first write to its port for
// that after it was ready; reads, other ports and what follows at once are not told,
// and none of it is a halt.
func TestIdlePort(t *testing.T) {
	const port = 0x503
	b := newBench(t, 1, SVM)
	target := kvmTarget(t)
	target.ConsolePort, target.IdlePort, target.Ready = com1, port, regexp.MustCompile("^ready$")
	w := b.open(target)
	b.ran(w)
	u := newUART(b)
	waits := func() int { w.mu.Lock(); defer w.mu.Unlock(); return len(w.halts) }

	u.print("booting\n")
	u.access(pioOut, port, 4, 1, 0)
	u.access(pioOut, port, 4, 1, 0)
	eventually(t, "the wait after the first line", func() bool { return waits() == 1 })
	u.print("ready\n")
	u.access(pioIn, port, 4, 1, 0)
	u.access(pioOut, port+1, 4, 1, 0)
	before := now()
	u.access(pioOut, port, 4, 1, 0)
	after := now()
	u.access(pioOut, port, 4, 1, 0)
	eventually(t, "the wait after the ready line", func() bool { return waits() == 2 })

	idle, ok := w.Timeline().At(EventIdle)
	if !ok || idle.NS < before || idle.NS > after || idle.Hook != HookPIO {
		t.Errorf("idle %+v, %v: want the write between %d and %d", idle, ok, before, after)
	}
	if got := countsOf(t, w).Values["halts"]; got != 0 {
		t.Errorf("%d halts, want 0", got)
	}
}

// TestVCPUTableOverflows: a vCPU beyond the table is lost, and said to be.
func TestVCPUTableOverflows(t *testing.T) {
	b := newBench(t, 1, SVM)
	w := b.open(kvmTarget(t))
	free := b.loader.maps[bpf.KVMMapFreeVcpus]
	var i uint32
	for range free.MaxEntries() {
		if err := free.LookupAndDelete(nil, &i); err != nil {
			t.Fatal(err)
		}
	}
	b.fire("raw_tp_entry")
	c := countsOf(t, w)
	if c.Lost["vcpus"] == 0 || c.Values["kvm_entries"] != 0 {
		t.Errorf("values %v, lost %v: want the entry among the lost", c.Values, c.Lost)
	}
}

// recordFields are the fields of tracepoints' records that the programs read,
// with the offsets and sizes that they assume.
var recordFields = []struct {
	event, field string
	offset, size int
}{
	{"kvm_exit", "exit_reason", 8, 4}, {"kvm_exit", "guest_rip", 16, 8}, {"kvm_exit", "isa", 24, 4},
	{"kvm_userspace_exit", "reason", 8, 4},
	{"kvm_pio", "rw", 8, 4}, {"kvm_pio", "port", 12, 4}, {"kvm_pio", "size", 16, 4}, {"kvm_pio", "count", 20, 4}, {"kvm_pio", "val", 24, 4},
	{"kvm_vcpu_wakeup", "ns", 8, 8},
	{"kvm_emulate_insn", "rip", 8, 8},
}

// TestRecordsAreTheKernels holds those offsets against the running kernel's.
func TestRecordsAreTheKernels(t *testing.T) {
	const dir = "/sys/kernel/tracing/events/kvm/"
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("needs tracefs with KVM's events: %v", err)
	}
	re := regexp.MustCompile(`field:.*\b(\w+);\s*offset:(\d+);\s*size:(\d+);`)
	for _, f := range recordFields {
		format, err := os.ReadFile(dir + f.event + "/format")
		if err != nil {
			t.Error(err)
			continue
		}
		found := false
		for line := range strings.Lines(string(format)) {
			if m := re.FindStringSubmatch(line); m != nil && m[1] == f.field {
				found = true
				if m[2] != strconv.Itoa(f.offset) || m[3] != strconv.Itoa(f.size) {
					t.Errorf("%s.%s is at %s with %s bytes, the program reads %d bytes at %d", f.event, f.field, m[2], m[3], f.size, f.offset)
				}
			}
		}
		if !found {
			t.Errorf("%s has no field %s:\n%s", f.event, f.field, format)
		}
	}
}

// TestRecordsOfTheOtherTracepoints runs the remaining classic programs.
func TestRecordsOfTheOtherTracepoints(t *testing.T) {
	b := newBench(t, 1, SVM)
	target := kvmTarget(t)
	target.ConsolePort, target.Image = com1, []Segment{{Lo: 0x1000, Hi: 0x2000}}
	w := b.open(target)
	for _, c := range "hi\n" {
		b.fireRecord("tracepoint_pio", words(0, 0, pioOut, com1, 1, 1, uint32(c)))
	}
	b.fireRecord("tracepoint_user_exit", words(0, 0, 2, 0))
	b.fireRecord("tracepoint_insn", words(0, 0, 0x1ffc, 0, 0, 0))
	b.fireRecord("tracepoint_halt", words(0, 0, 700, 0, 0))
	b.fireRecord("tracepoint_cpuid", words(0, 0))
	b.fireRecord("tracepoint_entry", words(0, 0))
	eventually(t, "the line", func() bool { return len(w.Lines()) == 1 })
	if diff := cmp.Diff([]string{"hi\n"}, texts(w.Lines())); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	c := countsOf(t, w)
	want := map[string]uint64{"pio_out": 3, "pio_in": 0, "kvm_userspace_exits": 1, "halts": 1, "cpuid": 1, "kvm_entries": 1}
	if diff := cmp.Diff(want, c.Values); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
	if slotOf(t, w).Marks[bpf.KVMMarkKindMARK_FIRMWARE_END].Ns == 0 {
		t.Error("an instruction inside the image did not end the firmware")
	}
}

// words makes a record of 32-bit words.
func words(ws ...uint32) []byte {
	var out []byte
	for _, w := range ws {
		out = binary.NativeEndian.AppendUint32(out, w)
	}
	return out
}
