// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/ukprobe/ukprobe/guests/reference"
	"github.com/ukprobe/ukprobe/results"
)

// Guests that go wrong end their sample with a verdict and a reason, in time.
func TestWrongGuests(t *testing.T) {
	needRoot(t)
	timeout := patience(time.Second)
	for _, tc := range []struct {
		name    string
		cell    string // of the matrix, with ACCEL in it
		status  string
		reason  []string // per accelerator: words, separated by |
		event   string   // that is there under KVM
		outside bool     // not on other kernels too
	}{
		{name: "crashes", cell: "args: '" + reference.Cmdline{CrashEarly: true}.String() + "'", status: results.SampleFailed,
			reason: []string{"triple fault", "ended before the guest was ready"}, event: "shutdown"},
		{name: "crashes with GP", outside: true, cell: "args: '" + reference.Cmdline{CrashEarly: true, CrashGP: true}.String() + "'", status: results.SampleFailed,
			reason: []string{"triple fault", "ended before the guest was ready"}, event: "shutdown"},
		{name: "spins", cell: "args: '" + reference.Cmdline{SpinEarly: true}.String() + "'", status: results.SampleTimeout,
			reason: []string{"not ready after " + timeout.String() + "|no console line matched|ukprobe-reference: counts"}},
		{name: "is never ready", outside: true, cell: "ready: 'this never comes'", status: results.SampleTimeout,
			reason: []string{"not ready after " + timeout.String() + "|this never comes|ukprobe-reference: ready"}},
		{name: "never answers", cell: "port: 81", status: results.SampleTimeout,
			reason: []string{"not ready after " + timeout.String() + "|no answer on TCP port 81"}},
		{name: "uses another address", cell: "port: 80, args: 'ip=10.0.2.99/24 port=80 end=hold'", status: results.SampleTimeout,
			reason: []string{"no answer on TCP port 80|the guest uses 10.0.2.99, was given 198.18.0.2"}},
		{name: "cannot read its command line", outside: true, cell: "args: pio=many", status: results.SampleFailed,
			reason: []string{"triple fault|cannot read the value of pio=many", "ended before the guest was ready|cannot read the value"}},
	} {
		for i, accel := range []string{"kvm", "tcg"} {
			t.Run(tc.name+"/"+accel, func(t *testing.T) {
				if accel == "kvm" {
					needKVM(t)
					if tc.outside {
						notOnTheKernel(t)
					}
				} else {
					needNative(t, "emulation in emulation says nothing more")
				}
				m := matrix(t, "system: reference, app: hello, platform: qemumicrovm, accel: "+accel+", "+tc.cell)
				c := newRun(t, "--matrix", m, "--timeout", timeout.String()).run().want(1)
				s := c.cell(1).Samples[0]
				if s.Status != tc.status {
					t.Fatalf("status %s (%s), want %s", s.Status, s.Reason, tc.status)
				}
				for _, word := range strings.Split(tc.reason[min(i, len(tc.reason)-1)], "|") {
					if !strings.Contains(s.Reason, word) {
						t.Errorf("reason %q does not say %q", s.Reason, word)
					}
				}
				if tc.event != "" && accel == "kvm" {
					checkOrder(t, s, results.EventVMMExec, results.EventGuestEntry, tc.event, results.EventVMMExit)
				}
				if s.Phases.TotalNs != nil {
					t.Errorf("a total time of a guest that was never ready: %+v", s.Phases)
				}
				checkLasted(t, s, tc.status, timeout)
				if !strings.Contains(c.stdout.String(), s.Reason[:20]) {
					t.Errorf("the table does not show the reason:\n%s", c.stdout.String())
				}
			})
		}
	}
}

// checkLasted: a guest that runs out of time is ended then, and one that fails
// is not waited for.
func checkLasted(t *testing.T, s results.Sample, status string, timeout time.Duration) {
	t.Helper()
	begun, ok1 := at(s, results.EventVMMExec)
	ended, ok2 := at(s, results.EventVMMExit)
	if !ok1 || !ok2 {
		t.Fatalf("no begin or end: %+v", s.Events)
	}
	lasted := time.Duration(ended.NS - begun.NS)
	early, late := timeout/2, timeout+patience(time.Second)
	if status == results.SampleFailed {
		early, late = 0, timeout
	}
	if lasted < early || lasted > late {
		t.Errorf("lasted %v, want %v to %v", lasted, early, late)
	}
}

// Where KVM only emulates instructions, a guest that uses SSE stops with an
// internal error. QEMU stays, and tells nobody but its log; the sample fails at
// once, with the remedy.
func TestInternalError(t *testing.T) {
	needNative(t, "its KVM has hardware behind it and runs every guest")
	needRoot(t)
	needKVM(t)
	if hasFlag("vmx") || hasFlag("svm") {
		t.Skip("this machine's KVM has hardware behind it and runs every guest")
	}
	cell := "system: reference, app: hello, platform: qemumicrovm, kernel: " + sseGuest(t)
	c := newRun(t, "--matrix", matrix(t, cell+", accel: kvm")).run().want(1)
	s := c.cell(1).Samples[0]
	if s.Status != results.SampleFailed || !strings.Contains(s.Reason, "KVM_EXIT_INTERNAL_ERROR") || !strings.Contains(s.Reason, "--accel tcg") {
		t.Errorf("status %s, reason %q: want failed, the internal error, the remedy", s.Status, s.Reason)
	}
	checkOrder(t, s, results.EventVMMExec, results.EventGuestEntry, results.EventFirmwareEnd, "internal_error", results.EventVMMExit)
	stopped, _ := at(s, "internal_error")
	ended, _ := at(s, results.EventVMMExit)
	if d := time.Duration(ended.NS - stopped.NS); d > patience(time.Second) {
		t.Errorf("QEMU was ended %v after the internal error", d)
	}
	// By itself the accelerator is TCG for a kernel of which nothing is known.
	dry := newRun(t, "--matrix", matrix(t, cell), "--dry-run").run().want(0)
	if !strings.Contains(dry.stdout.String(), "(tcg, 1 sample)") {
		t.Errorf("accel auto is not tcg here:\n%s", dry.stdout.String())
	}
}

