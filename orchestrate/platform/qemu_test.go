// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/network"
	"github.com/ukprobe/ukprobe/orchestrate/system"
)

// after returns the words that follow a word in a command line.
func after(argv []string, word string) []string {
	var out []string
	for i, w := range argv[:len(argv)-1] {
		if w == word {
			out = append(out, argv[i+1])
		}
	}
	return out
}

// TestDisks: a virtio disk that is never written to, on PCI or MMIO.
func TestDisks(t *testing.T) {
	fakeQEMU(t)
	b := system.Boot{Kernel: "/k", Disks: []system.Disk{{Path: "/a,b.qcow2", Format: "qcow2"}, {Path: "/c", Format: "raw", ReadOnly: true}}}
	for name, device := range map[string]string{"qemu": "virtio-blk-pci", "qemu1nic": "virtio-blk-pci", "qemumicrovm": "virtio-blk-device"} {
		p, err := Find(name)
		if err != nil {
			t.Fatal(err)
		}
		l, err := p.Launch(b, Resources{Accel: TCG}, nil, "")
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"file=/a,,b.qcow2,if=none,id=hd0,format=qcow2,snapshot=on", "file=/c,if=none,id=hd1,format=raw,readonly=on"}
		if diff := cmp.Diff(want, after(l.Argv, "-drive")); diff != "" {
			t.Errorf("%s: drives (-want +got):\n%s", name, diff)
		}
		if diff := cmp.Diff([]string{device + ",drive=hd0", device + ",drive=hd1"}, after(l.Argv, "-device")); diff != "" {
			t.Errorf("%s: devices (-want +got):\n%s", name, diff)
		}
	}
}

// TestMultibootFiles: of a multiboot image QEMU takes paths for lists of words.
func TestMultibootFiles(t *testing.T) {
	fakeQEMU(t)
	dir := t.TempDir()
	multiboot := make([]byte, 64)
	copy(multiboot, []byte{0x02, 0xb0, 0xad, 0x1b, 0, 0, 0, 0, 0xfe, 0x4f, 0x52, 0xe4}) // magic, flags, what makes their sum 0
	kernel := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, tt := range []struct{ kernel, initrd, want, err string }{
		{kernel("mb", multiboot), "/a,b.cpio", "/a,,b.cpio", ""},
		{kernel("mb", multiboot), "/a b.cpio", "", "rename it"},
		{kernel("my mb", multiboot), "", "", "the guest takes it to end at the first blank: rename it"},
		{kernel("other", []byte("no multiboot image")), "/a,b c.cpio", "/a,b c.cpio", ""},
		{kernel("my other", []byte("no multiboot image")), "/i", "/i", ""},
		{dir + "/none", "/a,b", "/a,b", ""},
	} {
		for _, q := range []qemu{{name: "qemu"}, {name: "qemumicrovm", microvm: true}} {
			l, err := q.Launch(system.Boot{Kernel: tt.kernel, Initrd: tt.initrd}, Resources{Accel: TCG}, nil, "words")
			switch {
			case tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)):
				t.Errorf("%s, %s: %v, want %q", tt.kernel, tt.initrd, err, tt.err)
			case tt.err == "" && (err != nil || after(l.Argv, "-initrd")[0] != tt.want || after(l.Argv, "-kernel")[0] != tt.kernel):
				t.Errorf("%s, %s: %v, %q", tt.kernel, tt.initrd, err, l.Argv)
			}
		}
	}
}

// TestBootsFromDisk: a pc's firmware can, a microvm's cannot; what such an image is to
// be told is in the image.
func TestBootsFromDisk(t *testing.T) {
	fakeQEMU(t)
	b := system.Boot{Disks: []system.Disk{{Path: "/usr.img", Format: "qcow2"}}}
	l, err := qemu{name: "qemu"}.Launch(b, Resources{Accel: TCG}, nil, "for the kernel")
	if err != nil || slices.Contains(l.Argv, "-kernel") || slices.Contains(l.Argv, "-append") || len(after(l.Argv, "-drive")) != 1 {
		t.Errorf("pc: %v, %q", err, l.Argv)
	}
	if _, err := (qemu{name: "qemumicrovm", microvm: true}).Launch(b, Resources{Accel: TCG}, nil, ""); !errors.Is(err, system.ErrUnsupported) {
		t.Errorf("microvm: %v, want unsupported", err)
	}
}

