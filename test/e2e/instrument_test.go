// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/ukprobe/ukprobe/guests/reference"
	"github.com/ukprobe/ukprobe/probe"
)

// These tests use package probe by itself, on guests that they start themselves.

// openProbe attaches the probes until the test ends.
func openProbe(t *testing.T, opt probe.Options) *probe.Probe {
	t.Helper()
	needRoot(t)
	needKVM(t)
	p, err := probe.Open(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("close the probe: %v", err)
		}
	})
	return p
}

// A machine is a reference guest in a QEMU that the test started.
type machine struct {
	t   *testing.T
	cmd *exec.Cmd
	out bytes.Buffer
}

var referenceImage = sync.OnceValues(func() (string, error) {
	path := filepath.Join(work, "reference.elf")
	return path, os.WriteFile(path, reference.Image(), 0o644)
})

// machineArgs is the command line of a reference guest under KVM on microvm.
func machineArgs(t *testing.T, vcpus int, guest string) []string {
	t.Helper()
	qemu := needProgram(t, "qemu-system-x86_64", "qemu-system-x86")
	image, err := referenceImage()
	if err != nil {
		t.Fatal(err)
	}
	cpu := "host"
	if !inside() {
		cpu += ",-arch-capabilities" // KVM without hardware behind it refuses it
	}
	return []string{qemu, "-machine", "microvm,x-option-roms=off,pit=off,pic=off,rtc=off,acpi=off,accel=kvm", "-cpu", cpu,
		"-m", "16", "-smp", fmt.Sprint(vcpus), "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio",
		"-no-reboot", "-kernel", image, "-append", guest}
}

// startMachine starts a command line, in a cgroup if cgroupFD is not 0.
func startMachine(t *testing.T, cgroupFD int, argv ...string) *machine {
	t.Helper()
	m := &machine{t: t, cmd: exec.Command(argv[0], argv[1:]...)}
	m.cmd.Stdout, m.cmd.Stderr = &m.out, &m.out
	m.cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: cgroupFD != 0, CgroupFD: cgroupFD, Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := m.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return m
}

// wait is until the guest has ended by itself.
func (m *machine) wait() {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), patience(30*time.Second))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = syscall.Kill(-m.cmd.Process.Pid, syscall.SIGKILL) })
	defer stop()
	if err := m.cmd.Wait(); err != nil {
		m.t.Errorf("the guest ended with %v: %s", err, m.out.String())
	}
}

// ownCgroup makes a cgroup for machines.
func ownCgroup(t *testing.T) (fd int, id uint64) {
	t.Helper()
	mount := "/sys/fs/cgroup"
	if _, err := os.Stat(mount + "/cgroup.controllers"); err != nil {
		mount += "/unified"
	}
	dir, err := os.MkdirTemp(mount, "ukprobe-e2e-")
	if err != nil {
		t.Skipf("needs a cgroup v2 hierarchy: %v", err)
	}
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = f.Close()
		for range 100 {
			if err = os.Remove(dir); !errors.Is(err, syscall.EBUSY) {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		if err != nil {
			t.Errorf("remove %s: %v", dir, err)
		}
	})
	var st syscall.Stat_t
	if err := syscall.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	return int(f.Fd()), st.Ino
}