// sseGuest is the reference guest with addps at its multiboot entry, which KVM's
// emulator does not know.
func sseGuest(t *testing.T) string {
	t.Helper()
	image := reference.Image()
	// The header's eighth word is the entry, in an image that is loaded at 1 MiB.
	header := multibootHeader(t, image)
	entry := binary.LittleEndian.Uint32(image[header+7*4:]) - 1<<20
	copy(image[entry:], "\x0f\x58\xc1") // addps %xmm1,%xmm0
	return write(t, "sse.elf", string(image))
}

// A VMM that does not start gives its own words.
func TestVMMFails(t *testing.T) {
	notOnTheKernel(t)
	needRoot(t)
	needProgram(t, "qemu-system-x86_64", "qemu-system-x86")
	for _, tc := range []struct{ name, cell, want string }{
		// An ELF file that ukprobe takes for x86 and QEMU does not find an entry in.
		{"no boot protocol", "kernel: " + plainELF(t), `qemu-system-x86_64 ended before the guest was ready (no console line matched "^ukprobe-reference: ready"): exit status 1: `},
		{"too many CPUs", "vcpus: 1000", "CPUs"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := matrix(t, "system: reference, app: hello, platform: qemumicrovm, accel: tcg, "+tc.cell)
			c := newRun(t, "--matrix", m).run().want(1)
			s := c.cell(1).Samples[0]
			if s.Status != results.SampleFailed || !strings.Contains(s.Reason, tc.want) {
				t.Errorf("status %s, reason %q, want %q", s.Status, s.Reason, tc.want)
			}
			if !strings.Contains(s.Stderr, "qemu-system-x86_64:") {
				t.Errorf("QEMU's own words are not kept: %q", s.Stderr)
			}
		})
	}
}

// tapThief waits for a run's lab, takes the first guest's tap before QEMU can and has it
// until it is removed.
const tapThief = `
import ctypes, fcntl, os, struct, sys, time
suffix, deadline = sys.argv[1], time.time() + 120
def lab():
    while time.time() < deadline:
        for name in os.listdir("/run/netns") if os.path.isdir("/run/netns") else []:
            if name.startswith("ukprobe-") and name.endswith(suffix):
                return "/run/netns/" + name
    sys.exit("no lab")
path, libc = lab(), ctypes.CDLL(None, use_errno=True)
while True: # until the name is more than a file
    ns = os.open(path, os.O_RDONLY)
    if libc.setns(ns, 0x40000000) == 0:
        break
    os.close(ns)
tun = os.open("/dev/net/tun", os.O_RDWR)
IFF_TAP, IFF_NO_PI, TUNSETIFF = 2, 0x1000, 0x400454ca
while time.time() < deadline:
    with open("/proc/thread-self/net/dev") as f:
        if "uktap0:" not in f.read():
            continue
    try:
        fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", b"uktap0", IFF_TAP | IFF_NO_PI))
        break
    except OSError:
        pass
while time.time() < deadline: # the lab cannot be taken down while anybody is inside
    with open("/proc/thread-self/net/dev") as f:
        if "uktap0:" not in f.read():
            break
`

// A tap that another process holds fails the sample, with who that is; the run goes
// on.
func TestTapIsHeld(t *testing.T) {
	notOnTheKernel(t)
	needRoot(t)
	python := needProgram(t, "python3", "python3")
	m := matrix(t, "system: reference, app: http, platform: qemumicrovm, accel: tcg", "system: process, app: hello, platform: process")
	c := newRun(t, "--matrix", m, "--timeout", "10s")
	thief := exec.Command(python, "-c", tapThief, fmt.Sprintf("-%04x", c.seed))
	if err := thief.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = thief.Wait()
	}()
	defer func() { _ = thief.Process.Kill(); <-ended }()
	f := c.run().want(exitFailed).file()
	s := f.Cells[0].Samples[0]
	who := fmt.Sprintf("tap uktap0 is held by pid %d (python3)", thief.Process.Pid)
	if s.Status != results.SampleFailed || !strings.Contains(s.Reason, "busy") || !strings.Contains(s.Reason, who) {
		t.Errorf("%s: %q, want failed, busy, %q", s.Status, s.Reason, who)
	}
	if f.Cells[1].Status != results.CellOK {
		t.Errorf("the other cell is %s: %s", f.Cells[1].Status, f.Cells[1].Reason)
	}
}

// plainELF is the reference guest without the two headers that tell a loader how
// to boot it.
func plainELF(t *testing.T) string {
	t.Helper()
	image := reference.Image()
	copy(image[multibootHeader(t, image):], "\x00\x00\x00\x00")
	f, err := elf.NewFile(strings.NewReader(string(image)))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_NOTE {
			clear(image[p.Off : p.Off+p.Filesz])
		}
	}
	return write(t, "plain.elf", string(image))
}

// multibootHeader finds the magic of the multiboot header.
func multibootHeader(t *testing.T, image []byte) int {
	t.Helper()
	i := strings.Index(string(image), "\x02\xb0\xad\x1b")
	if i < 0 {
		t.Fatal("no multiboot header in the reference guest")
	}
	return i
}