// TestImagesOwnWords: an image's own properties of microvm win over the platform's, and
// its words come last.
func TestImagesOwnWords(t *testing.T) {
	fakeQEMU(t)
	b := system.Boot{Kernel: "/k", QEMU: system.QEMU{Microvm: "pit=on", Args: []string{"-global", "a.b=c"}}}
	l, err := qemu{name: "qemumicrovm", microvm: true}.Launch(b, Resources{Accel: KVM}, nil, "x")
	if err != nil {
		t.Fatal(err)
	}
	if m := after(l.Argv, "-machine")[0]; !strings.HasSuffix(m, "pit=off,pic=off,rtc=off,acpi=off,pit=on,accel=kvm") {
		t.Errorf("machine %s", m)
	}
	if diff := cmp.Diff([]string{"-append", "x", "-global", "a.b=c"}, l.Argv[len(l.Argv)-4:]); diff != "" {
		t.Errorf("the end (-want +got):\n%s", diff)
	}
	if l, err = (qemu{name: "qemu"}).Launch(b, Resources{Accel: TCG}, nil, ""); err != nil || after(l.Argv, "-machine")[0] != "pc,accel=tcg" {
		t.Errorf("pc: %v, %q", err, l.Argv)
	}
}

// TestVhost: vhost-net serves every guest of such a cell, and a host without it says so.
func TestVhost(t *testing.T) {
	q := qemu{name: "qemu1nic", nic: true}
	if got := q.nicArgs(guestNIC(), Resources{Vhost: true})[1]; got != "tap,id=n0,ifname=uktap7,script=no,downscript=no,vhost=on,vhostforce=on" {
		t.Errorf("netdev %s", got)
	}
	if err := q.vhost(Resources{}); err != nil {
		t.Errorf("not wanted: %v", err)
	}
	err := q.vhost(Resources{Vhost: true})
	if _, missing := os.Stat(vhostDevice); missing == nil {
		if err != nil {
			t.Errorf("there is %s: %v", vhostDevice, err)
		}
	} else if !errors.Is(err, system.ErrUnsupported) || !strings.Contains(err.Error(), "modprobe vhost_net") {
		t.Errorf("there is no %s: %v", vhostDevice, err)
	}
}

