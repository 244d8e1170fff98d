// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ukprobe/ukprobe/results"
)

// guestFiles is a folder in the one of real guests, which are not part of the
// project: docs/verified.md says what belongs there.
func guestFiles(t *testing.T, name string) string {
	t.Helper()
	dir := os.Getenv("UKPROBE_GUESTS")
	if dir == "" {
		t.Skipf("NOT VERIFIED HERE: needs real guests: set UKPROBE_GUESTS to a folder with %s in it (docs/verified.md)", name)
	}
	dir = filepath.Join(dir, name)
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("NOT VERIFIED HERE: %v (docs/verified.md says what belongs there)", err)
	}
	return dir
}

// solo5Run prepares a run with Solo5's tenders in PATH.
func solo5Run(t *testing.T, dir string, cells ...string) *call {
	t.Helper()
	c := newRun(t, "--matrix", matrix(t, cells...))
	c.cmd.Env = append(c.cmd.Env, "PATH="+strings.Join([]string{filepath.Join(dir, "tenders/hvt"), filepath.Join(dir, "tenders/spt"), os.Getenv("PATH")}, ":"))
	return c
}

// solo5Image is one of Solo5's own tests.
func solo5Image(dir, name, platform string) string {
	return filepath.Join(dir, "tests", name, name+"."+strings.TrimPrefix(platform, "solo5-"))
}

var solo5Platforms = []string{"solo5-hvt", "solo5-spt", "solo5-virtio"}

// Solo5's own tests run on each of its targets: command line, block device, network
// device, clock.
func TestSolo5(t *testing.T) {
	needRoot(t)
	dir := guestFiles(t, "solo5")
	disk := write(t, "disk.raw", strings.Repeat("\x00", 64<<10))
	for _, guest := range []struct {
		name, cell, option string
		native             bool
	}{
		{name: "test_hello", cell: "args: Hello_Solo5, ready: '^SUCCESS'"},
		{name: "test_net", cell: "args: limit, ready: 'Serving ping on 10.0.0.2, with MAC: 525400120002'", option: "--net:service0=uktap0"},
		{name: "test_blk", cell: "ready: '^SUCCESS', disk: " + disk, option: "--block:storage=", native: true},
		{name: "test_time", cell: "ready: '^SUCCESS', timeout: 60s", native: true}, // sleeps for five seconds
	} {
		for _, platform := range solo5Platforms {
			t.Run(guest.name+"/"+platform, func(t *testing.T) {
				if guest.native {
					needNative(t, "an emulated KVM says nothing more of it")
				}
				switch platform {
				case "solo5-hvt":
					needKVM(t)
				case "solo5-virtio":
					needProgram(t, "qemu-system-x86_64", "qemu-system-x86")
				}
				c := solo5Run(t, dir, "system: mirageos, app: hello, platform: "+platform+", kernel: "+solo5Image(dir, guest.name, platform)+", "+guest.cell)
				s := c.start().wait(patience(time.Minute)).want(0).cell(1).Samples[0]
				checkOK(t, c.file(), s)
				checkSolo5Timeline(t, platform, s)
				if guest.name == "test_net" {
					checkOrder(t, s, results.EventVMMExec, results.EventFrameOut) // it announces itself
					if platform == "solo5-hvt" {                                  // which waits for pings, by a hypercall
						checkOrder(t, s, results.EventConsoleReady, results.EventIdle, results.EventVMMExit)
					}
				}
				if argv := strings.Join(c.cell(1).Argv, " "); platform != "solo5-virtio" && !strings.Contains(argv, guest.option) {
					t.Errorf("%s: no %s", argv, guest.option)
				}
			})
		}
	}
	if data, err := os.ReadFile(disk); err != nil || !bytes.Equal(data, make([]byte, 64<<10)) {
		t.Errorf("the disk's image was written to (%v)", err)
	}
}

