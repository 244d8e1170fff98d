// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/guests/linux"
	"github.com/ukprobe/ukprobe/guests/lupine"
	"github.com/ukprobe/ukprobe/results"
)

// service is the wire's part of a timeline of a guest that serves. The first SYN
// may be sent before the VMM's exec: the client starts with the fork.
var service = []string{"syn", results.EventSynAck, "first_request", results.EventFirstResponse, results.EventVMMExit}

// The reference guest's HTTP server answers on both kinds of virtio, under both
// accelerators.
func TestReferenceHTTP(t *testing.T) {
	needRoot(t)
	for _, tc := range []struct{ platform, accel string }{
		{"qemu1nic", "kvm"}, {"qemu1nic", "tcg"}, {"qemumicrovm", "kvm"}, {"qemumicrovm", "tcg"},
	} {
		t.Run(tc.platform+"/"+tc.accel, func(t *testing.T) {
			if tc.accel == "kvm" {
				needKVM(t)
			} else {
				needNative(t, "emulation in emulation says nothing more")
			}
			m := matrix(t, "system: reference, app: http, platform: "+tc.platform+", accel: "+tc.accel)
			c := newRun(t, "--matrix", m).run().want(0)
			cell := c.cell(1)
			s := cell.Samples[0]
			if cell.Accel != tc.accel {
				t.Errorf("accel %s, want %s", cell.Accel, tc.accel)
			}
			checkOK(t, c.file(), s)
			checkOrder(t, s, service...)
			checkOrder(t, s, results.EventVMMExec, results.EventFrameOut, results.EventFirstResponse)
			checkAbsent(t, s, results.EventConsoleReady, "ready at its first response")
			// ARP announcement, SYN-ACK, answer.
			if s.Values["frames_out"] < 3 || s.Values["frames_in"] < 3 || s.Values["client_syns"] < 1 {
				t.Errorf("frames and SYNs: %v", s.Values)
			}
			if tc.accel == "kvm" {
				checkOrder(t, s, results.EventGuestEntry, results.EventFirmwareEnd, results.EventConsoleFirst,
					results.EventFrameOut, results.EventSynAck)
			} else {
				checkAbsent(t, s, results.EventGuestEntry, "not under KVM")
				checkAbsent(t, s, results.EventFirmwareEnd, "not under KVM")
			}
		})
	}
}

// vhost-net moves the guest's frames: the marks and the counts are as without, and its
// thread is found and pinned.
func TestVhost(t *testing.T) {
	needRoot(t)
	needHostVM(t, "this machine has no vhost-net")
	m := matrix(t, "system: reference, app: http, platform: qemu1nic, accel: kvm, vhost: true",
		"system: reference, app: http, platform: qemumicrovm, accel: kvm, vhost: true")
	f := newRun(t, "--matrix", m, "--timeout", patience(15*time.Second).String()).run().want(0).file()
	for _, c := range f.Cells {
		s := c.Samples[0]
		checkOK(t, f, s)
		checkOrder(t, s, service...)
		checkOrder(t, s, results.EventVMMExec, results.EventFrameOut, results.EventFirstResponse)
		if argv := strings.Join(c.Argv, " "); !strings.Contains(argv, "vhost=on") || !c.Settings.Vhost {
			t.Errorf("%s: without vhost-net: %s", c.Name(), argv)
		}
		for _, taint := range s.Taints {
			if strings.Contains(taint, "vhost") {
				t.Errorf("%s: %s", c.Name(), taint)
			}
		}
	}
}

// A Linux microVM that is told no address asks ukprobe's server, and answers on what
// it was given. What it sends for that is the first frame out of it.
func TestAsksForItsAddress(t *testing.T) {
	needRoot(t)
	needNative(t, "it does not depend on the kernel, and emulation in emulation is slow")
	m := matrix(t, "system: linux, app: nginx, platform: qemu1nic, accel: tcg, address: dhcp",
		"system: reference, app: http, platform: qemu1nic, address: dhcp")
	f := newRun(t, "--matrix", m, "--timeout", patience(30*time.Second).String()).run().want(0).file()
	s := f.Cells[0].Samples[0]
	checkOK(t, f, s)
	checkOrder(t, s, results.EventVMMExec, results.EventFrameOut, results.EventSynAck, results.EventFirstResponse)
	if argv := strings.Join(f.Cells[0].Argv, " "); strings.Contains(argv, "198.18.") || !strings.Contains(argv, ":dhcp") {
		t.Errorf("the guest was told an address: %s", argv)
	}
	if got := f.Cells[0].Settings.Address; got != "dhcp" {
		t.Errorf("run.json says address %q", got)
	}
	if c := f.Cells[1]; c.Status != results.CellUnsupported || !strings.Contains(c.Reason, "does not ask for its address") {
		t.Errorf("a guest that cannot ask: %s: %s", c.Status, c.Reason)
	}
}

