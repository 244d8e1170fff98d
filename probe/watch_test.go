// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf/link"
	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/bpf"
)

// openProbe attaches to the real kernel until the test ends.
func openProbe(t *testing.T, opt Options) *Probe {
	t.Helper()
	needRoot(t)
	p, err := Open(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return p
}

// process starts a program with its console on a pipe, in a cgroup if fd is not
// negative, and waits for its end.
func process(t *testing.T, fd int, argv ...string) {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if fd >= 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: fd}
	}
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %v: %s", argv, err, out.String())
	}
}

// watchProcess watches a cgroup for a process that prints.
func watchProcess(t *testing.T, p *Probe, id uint64) *Watch {
	t.Helper()
	w, err := p.Watch(Target{CgroupID: id, ConsoleWrite: true, ConsoleFD: 1, Ready: regexp.MustCompile("^hello ")})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func closeWatch(t *testing.T, w *Watch) {
	t.Helper()
	if err := w.Close(); err != nil {
		t.Errorf("close watch: %v", err)
	}
}

func ended(w *Watch) func() bool {
	return func() bool { _, ok := w.Timeline().At(EventVMMExit); return ok && w.Timeline().Ready() }
}

func TestProcessIsTimed(t *testing.T) {
	p := openProbe(t, Options{})
	_, fd, id := freshCgroup(t)
	w := watchProcess(t, p, id)
	defer closeWatch(t, w)
	process(t, -1, "/bin/echo", "hello from outside the cgroup")
	before := now()
	process(t, fd, "/bin/echo", "hello from inside")
	after := now()
	eventually(t, "ready and ended", ended(w))

	tl := w.Timeline()
	var names []string
	for _, e := range tl.Events {
		names = append(names, e.Name)
		if e.NS < before || e.NS > after || e.Rung == "" || e.Hook == "" {
			t.Errorf("%+v: want a time from %d to %d, a rung and a hook", e, before, after)
		}
	}
	if diff := cmp.Diff([]string{EventVMMExec, EventConsoleFirst, EventConsoleReady, EventVMMExit}, names); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"hello from inside\n"}, texts(w.Lines())); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	if total := tl.Phases().Total; total == nil || *total <= 0 || total.Nanoseconds() > after-before {
		t.Errorf("total %v, want within %v", total, time.Duration(after-before))
	}
	if c := countsOf(t, w); len(c.Values) != 0 || len(c.Lost) != 0 {
		t.Errorf("values %v, lost %v: a process has no KVM and lost nothing", c.Values, c.Lost)
	}
	select {
	case <-w.Progress():
	default:
		t.Error("no token for what arrived")
	}
}

// TestSlotIsEmptyForItsNextTenant: nothing of a watch is left for the next one.
func TestSlotIsEmptyForItsNextTenant(t *testing.T) {
	p := openProbe(t, Options{Slots: 1})
	_, fd, id := freshCgroup(t)
	first := watchProcess(t, p, id)
	process(t, fd, "/bin/echo", "hello first")
	eventually(t, "ready and ended", ended(first))
	closeWatch(t, first)

	_, _, id = freshCgroup(t)
	second := watchProcess(t, p, id)
	defer closeWatch(t, second)
	process(t, fd, "/bin/echo", "hello in the old cgroup")
	if second.slot != first.slot {
		t.Fatalf("slot %d, want the first one's %d", second.slot, first.slot)
	}
	if diff := cmp.Diff(bpf.KVMSlot{}, slotOf(t, second), cmp.AllowUnexported(bpf.KVMSlot{}, bpf.KVMMark{}, bpf.KVMLine{}, bpf.KVMSegment{})); diff != "" {
		t.Errorf("slot (-want +got):\n%s", diff)
	}
	tl := second.Timeline()
	if c := countsOf(t, second); len(tl.Events) != 0 || len(second.Lines()) != 0 || len(c.Lost) != 0 {
		t.Errorf("events %v, lines %v, lost %v: want nothing", tl.Events, second.Lines(), c.Lost)
	}
}

