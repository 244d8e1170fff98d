// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/ukprobe/ukprobe/guests/reference"
)

// tscRun is what one boot of the reference guest under KVM showed.
type tscRun struct {
	w     *Watch
	guest *GuestTSC
	lines map[string]Line   // by the word: start, ready
	tsc   map[string]uint64 // by the word
	t     Timeline
}

var tscLine = regexp.MustCompile(`^ukprobe-reference: (start|ready) tsc=([0-9]+)`)

// runReference boots the reference guest on QEMU's microvm with everything
// attached that is needed for its clock.
func runReference(t *testing.T, attach Rung, extra ...string) tscRun {
	t.Helper()
	needRoot(t)
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
		t.Skip("qemu-system-x86_64 is missing: install the package qemu-system-x86")
	}
	if f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0); err != nil {
		t.Skipf("/dev/kvm is missing: %v", err)
	} else {
		_ = f.Close()
	}
	p, err := Open(Options{Attach: attach})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	_, fd, id := freshCgroup(t)
	segments := []Segment{{Lo: 0x100000, Hi: 0x200000}}
	w, err := p.Watch(Target{CgroupID: id, ConsolePort: com1, KVM: true, Image: segments, Ready: regexp.MustCompile(reference.ReadyPattern)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	if err := w.WatchClock(); err != nil {
		t.Fatal(err)
	}
	if !w.clock.scaling && HasVirtualisation() { // read it although KVM cannot scale
		release, err := p.demand(HookTSCRatio)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = release() })
	}
	t.Cleanup(func() { _ = w.UnwatchClock() })
	kernel := filepath.Join(t.TempDir(), "reference.elf")
	if err := os.WriteFile(kernel, reference.Image(), 0o644); err != nil {
		t.Fatal(err)
	}
	cpu := "host"
	if !HasVirtualisation() {
		cpu = "host,-arch-capabilities"
	}
	cmd := exec.Command("qemu-system-x86_64", append([]string{"-M", "microvm,acpi=off,pit=off,pic=off,rtc=off,x-option-roms=off",
		"-accel", "kvm", "-cpu", cpu, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-m", "16",
		"-serial", "stdio", "-kernel", kernel, "-append", "end=halt"}, extra...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: fd, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	deadline := time.Now().Add(60 * time.Second)
	for !w.Events().Ready() {
		if time.Now().After(deadline) {
			t.Fatalf("the guest was not ready: %v", w.Lines())
		}
		if err := w.PairClocks(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	w.Drain()
	run := tscRun{w: w, lines: map[string]Line{}, tsc: map[string]uint64{}, t: w.Timeline()}
	if run.guest, err = w.GuestTSC(); err != nil {
		t.Fatal(err)
	}
	for _, l := range w.Lines() {
		if m := tscLine.FindStringSubmatch(l.Text); m != nil {
			n, err := strconv.ParseUint(m[2], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			run.lines[m[1]], run.tsc[m[1]] = l, n
		}
	}
	return run
}

// pace is the mean distance of two bytes of a line.
func pace(l Line) int64 { return (l.LastNS - l.FirstNS) / int64(len(l.Text)-1) }

// TestGuestTSC is the proof of the mapping: the guest's TSC at ready, mapped, is
// before the moment at which the kernel saw the first byte of the line that says
// so, and by no more than the guest takes for a few bytes. The median of several
// boots, as a vCPU that is preempted just there takes longer.
func TestGuestTSC(t *testing.T) {
	const boots = 5
	for _, attach := range []Rung{Auto, TPBTF, RawTP, Tracepoint} {
		t.Run(string(attach), func(t *testing.T) {
			var bytes []float64
			for range boots {
				run := runReference(t, attach)
				checkStart(t, run)
				l := run.lines["ready"]
				ns, errNS := mapped(t, run.guest, run.tsc["ready"])
				before := l.FirstNS - ns
				t.Logf("ready: read %d ns ± %d before its first byte, a byte takes %d ns; %s", before, errNS, pace(l), ratioText(t, run.guest))
				if before < -errNS {
					t.Errorf("the guest read its clock %d ns after the byte that tells of it, the error is %d ns", -before, errNS)
				}
				checkShifted(t, run)
				bytes = append(bytes, float64(before)/float64(pace(l)))
			}
			slices.Sort(bytes)
			if median := bytes[boots/2]; median > 3 {
				t.Errorf("from the reading to its first byte the guest takes the time of %.1f bytes (all: %.1f): want at most 3", median, bytes)
			}
		})
	}
}

func mapped(t *testing.T, g *GuestTSC, tsc uint64) (ns, errNS int64) {
	t.Helper()
	ns, errNS, err := g.Host(tsc, 0)
	if err != nil {
		t.Fatal(err)
	}
	return ns, errNS
}

func ratioText(t *testing.T, g *GuestTSC) string {
	t.Helper()
	text, err := g.Ratio(0)
	if err != nil {
		t.Fatal(err)
	}
	return "ratio " + text
}

// checkStart: the image's first instruction read its clock after the guest began
// to run and before it printed; where every instruction is seen, also after the
// first of the image was.
func checkStart(t *testing.T, run tscRun) {
	t.Helper()
	ns, errNS := mapped(t, run.guest, run.tsc["start"])
	entry, ok := run.t.At(EventGuestEntry)
	if !ok || ns < entry.NS-errNS || ns > run.lines["start"].FirstNS+errNS {
		t.Errorf("start at %d ± %d: want it after guest_entry %d (%v) and before its line %d", ns, errNS, entry.NS, ok, run.lines["start"].FirstNS)
	}
	// By exits firmware_end can be either side of it: the first exit in the image is
	// often the page fault of fetching this instruction.
	if end, ok := run.t.At(EventFirmwareEnd); !ok {
		t.Errorf("no firmware_end: %v", run.t.Missing)
	} else if end.Hook == HookInsn && end.NS > ns+errNS {
		t.Errorf("start at %d ± %d is before firmware_end %d, which is told before the instruction is emulated", ns, errNS, end.NS)
	}
}

// checkShifted: a mapping that is wrong by 1 ms is wrong by just that.
func checkShifted(t *testing.T, run tscRun) {
	t.Helper()
	right, errNS := mapped(t, run.guest, run.tsc["ready"])
	for _, shift := range []time.Duration{-time.Millisecond, time.Millisecond} {
		wrong, _ := mapped(t, run.guest.Shifted(shift), run.tsc["ready"])
		if got := wrong - right - shift.Nanoseconds(); abs(got) > 2*errNS+1000 {
			t.Errorf("shifted by %v the mapping moves by %d ns more than that", shift, got)
		}
	}
}

// TestGuestTSCRatio reads the ratio from the vCPU, on every rung that the kernel
// grants, also where KVM says that it cannot scale.
func TestGuestTSCRatio(t *testing.T) {
	if !HasVirtualisation() {
		t.Skip("needs KVM with VMX or SVM behind it: emulated guests have no kvm_entry, nor this kernel kprobes")
	}
	for _, attach := range []Rung{Kprobe, Fentry, TPBTF, RawTP} {
		t.Run(string(attach), func(t *testing.T) {
			run := runReference(t, attach)
			s, err := run.w.tscState(0)
			if err != nil {
				t.Fatal(err)
			}
			if s.RatioNs == 0 {
				t.Fatalf("no vCPU was seen: %+v", run.w.p.Hooks())
			}
			if s.Ratio == 0 && !run.w.clock.scaling {
				return // Linux 5.10 leaves it 0 where it cannot scale
			}
			r, err := readRatio(run.w.p.isa, s.Ratio)
			if err != nil {
				t.Fatalf("%v: %+v", err, run.w.p.Hooks())
			}
			if scale := float64(r.value) / float64(uint64(1)<<r.fraction); scale != 1 {
				t.Errorf("ratio 0x%x is %g: QEMU asked for none, so 1", s.Ratio, scale)
			}
		})
	}
}