// A Linux microVM: under TCG on this machine, whose KVM cannot run it, and under
// KVM in the hostvm.
func TestLinux(t *testing.T) {
	needRoot(t)
	accel := "tcg"
	if inside() {
		accel = "kvm"
		needKVM(t)
	}
	apps := "[hello, memcached, mysql, nginx, redis, sqlite]"
	if inside() {
		apps = "[hello, nginx]" // each takes half a minute there
	}
	m := matrix(t, "system: linux, app: "+apps+", platform: qemu1nic, accel: "+accel)
	c := newRun(t, "--matrix", m, "--timeout", patience(30*time.Second).String()).start().wait(patience(180 * time.Second)).want(0)
	f := c.file()
	for _, cell := range f.Cells {
		t.Run(cell.App, func(t *testing.T) {
			if len(cell.Samples) != 1 {
				t.Fatalf("%d samples, want 1", len(cell.Samples))
			}
			s := cell.Samples[0]
			checkOK(t, f, s)
			checkApp(t, cell.App, s)
			if accel == "kvm" {
				checkStages(t, s)
			}
			if cell.Firmware != "seabios" {
				t.Errorf("firmware %q", cell.Firmware)
			}
			if i := cell.Image; i == nil || len(i.SHA256) != 64 || i.Size < 1<<20 {
				t.Errorf("image %+v: want a kernel's", i)
			}
		})
	}
}

// checkStages: a Linux guest's boot under KVM comes apart into all its stages.
func checkStages(t *testing.T, s results.Sample) {
	t.Helper()
	order := []string{results.EventVMMExec, results.EventVMCreated, results.EventVCPUCreated, results.EventFirstRun, results.EventGuestEntry,
		results.EventOptionROM, results.EventFirmwareEnd, results.EventDecompress, results.EventKernel}
	p := s.Phases
	parts := p.BIOSNs != nil && p.OptionROMNs != nil
	if !modulesHaveTypes() { // no code segment's base, by which the option ROM is recognised
		order = slices.DeleteFunc(order, func(e string) bool { return e == results.EventOptionROM })
		parts = p.BIOSNs == nil && p.OptionROMNs == nil && strings.Contains(missing(s, results.EventOptionROM), "code segment")
	}
	checkOrder(t, s, order...)
	if !parts || p.DecompressNs == nil || p.KernelNs == nil {
		t.Errorf("phases are missing, or there that cannot be: %s", cmp.Diff(results.Phases{}, p))
	}
}

// missing is the reason why an event is, or "".
func missing(s results.Sample, event string) string {
	for _, m := range s.Missing {
		if m.Name == event {
			return m.Reason
		}
	}
	return ""
}

// The bare Linux process, behind a veth.
func TestProcess(t *testing.T) {
	needRoot(t)
	m := matrix(t, "system: process, app: [hello, memcached, mysql, nginx, redis, sqlite], platform: process")
	before := processRoots(t)
	c := newRun(t, "--matrix", m, "--samples", "2").run().want(0)
	if diff := cmp.Diff(before, processRoots(t)); diff != "" {
		t.Errorf("they have written into the cache (-before +after):\n%s", diff)
	}
	f := c.file()
	for _, cell := range f.Cells {
		t.Run(cell.App, func(t *testing.T) {
			if len(cell.Samples) != 2 || cell.Accel != "none" {
				t.Fatalf("%d samples under %s, want 2 under none", len(cell.Samples), cell.Accel)
			}
			for _, s := range cell.Samples {
				checkOK(t, f, s)
				checkApp(t, cell.App, s)
				checkAbsent(t, s, results.EventGuestEntry, "not under KVM")
				if s.Phases.VMMNs != nil || s.Phases.FirmwareNs != nil {
					t.Errorf("a process has neither VMM nor firmware: %+v", s.Phases)
				}
			}
		})
	}
}

