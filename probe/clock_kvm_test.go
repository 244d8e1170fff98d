// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/ukprobe/ukprobe/guests/reference"
)

// tscRun is what one boot of the reference guest under KVM showed.
type tscRun struct {
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
	segments := []Segment{{0x100000, 0x200000}}
	w, err := p.Watch(Target{CgroupID: id, ConsolePort: com1, KVM: true, Image: segments, Ready: regexp.MustCompile(reference.ReadyPattern)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	if err := w.WatchClock(ClockOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.UnwatchClock() })
	kernel := filepath.Join(t.TempDir(), "reference.elf")
	if err := os.WriteFile(kernel, reference.Image(), 0o644); err != nil {
		t.Fatal(err)
	}
	cpu := "host"
	if !hardwareKVM() {
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
	run := tscRun{lines: map[string]Line{}, tsc: map[string]uint64{}, t: w.Timeline()}
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

// TestGuestTSC is the proof: the guest's TSC at ready, mapped, is just before the
// moment at which the kernel saw the first byte of the line that says so.
func TestGuestTSC(t *testing.T) {
	for _, attach := range []Rung{Auto, RawTP, Tracepoint} {
		t.Run(string(attach), func(t *testing.T) {
			for range 5 {
				run := runReference(t, attach)
				for word, tsc := range run.tsc {
					ns, errNS, err := run.guest.Host(tsc, 0)
					l := run.lines[word]
					ratio, _ := run.guest.Ratio(0)
					entry, _ := run.t.At(EventGuestEntry)
					fw, _ := run.t.At(EventFirmwareEnd)
					t.Logf("%s: first byte - mapped = %d ns ± %d (%v), line %d ns; to entry %d, to fw %d; ratio %s changes %d pairs %d", word, l.FirstNS-ns, errNS, err, l.LastNS-l.FirstNS, ns-entry.NS, ns-fw.NS, ratio, run.guest.Changes(0), len(run.guest.host.pairs))
				}
			}
		})
	}
}