// TestQEMUElsewhere: UKPROBE_QEMU is a path or a name, and an error names it.
func TestQEMUElsewhere(t *testing.T) {
	fakeQEMU(t)
	dir := t.TempDir()
	mine := filepath.Join(dir, "qemu-10")
	if err := os.WriteFile(mine, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	for _, name := range []string{mine, "./qemu-10"} { // a VMM starts in /, so that its path is whole
		t.Setenv(EnvQEMU, name)
		l, err := qemu{name: "qemu"}.Launch(system.Boot{Kernel: "/k"}, Resources{Accel: TCG}, nil, "")
		if err != nil || l.Argv[0] != mine {
			t.Errorf("%s: %v, %q", name, err, l.Argv)
		}
		if got := (qemu{}).Program(); got != name {
			t.Errorf("program %s", got)
		}
	}
	// One that was unpacked takes its own firmware.
	for _, folder := range []string{"bin", "share/qemu", "share/seabios"} {
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	unpacked := filepath.Join(dir, "bin", "qemu")
	if err := os.Rename(mine, unpacked); err != nil {
		t.Fatal(err)
	}
	t.Setenv(EnvQEMU, unpacked)
	l, err := qemu{name: "qemu"}.Launch(system.Boot{Kernel: "/k"}, Resources{Accel: TCG}, nil, "")
	if diff := cmp.Diff([]string{dir + "/share/qemu", dir + "/share/seabios"}, after(l.Argv, "-L")); diff != "" || err != nil {
		t.Errorf("firmware of an unpacked QEMU: %v (-want +got):\n%s", err, diff)
	}
	t.Setenv(EnvQEMU, filepath.Join(dir, "none"))
	if _, err := (qemu{name: "qemu"}).Launch(system.Boot{Kernel: "/k"}, Resources{Accel: TCG}, nil, ""); err == nil || !strings.Contains(err.Error(), EnvQEMU) {
		t.Errorf("no such QEMU: %v", err)
	}
}

// told is a system that says what it is told, and can ask.
type told struct{ system.System }

func (told) Name() string { return "told" }
func (told) CommandLine(_ system.Boot, net *system.Addresses) (string, error) {
	if net == nil {
		return "none", nil
	}
	return net.Prefix.String(), nil
}
func (told) AskingCommandLine(system.Boot) string { return "ask" }

// mute cannot ask.
type mute struct{ told }

func (mute) AskingCommandLine() {}

// TestCommandAsks: a guest is told its address, or to ask for it; without a network
// there is nothing to ask for.
func TestCommandAsks(t *testing.T) {
	fakeQEMU(t)
	g := network.Guest{Name: "uktap0", MAC: guestNIC().MAC, IP: netip.MustParseAddr("198.18.0.2")}
	one, none := qemu{name: "qemu1nic", nic: true}, qemu{name: "qemu"}
	for _, tt := range []struct {
		name string
		s    system.System
		p    Platform
		r    Resources
		nic  *network.Guest
		want string
	}{
		{"told", told{}, one, Resources{}, &g, "198.18.0.2/24"},
		{"asks", told{}, one, Resources{DHCP: true}, &g, "ask"},
		{"no network", told{}, none, Resources{DHCP: true}, nil, "none"},
		{"cannot ask", mute{}, one, Resources{DHCP: true}, &g, "unsupported: address dhcp: told on platform qemu1nic does not ask for its address: leave that out"},
		{"a wire that is set up already", told{}, process{}, Resources{DHCP: true}, &g, "unsupported: address dhcp: told on platform process does not ask for its address: leave that out"},
		{"vhost elsewhere", told{}, process{}, Resources{Vhost: true}, &g, "unsupported: vhost: platform process has no vhost-net: leave that out"},
	} {
		l, err := Command(tt.s, tt.p, system.Boot{Kernel: "/k"}, tt.r, tt.nic)
		got := ""
		if err != nil {
			got = err.Error()
		} else if words := after(l.Argv, "-append"); len(words) == 1 {
			got = words[0]
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// The scratch disk is the last one, and is written to; only QEMU limits it, and only QEMU
// has a cache to choose.
func TestScratch(t *testing.T) {
	scratch := matrix.ScratchDisk{SizeMiB: 8, Cache: matrix.ScratchWriteback}
	limited, direct := scratch, scratch
	limited.IOPS, limited.BytesPerSecond, direct.Cache = 50, 1000, matrix.ScratchNone
	guest := system.Boot{Kernel: "/k", Disks: []system.Disk{{Path: "/root.raw", Format: "raw"}}}
	const file = "file={dir,,}/scratch.raw,if=none,id=scratch,format=raw,"
	for name, tt := range map[string]struct {
		q     qemu
		disk  matrix.ScratchDisk
		drive string
		dev   string
	}{
		"plain":   {qemu{name: "qemu"}, scratch, file + "cache=writeback,aio=threads", "virtio-blk-pci,drive=scratch"},
		"limited": {qemu{name: "qemumicrovm", microvm: true}, limited, file + "cache=writeback,aio=threads,throttling.iops-total=50,throttling.bps-total=1000", "virtio-blk-device,drive=scratch"},
		"direct":  {qemu{name: "qemu"}, direct, file + "cache=none,aio=threads", "virtio-blk-pci,drive=scratch"},
	} {
		b := guest
		b.Scratch = &tt.disk
		l, err := tt.q.Launch(b, Resources{Accel: TCG}, nil, "x")
		if err != nil {
			t.Fatal(err)
		}
		drives, devices := after(l.Argv, "-drive"), after(l.Argv, "-device")
		if len(drives) != 2 || drives[1] != tt.drive || len(devices) != 2 || devices[1] != tt.dev {
			t.Errorf("%s: drives %q, devices %q", name, drives, devices)
		}
		if diff := cmp.Diff(&Scratch{Name: "scratch.raw", Bytes: 8 << 20}, l.Scratch); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	for name, b := range map[string]system.Boot{"process": {RootFS: "/r", Argv: []string{"/a"}}, "docker": {Container: "c"}} {
		p, err := Find(name)
		if err != nil {
			t.Fatal(err)
		}
		for want, disk := range map[string]matrix.ScratchDisk{"": scratch, "does not limit reads and writes": limited, "knows no cache": direct} {
			b.Scratch = &disk
			l, err := p.Launch(b, Resources{}, nil, "")
			if want != "" && (!errors.Is(err, system.ErrUnsupported) || !strings.Contains(err.Error(), want)) || want == "" && (err != nil || l.Scratch == nil) {
				t.Errorf("%s: %+v, %v; want %q", name, l.Scratch, err, want)
			}
		}
	}
}