// processRoots is what is in the cached root folders of processes: name, size, mode and
// time of all, which are made if they are not there.
func processRoots(t *testing.T) []string {
	t.Helper()
	dir, err := images()
	if err != nil {
		t.Fatal(err)
	}
	b := linux.Builder{Dir: dir, Logf: t.Logf}
	var out []string
	for _, app := range linux.Apps() {
		root, err := b.RootFS(t.Context(), app)
		if err != nil {
			t.Fatal(err)
		}
		err = filepath.WalkDir(root.Dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := e.Info()
			if err == nil {
				out = append(out, fmt.Sprint(path, " ", info.Size(), " ", info.Mode(), " ", info.ModTime().UnixNano()))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// A kernel of lupine's, on all kinds of virtio: nginx's own, and as hello's too, to
// build one kernel only.
func TestLupine(t *testing.T) {
	needRoot(t)
	accel := "tcg"
	if inside() {
		accel = "kvm"
		needKVM(t)
	}
	kernels := nginxKernel(t)
	cells := []string{"system: lupine, app: nginx, platform: qemumicrovm, accel: " + accel}
	if !inside() {
		cells = append(cells,
			"system: lupine, app: nginx, platform: qemu1nic, accel: "+accel,
			"system: lupine, app: hello, platform: qemu, accel: "+accel+", kernel: "+kernels.BzImage)
	}
	c := newRun(t, "--matrix", matrix(t, cells...), "--timeout", patience(30*time.Second).String()).start().wait(patience(120 * time.Second)).want(0)
	f := c.file()
	for _, cell := range f.Cells {
		t.Run(cell.App+" on "+cell.Platform, func(t *testing.T) {
			s := cell.Samples[0]
			checkOK(t, f, s)
			checkApp(t, cell.App, s)
			for _, line := range s.Console {
				if line.Text != linux.ReadyLine(cell.App) {
					t.Errorf("on the console: %q", line.Text)
				}
			}
			want := kernels.BzImageSize
			if cell.Platform == "qemumicrovm" {
				want = kernels.VmlinuxSize
			}
			if cell.Image == nil || cell.Image.Size != want {
				t.Errorf("image %+v, want one of %d bytes", cell.Image, want)
			}
			if accel == "kvm" {
				checkOrder(t, s, results.EventGuestEntry, results.EventFirmwareEnd, results.EventFrameOut)
			}
		})
	}
}

// From a disk: lupine's general kernel and the app's ext2 image, without an initramfs
// and with nothing said about either but the disk's name.
func TestLupineFromDisk(t *testing.T) {
	needNative(t, "the disks were booted there by hand: docs/verified.md")
	needRoot(t)
	dir, err := images()
	if err != nil {
		t.Fatal(err)
	}
	cached, err := lupine.InCache(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(cached, func(c linux.Cached) bool {
		return c.App == lupine.General
	}) {
		t.Skipf("NOT TESTED: no general kernel in %s, which takes minutes: ukprobe image build --cache %s lupine general", dir, dir)
	}
	var cells []string
	for app, platform := range map[string]string{"nginx": "qemu1nic", "redis": "qemumicrovm", "hello": "qemu"} {
		disk, err := (&linux.Builder{Dir: dir, Logf: t.Logf}).PlainDisk(t.Context(), app)
		if err != nil {
			t.Fatal(err)
		}
		cells = append(cells, "system: lupine, accel: tcg, app: "+app+", platform: "+platform+", disk: "+disk.Path)
	}
	c := newRun(t, "--matrix", matrix(t, cells...), "--timeout", patience(30*time.Second).String()).start().wait(patience(120 * time.Second)).want(0)
	for _, cell := range c.file().Cells {
		t.Run(cell.App, func(t *testing.T) {
			checkOK(t, c.file(), cell.Samples[0])
			checkApp(t, cell.App, cell.Samples[0])
			if argv := strings.Join(cell.Argv, " "); strings.Contains(argv, "-initrd") || !strings.Contains(argv, " root=/dev/vda rw") {
				t.Errorf("%s", argv)
			}
		})
	}
}

// nginxKernel returns the kernel that `make images` has built.
func nginxKernel(t *testing.T) lupine.Kernel {
	t.Helper()
	dir, err := images()
	if err != nil {
		t.Fatal(err)
	}
	k, err := (&lupine.Builder{Dir: dir, Logf: t.Logf}).Kernel(t.Context(), "nginx")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// checkApp checks the events that the apps of guests/linux have wherever they run.
func checkApp(t *testing.T, app string, s results.Sample) {
	t.Helper()
	if linux.Port(app) == 0 {
		checkOrder(t, s, results.EventVMMExec, results.EventConsoleFirst, results.EventConsoleReady, results.EventVMMExit)
		return
	}
	order := service
	if len(linux.Request(app)) == 0 { // it speaks first
		order = slices.DeleteFunc(slices.Clone(order), func(e string) bool { return e == "first_request" })
	}
	checkOrder(t, s, order...)
	checkOrder(t, s, results.EventVMMExec, results.EventSynAck)
	// Of a process, the first frame out can be its namespace's RST, before it even
	// runs.
	checkOrder(t, s, results.EventFrameOut, results.EventSynAck)
}