// TestSlotCountersAreEmptyForItsNextTenant: the same for all that is counted.
func TestSlotCountersAreEmptyForItsNextTenant(t *testing.T) {
	b := newBench(t, 1, SVM)
	target := kvmTarget(t)
	target.ConsolePort, target.Image = com1, []Segment{{Lo: 1, Hi: 2}}
	first := b.open(target)
	u := newUART(b)
	u.out(lcr, 0x80)
	u.out(lcr, 0)
	u.print("half a li")
	b.fireRecord("tracepoint_kvm_exit", kvmExit(isaSVM, 0x7b, 1))
	b.fire("raw_tp_entry")
	b.fire("raw_tp_user_exit", 8, 0)
	b.fire("raw_tp_cpuid")
	if c := countsOf(t, first); len(c.Exits) != 1 || len(c.UserExitCounts) != 1 || len(c.Ports) != 2 {
		t.Fatalf("counts %+v: the first tenant's are not there", c)
	}
	closeWatch(t, first)
	second := b.open(Target{CgroupID: nowhere, KVM: true})
	c := countsOf(t, second)
	for name, n := range c.Values {
		if n != 0 {
			t.Errorf("%s is %d", name, n)
		}
	}
	if len(c.Exits)+len(c.UserExits)+len(c.UserExitCounts)+len(c.Ports)+len(c.Lost)+len(second.Lines())+len(second.Timeline().Events) != 0 {
		t.Errorf("counts %+v, lines %v, events %v: want none", c, second.Lines(), second.Timeline().Events)
	}
}

// TestThreadOfAnOldWatchIsNobodys: a vCPU that outlives its watch counts for the
// next watch of its cgroup, not for the old slot.
func TestThreadOfAnOldWatchIsNobodys(t *testing.T) {
	b := newBench(t, 2, SVM)
	old := b.open(kvmTarget(t))
	b.fire("raw_tp_entry")
	closeWatch(t, old)
	b.fire("raw_tp_entry") // nobody's
	w := b.open(kvmTarget(t))
	b.fire("raw_tp_entry")
	if got := countsOf(t, w).Values["kvm_entries"]; w.slot == old.slot || got != 1 {
		t.Errorf("slot %d after %d: %d entries, want 1", w.slot, old.slot, got)
	}
}

func TestTwoWatchesDoNotMix(t *testing.T) {
	p := openProbe(t, Options{Slots: 2})
	type guest struct {
		fd int
		w  *Watch
	}
	var guests []guest
	for range 2 {
		_, fd, id := freshCgroup(t)
		w := watchProcess(t, p, id)
		defer closeWatch(t, w)
		guests = append(guests, guest{fd, w})
	}
	const each = 20
	done := make(chan error)
	for i, g := range guests {
		go func() {
			cmd := exec.Command("/bin/sh", "-c", fmt.Sprintf("for n in $(seq %d); do echo hello %d $n; done", each, i))
			cmd.Stdout = &bytes.Buffer{}
			cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: g.fd}
			done <- cmd.Run()
		}()
	}
	if err := errors.Join(<-done, <-done); err != nil {
		t.Fatal(err)
	}
	for i, g := range guests {
		var want []string
		for n := range each {
			want = append(want, fmt.Sprintf("hello %d %d\n", i, n+1))
		}
		var got []string
		eventually(t, "all lines read", func() bool {
			got = nil
			// What seq writes for the shell is on its standard output too.
			for _, text := range texts(g.w.Lines()) {
				if strings.HasPrefix(text, "hello") {
					got = append(got, text)
				}
			}
			return len(got) >= each
		})
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("guest %d: lines (-want +got):\n%s", i, diff)
		}
	}
}

func TestSlotsAreLimited(t *testing.T) {
	b := newBench(t, 2, SVM)
	b.open(Target{CgroupID: nowhere})
	second := b.open(Target{CgroupID: nowhere + 1})
	if _, err := b.Watch(Target{CgroupID: nowhere + 2}); err == nil || err.Error() != "watch: all 2 slots are taken" {
		t.Errorf("a third watch: %v", err)
	}
	closeWatch(t, second)
	if w := b.open(Target{CgroupID: nowhere + 2}); w.slot != second.slot {
		t.Errorf("slot %d, want the free one %d", w.slot, second.slot)
	}
	if _, err := b.Watch(Target{Image: make([]Segment, 9)}); err == nil || !strings.Contains(err.Error(), "9 image segments: at most 8") {
		t.Errorf("nine segments: %v", err)
	}
}