// checkSolo5Timeline: what each target shows of a boot.
func checkSolo5Timeline(t *testing.T, platform string, s results.Sample) {
	t.Helper()
	checkOrder(t, s, results.EventVMMExec, results.EventConsoleFirst, results.EventConsoleReady, results.EventVMMExit)
	if platform == "solo5-hvt" {
		checkOrder(t, s, results.EventVMMExec, results.EventVMCreated, results.EventVCPUCreated, results.EventFirstRun, results.EventGuestEntry, results.EventConsoleFirst)
		if _, ok := at(s, results.EventFirmwareEnd); ok || missing(s, results.EventFirmwareEnd) != "" || s.Phases.FirmwareNs != nil || s.Phases.GuestNs == nil {
			t.Errorf("a firmware, or no guest: %+v", s.Phases)
		}
		return
	}
	if platform == "solo5-spt" || !inside() {
		checkAbsent(t, s, results.EventGuestEntry, "not under KVM")
	}
}

// OCaml's run-time on Solo5, on which MirageOS stands, as far as this machine runs it:
// it uses the FPU, which an emulating KVM does not.
func TestOCamlOnSolo5(t *testing.T) {
	needRoot(t)
	dir, images := guestFiles(t, "solo5"), guestFiles(t, "ocamlhello")
	for _, platform := range solo5Platforms {
		t.Run(platform, func(t *testing.T) {
			kernel := filepath.Join(images, "hello."+strings.TrimPrefix(platform, "solo5-"))
			c := solo5Run(t, dir, "system: mirageos, app: hello, platform: "+platform+", kernel: "+kernel+", ready: '^Hello from OCaml on Solo5!'")
			if platform == "solo5-hvt" && !hasFlag("vmx") && !hasFlag("svm") {
				needKVM(t)
				if s := c.run().want(1).cell(1).Samples[0]; !strings.Contains(s.Reason, "KVM_EXIT_INTERNAL_ERROR") {
					t.Errorf("%q: this KVM only emulates", s.Reason)
				}
				return
			}
			s := c.run().want(0).cell(1).Samples[0]
			checkOK(t, c.file(), s)
			checkSolo5Timeline(t, platform, s)
		})
	}
}

// A cell that cannot be is unsupported or failed with a reason that says what is
// missing; the others run.
func TestSolo5Refused(t *testing.T) {
	needNative(t, "says nothing more there")
	needRoot(t)
	needKVM(t)
	dir := guestFiles(t, "solo5")
	hello, blk := solo5Image(dir, "test_hello", "solo5-hvt"), solo5Image(dir, "test_blk", "solo5-hvt")
	for _, tc := range []struct{ name, cell, status, reason string }{
		{"no disk", "platform: solo5-hvt, kernel: " + blk, results.CellFailed, `declares the block device "storage", and the cell has no disk for it`},
		{"a disk too many", "platform: solo5-hvt, disk: " + hello + ", kernel: " + hello, results.CellFailed, "declares no device (it declares no block devices)"},
		{"another target", "platform: solo5-spt, kernel: " + hello, results.CellUnsupported, "is built for Solo5's target hvt, platform solo5-spt takes spt"},
		{"two networks", "platform: solo5-hvt, kernel: " + solo5Image(dir, "test_net_2if", "solo5-hvt"), results.CellUnsupported, "declares 2 network devices (service0, service1)"},
		{"TCG", "platform: solo5-hvt, accel: tcg, kernel: " + hello, results.CellUnsupported, "solo5-hvt runs on KVM only"},
		{"no image", "platform: solo5-hvt", results.CellNoImage, "name a kernel in the cell"},
		{"no Solo5 image", "platform: solo5-hvt, kernel: " + ukprobe, results.CellFailed, "no Solo5 notes in it"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			works := "system: mirageos, app: hello, platform: solo5-virtio, accel: tcg, args: Hello_Solo5, ready: '^SUCCESS', kernel: " + solo5Image(dir, "test_hello", "solo5-virtio")
			f := solo5Run(t, dir, "system: mirageos, app: hello, "+tc.cell, works).run().file()
			if c := f.Cells[0]; c.Status != tc.status || !strings.Contains(c.Reason, tc.reason) {
				t.Errorf("%s: %q, want %s: %q", c.Status, c.Reason, tc.status, tc.reason)
			}
			if c := f.Cells[1]; len(c.Samples) != 1 || c.Samples[0].Status != results.SampleOK {
				t.Errorf("the other cell: %s, %s, %+v", c.Status, c.Reason, c.Samples)
			}
		})
	}
}