func countsOf(t *testing.T, w *probe.Watch) probe.Counts {
	t.Helper()
	w.Drain()
	c, err := w.Counts()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// checkPorts holds the port writes against what the guest was told.
func checkPorts(t *testing.T, c probe.Counts, pio uint64) {
	t.Helper()
	if got := c.Ports[probe.Port{Number: 0x5f0, Out: true}]; got != pio {
		t.Errorf("%d port writes, want %d", got, pio)
	}
	for cause, n := range c.Lost {
		if cause != "hook_runs" { // of the whole host
			t.Errorf("lost %d %s", n, cause)
		}
	}
}

// TestTwoGuestsAtOnce: what one does is never counted for the other.
func TestTwoGuestsAtOnce(t *testing.T) {
	p := openProbe(t, probe.Options{Slots: 2})
	asked := []reference.Cmdline{{PIO: 3000, CPUID: 70, HLT: 3, End: "exit"}, {PIO: 50, CPUID: 4000, HLT: 9, End: "exit"}}
	var watches []*probe.Watch
	var machines []*machine
	for _, c := range asked {
		fd, id := ownCgroup(t)
		w, err := p.Watch(probe.Target{CgroupID: id, ConsolePort: reference.COM1, KVM: true, Full: true})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := w.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		}()
		watches = append(watches, w)
		machines = append(machines, startMachine(t, fd, machineArgs(t, 1, c.String())...))
	}
	for _, m := range machines {
		m.wait()
	}
	var firmware uint64 // CPUIDs: the same for both
	for i, w := range watches {
		c := countsOf(t, w)
		checkPorts(t, c, uint64(asked[i].PIO))
		own := c.Values["cpuid"] - uint64(asked[i].CPUID)
		if i > 0 && own != firmware {
			t.Errorf("guest %d: %d CPUIDs beside its own %d; the other guest has %d beside its own", i, own, asked[i].CPUID, firmware)
		}
		firmware = own
		lines := w.Lines()
		if len(lines) == 0 || !strings.HasPrefix(lines[0].Text, "ukprobe-reference: start") || len(lines) != 3 {
			t.Errorf("guest %d: lines %+v: want its own three", i, lines)
		}
		if inside() {
			checkTimes(t, c, 1, uint64(asked[i].HLT))
		}
	}
}

// checkTimes holds the times against each other: a guest's exits are handled by
// KVM or its VMM or while it is halted, and it has been halted as often as it asked
// for, each time for 10 ms less what it took to get there.
func checkTimes(t *testing.T, c probe.Counts, vcpus int, halts uint64) {
	t.Helper()
	for reason, h := range c.Exits {
		parts := c.Parts[reason]
		if sum := parts.VMM + parts.Halted + parts.Waited; sum > time.Duration(h.SumNS) {
			t.Errorf("%s: parts of %v (%+v) in %v", reason, sum, parts, time.Duration(h.SumNS))
		}
	}
	if c.Parts["io"].VMM == 0 || c.UserExits["io"].Count == 0 {
		t.Errorf("port writes took the VMM no time: %+v", c.Parts["io"])
	}
	halted := c.Spans[probe.SpanHalted]
	// The firmware adds none: qboot halts only when it gives up. But one HLT can be
	// halted several times: a signal to the vCPU's thread, which is how QEMU talks to
	// it, ends a halt, and with the next KVM_RUN KVM begins it anew. So there may be
	// more than asked for, but not twice as many, which would be counting each twice;
	// and fewer, as the timer may fire before the guest gets to its HLT. Before
	// Linux 5.17 the event also tells of a CPU that waits for its start, which has
	// two parts: INIT and SIPI.
	if starts := 2 * uint64(vcpus-1); halted.Count > halts+1+halts/2+starts || halted.Count < 1 {
		t.Errorf("halted %d times, asked for %d", halted.Count, halts)
	}
	if c.GuestTime["io"].Count == 0 || c.Spans[probe.SpanPopulate].Count == 0 {
		t.Errorf("no time in the guest (%+v), or no page fault gave it memory (%+v)", c.GuestTime["io"], c.Spans)
	}
}

// TestFourVCPUs: four vCPUs work at the same time, and nothing of any is lost or
// counted twice.
func TestFourVCPUs(t *testing.T) {
	const cpus, pio, cpuid = 4, 2000, 300
	p := openProbe(t, probe.Options{Slots: 1})
	counts := func(c reference.Cmdline, vcpus int) probe.Counts {
		fd, id := ownCgroup(t)
		w, err := p.Watch(probe.Target{CgroupID: id, ConsolePort: reference.COM1, KVM: true, Full: true})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := w.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		}()
		m := startMachine(t, fd, machineArgs(t, vcpus, c.String())...)
		m.wait()
		if !strings.Contains(m.out.String(), "ukprobe-reference: ready") {
			t.Fatalf("the guest did not become ready: %s", m.out.String())
		}
		return countsOf(t, w)
	}
	// The firmware's, and what KVM's own emulator asks when the CPUs are started.
	idle := counts(reference.Cmdline{CPUs: cpus, End: "exit"}, cpus).Values["cpuid"]
	c := counts(reference.Cmdline{CPUs: cpus, PIO: pio, CPUID: cpuid, End: "exit"}, cpus)
	for k := range uint16(cpus) {
		if got := c.Ports[probe.Port{Number: 0x5f0 + k, Out: true}]; got != pio {
			t.Errorf("CPU %d: %d port writes, want %d", k, got, pio)
		}
	}
	if got := c.Values["cpuid"] - idle; got != cpus*cpuid {
		t.Errorf("%d CPUIDs, want %d", got, cpus*cpuid)
	}
	for cause, n := range c.Lost {
		if cause != "hook_runs" {
			t.Errorf("lost %d %s", n, cause)
		}
	}
	if !inside() {
		return
	}
	checkTimes(t, c, cpus, cpus)
	if c.Values["kvm_exits"] != c.Values["kvm_entries"] {
		t.Errorf("%d exits, %d entries", c.Values["kvm_exits"], c.Values["kvm_entries"])
	}
	if c.Exits["io"].Count < cpus*pio || c.ExitCounts["cpuid"] < cpus*cpuid {
		t.Errorf("exits %v: want at least the guest's own", c.ExitCounts)
	}
}