func TestOpenRefusesSlots(t *testing.T) {
	for _, n := range []int{-1, bpfMaxSlots + 1} {
		if p, err := Open(Options{Slots: n}); err == nil || !strings.Contains(err.Error(), "must be 1 to 1024") {
			t.Errorf("%d: %v, %v", n, p, err)
		}
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// linkIDs lists all BPF links of the machine.
func linkIDs(t *testing.T) map[link.ID]bool {
	t.Helper()
	out := map[link.ID]bool{}
	it := new(link.Iterator)
	defer it.Close()
	for it.Next() {
		out[it.ID] = true
	}
	if err := it.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// attachedIDs are the links of a probe, as far as the kernel gives them an id.
func attachedIDs(p *Probe) (ids []link.ID) {
	for _, s := range p.states {
		for _, a := range s.attached {
			if info, err := a.link.Info(); err == nil {
				ids = append(ids, info.ID)
			}
		}
	}
	return ids
}

// TestCloseLeavesNothing: no descriptor and no link, after watches that came and
// went and one that was left open.
func TestCloseLeavesNothing(t *testing.T) {
	needRoot(t)
	_, fd, id := freshCgroup(t)
	process(t, fd, "/bin/true") // whatever os/exec opens once is open now
	var before int
	for round := range 3 {
		p, err := Open(Options{})
		if err != nil {
			t.Fatal(err)
		}
		w := watchProcess(t, p, id)
		ids := attachedIDs(p)
		there := linkIDs(t)
		if len(ids) == 0 {
			t.Fatal("no hook is attached by a link")
		}
		for _, id := range ids {
			if !there[id] {
				t.Errorf("the machine does not list link %d", id)
			}
		}
		process(t, fd, "/bin/echo", "hello again")
		if round != 1 { // a Probe may be closed over its watches
			closeWatch(t, w)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "all links gone", func() bool {
			there := linkIDs(t)
			for _, id := range ids {
				if there[id] {
					return false
				}
			}
			return true
		})
		if round == 0 { // the first may open what stays, such as the runtime's epoll
			before = descriptors(t)
		} else if after := descriptors(t); after != before {
			t.Errorf("round %d: %d descriptors, %d before", round, after, before)
		}
	}
}

// TestSyscallHookOnDemand: it is attached while somebody needs it, and no longer.
func TestSyscallHookOnDemand(t *testing.T) {
	p := openProbe(t, Options{Slots: 2})
	holders := func() int {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.state(HookSyscall).attached)
	}
	if n := holders(); n != 0 {
		t.Fatalf("%d programs before anybody needs them", n)
	}
	first, second := watchProcess(t, p, nowhere), watchProcess(t, p, nowhere+1)
	closeWatch(t, first)
	if n := holders(); n != 2 {
		t.Errorf("%d programs while a watch needs them, want 2", n)
	}
	closeWatch(t, second)
	if n := holders(); n != 0 {
		t.Errorf("%d programs after the last watch", n)
	}
	for _, h := range p.Hooks() {
		if h.Hook == HookSyscall && (h.Rung == "" || !h.OnDemand) {
			t.Errorf("status %+v: on demand, and its rung is known", h)
		}
	}
}

// TestRingBufferOverflowIsCounted stops the reader: what does not fit is counted
// as lost, one by one, and the marks survive, for they do not travel that way.
func TestRingBufferOverflowIsCounted(t *testing.T) {
	b := newBench(t, 1, SVM)
	target := kvmTarget(t)
	target.ConsolePort = com1
	w := b.open(target)
	b.ran(w)
	u := newUART(b)
	u.data.Set([]byte{'\n'})
	const sent = 4000 // 1 MiB holds 3,542 lines
	b.mu.Lock()       // dispatch waits for it
	for range sent {
		b.fire("raw_tp_pio", pioOut, com1, 1, 1, u.data.Addr)
	}
	b.fire("raw_tp_user_exit", 8, 0)
	b.mu.Unlock()
	lost := countsOf(t, w).Lost["ringbuf"]
	if lost == 0 || lost >= sent {
		t.Fatalf("%d of %d lines lost", lost, sent)
	}
	eventually(t, "every line that was not lost", func() bool { return uint64(len(w.Lines())) == sent-lost })
	if _, ok := w.Timeline().At(EventShutdown); !ok {
		t.Error("the mark is lost with the lines")
	}
	if out := countsOf(t, w).Values["pio_out"]; out != sent {
		t.Errorf("%d writes counted, want %d: counting does not depend on the ring buffer", out, sent)
	}
	u.print("alive\n")
	eventually(t, "lines after the overflow", func() bool {
		lines := w.Lines()
		return lines[len(lines)-1].Text == "alive\n"
	})
}

// TestRecordsOfTheLastTenantAreDropped: a record on its way when the slot changed
// hands is not the new watch's.
func TestRecordsOfTheLastTenantAreDropped(t *testing.T) {
	b := newBench(t, 1, SVM)
	w := b.open(Target{CgroupID: nowhere})
	late := bpf.KVMRecord{Ns: uint64(w.startNS - 1), Kind: uint32(bpf.KVMRecordKindRECORD_LINE), Slot: w.slot, Arg: 1}
	b.dispatch(late)
	b.dispatch(bpf.KVMRecord{Ns: uint64(now()), Kind: uint32(bpf.KVMRecordKindRECORD_LINE), Slot: 15, Arg: 1}) // no such slot
	if n := len(w.Lines()); n != 0 {
		t.Errorf("%d lines", n)
	}
	late.Ns = uint64(w.startNS)
	b.dispatch(late)
	if n := len(w.Lines()); n != 1 {
		t.Errorf("%d lines, want its own", n)
	}
}