// A guest that ends before it is ready, under QEMU: exit status 83 is explained. One
// that uses the FPU where KVM only emulates: no remedy is offered that there is not.
func TestSolo5Ends(t *testing.T) {
	needNative(t, "says nothing more there")
	needRoot(t)
	dir := guestFiles(t, "solo5")
	c := solo5Run(t, dir, "system: mirageos, app: hello, platform: solo5-virtio, accel: tcg, ready: never, kernel: "+solo5Image(dir, "test_hello", "solo5-virtio")).run().want(1)
	if s := c.cell(1).Samples[0]; !strings.Contains(s.Reason, "exit status 83 (the guest ended itself)") || !strings.Contains(s.Reason, "solo5_exit(0) called") {
		t.Errorf("%q", s.Reason)
	}
	needKVM(t)
	if hasFlag("vmx") || hasFlag("svm") {
		t.Skip("this machine's KVM has hardware behind it and runs every guest")
	}
	c = solo5Run(t, dir, "system: mirageos, app: hello, platform: solo5-hvt, ready: '^SUCCESS', kernel: "+solo5Image(dir, "test_fpu", "solo5-hvt")).run().want(1)
	if s := c.cell(1).Samples[0]; !strings.Contains(s.Reason, "KVM_EXIT_INTERNAL_ERROR") || !strings.Contains(s.Reason, "or another platform") || strings.Contains(s.Reason, "--accel tcg") {
		t.Errorf("%q", s.Reason)
	}
}

// A tender from before manifests, beside the image: it takes the old command line,
// attaches tap and disk, and starts the guest. Its own images could not be had, so
// this one is a younger one without its notes, which traps when it reads what the
// tender tells it; the trap's message is that guest's.
func TestSolo5OldTender(t *testing.T) {
	needNative(t, "says nothing more there")
	needRoot(t)
	needKVM(t)
	dir, old := guestFiles(t, "solo5"), guestFiles(t, "lupine-solo5")
	folder := t.TempDir()
	kernel := filepath.Join(folder, "old.hvt")
	program, err1 := os.ReadFile(filepath.Join(old, "solo5-hvt"))
	image, err2 := os.ReadFile(solo5Image(dir, "test_hello", "solo5-hvt"))
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(filepath.Join(folder, "solo5-hvt"), program, 0o755), os.WriteFile(kernel, withoutNotes(t, image), 0o644)); err != nil {
		t.Fatal(err)
	}
	c := solo5Run(t, dir, "system: rump, app: hello, platform: solo5-hvt, ready: 'Solo5: trap: type=#PF', kernel: "+kernel).run().want(0)
	cell := c.cell(1)
	checkSolo5Timeline(t, "solo5-hvt", cell.Samples[0])
	for _, want := range []string{"--net=uktap0", "--net-mac=52:54:00:12:00:02"} {
		if !slices.Contains(cell.Argv, want) {
			t.Errorf("%q: no %s", cell.Argv, want)
		}
	}
	if cell.Argv[0] != filepath.Join(folder, "solo5-hvt") || !strings.HasPrefix(cell.Argv[2], "--disk=") {
		t.Errorf("%q: want the tender beside the image, with a disk", cell.Argv)
	}
}

// withoutNotes makes an image's notes segments of no meaning.
func withoutNotes(t *testing.T, image []byte) []byte {
	t.Helper()
	f, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		t.Fatal(err)
	}
	const programHeaders, size = 64, 56 // as Solo5's linker scripts leave them
	for i, p := range f.Progs {
		if p.Type == elf.PT_NOTE {
			binary.LittleEndian.PutUint32(image[programHeaders+i*size:], uint32(elf.PT_NULL))
		}
	}
	return image
}