// TestVMMThatForks: the process with the VM is not the one that was started.
func TestVMMThatForks(t *testing.T) {
	p := openProbe(t, probe.Options{Slots: 4, Discover: true})
	fd, id := ownCgroup(t)
	w, err := p.Watch(probe.Target{CgroupID: id, ConsolePort: reference.COM1, KVM: true})
	if err != nil {
		t.Fatal(err)
	}
	argv := append([]string{"/bin/sh", "-c", `"$@" & wait`, "sh"}, machineArgs(t, 1, reference.Cmdline{PIO: 77, End: "exit"}.String())...)
	startMachine(t, fd, argv...).wait()
	checkPorts(t, countsOf(t, w), 77)
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	// The same, for a VM that nobody said would come.
	m := startMachine(t, 0, argv...)
	e := nextVM(t, p)
	if e.Gone || e.VM.PID == m.cmd.Process.Pid {
		t.Errorf("found %+v: want QEMU, the child of process %d", e.VM, m.cmd.Process.Pid)
	}
	m.wait()
	if end := nextVM(t, p); !end.Gone || end.VM != e.VM {
		t.Errorf("%+v, want the end of the VM", end)
	}
	checkPorts(t, countsOf(t, e.VM.Watch), 77)
	if err := p.Release(e.VM, false); err != nil {
		t.Error(err)
	}
}

func nextVM(t *testing.T, p *probe.Probe) probe.VMEvent {
	t.Helper()
	select {
	case e := <-p.VMs():
		return e
	case <-time.After(patience(10 * time.Second)):
		t.Fatal("no VM came or went")
		return probe.VMEvent{}
	}
}

// TestVMsThatEndWhileTheyAreAdopted: whatever the moment, it is an error or a VM
// whose end is told, and no slot is lost or given twice.
func TestVMsThatEndWhileTheyAreAdopted(t *testing.T) {
	const slots = 4 // two may be taken while a VM is found and adopted at the same time, and one still by the last
	p := openProbe(t, probe.Options{Slots: slots, Discover: true})
	rounds := 20
	if inside() {
		rounds = 4
	}
	for i := range rounds {
		m := startMachine(t, 0, machineArgs(t, 1, reference.Cmdline{End: "exit"}.String())...)
		time.Sleep(time.Duration(i) * 5 * time.Millisecond)
		vm, err := p.Adopt(m.cmd.Process.Pid)
		if err != nil && !errors.Is(err, os.ErrNotExist) && !strings.Contains(err.Error(), "it is just being found") {
			t.Errorf("adopt: %v", err)
		}
		m.wait()
		if vm != nil {
			if err := p.Release(vm, false); err != nil {
				t.Errorf("release: %v", err)
			}
		}
		drainVMs(p)
	}
	time.Sleep(3 * time.Second) // it looks for itself every two
	drainVMs(p)
	checkSlots(t, p, slots)
}

// checkSlots takes all slots at the same time: there are as many as there should be,
// and each counts for its own guest alone.
func checkSlots(t *testing.T, p *probe.Probe, slots int) {
	t.Helper()
	watches, machines := make([]*probe.Watch, slots), make([]*machine, slots)
	pio := func(i int) int { return 100 + 11*i }
	for i := range slots {
		fd, id := ownCgroup(t)
		w, err := p.Watch(probe.Target{CgroupID: id, ConsolePort: reference.COM1, KVM: true})
		if err != nil {
			t.Fatalf("slot %d of %d: %v", i+1, slots, err)
		}
		defer w.Close()
		watches[i] = w
		machines[i] = startMachine(t, fd, machineArgs(t, 1, reference.Cmdline{PIO: pio(i), End: "exit"}.String())...)
	}
	if w, err := p.Watch(probe.Target{CgroupID: 1 << 40}); err == nil {
		t.Errorf("there is one slot more than %d: one was given back twice", slots)
		_ = w.Close()
	}
	for _, m := range machines {
		m.wait()
	}
	for i, w := range watches {
		checkPorts(t, countsOf(t, w), uint64(pio(i)))
	}
}

// drainVMs releases what has been found.
func drainVMs(p *probe.Probe) {
	for {
		select {
		case e := <-p.VMs():
			if e.Gone {
				_ = p.Release(e.VM, false)
			}
		case <-time.After(50 * time.Millisecond):
			return
		}
	}
}

// TestDetachingUnderLoad: the hooks go while they fire, again and again, and the
// guest works on.
func TestDetachingUnderLoad(t *testing.T) {
	needRoot(t)
	needKVM(t)
	// Hours of port writes: it runs until it is killed.
	m := startMachine(t, 0, machineArgs(t, 1, reference.Cmdline{PIO: 1<<32 - 1}.String())...)
	ended := make(chan error, 1)
	go func() { ended <- m.cmd.Wait() }()
	stopped := false
	defer func() {
		if !stopped {
			_ = m.cmd.Process.Kill()
			<-ended
		}
	}()
	ours := map[ebpf.ProgramID]string{}
	rounds := 6
	if inside() {
		rounds = 3
	}
	for round := range rounds {
		p, err := probe.Open(probe.Options{Slots: 2})
		if err != nil {
			t.Fatal(err)
		}
		text := firesFor(p, m.cmd.Process.Pid)
		for _, s := range loadedBy(t, p) {
			ours[s.ID] = s.Program
		}
		if err := p.Close(); err != nil { // with the VM still watched, and at work
			t.Errorf("close: %v", err)
		}
		select {
		case err := <-ended:
			stopped = true
			t.Fatalf("round %d: the guest ended with %v: %s", round, err, m.out.String())
		default:
		}
		if text != "" {
			t.Fatalf("round %d: %s", round, text)
		}
	}
	if text := eventually(func() string { return stillLoaded(ours) }); text != "" {
		t.Error(text)
	}
}

// firesFor watches a VM until its port writes have been counted and are still being
// counted, and says what was missing from that.
func firesFor(p *probe.Probe, pid int) string {
	vm, err := p.Adopt(pid)
	if err != nil {
		return fmt.Sprintf("adopt: %v", err)
	}
	var before uint64
	return eventually(func() string {
		c, err := vm.Watch.Counts()
		if err != nil {
			return err.Error()
		}
		n := c.Ports[probe.Port{Number: 0x5f0, Out: true}]
		if before == 0 || n <= before {
			text := fmt.Sprintf("%d port writes were counted, %d before: the hooks do not fire", n, before)
			before = n
			return text
		}
		return ""
	})
}

// loadedBy are the programs that a probe has in the kernel now.
func loadedBy(t *testing.T, p *probe.Probe) []probe.ProgramStat {
	t.Helper()
	stats, err := p.ProgramStats()
	if err != nil || len(stats) == 0 {
		t.Errorf("%d programs of the probe, %v", len(stats), err)
	}
	return stats
}

// stillLoaded lists those of some programs that the kernel still has. It gives no ID
// twice.
func stillLoaded(programs map[ebpf.ProgramID]string) string {
	var left []string
	for id, name := range programs {
		prog, err := ebpf.NewProgramFromID(id)
		switch {
		case err == nil:
			_ = prog.Close()
			left = append(left, name)
		case !errors.Is(err, os.ErrNotExist):
			left = append(left, fmt.Sprintf("%s (%v)", name, err))
		}
	}
	if len(left) == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d programs are still loaded: %v", len(left), len(programs), left)
}
