// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"fmt"
	"os/exec"
	"strconv"

	"github.com/ukprobe/ukprobe/orchestrate/network"
	"github.com/ukprobe/ukprobe/orchestrate/system"
	"github.com/ukprobe/ukprobe/probe"
)

// qemuProgram is QEMU's name in PATH.
const qemuProgram = "qemu-system-x86_64"

// com1 is the base port of the first serial line of a PC.
const com1 = 0x3f8

// qemu is QEMU's pc machine without or with one NIC, and its microvm machine.
type qemu struct {
	name    string
	nic     bool
	microvm bool
}

// Name implements Platform.
func (q qemu) Name() string { return q.name }

// Program implements Platform.
func (qemu) Program() string { return qemuProgram }

// Wire implements Platform.
func (q qemu) Wire() Wire {
	if q.nic {
		return TapWire
	}
	return NoWire
}

// Accel implements Platform.
func (qemu) Accel(want string, b system.Boot, h Host) (string, error) { return h.resolve(want, b) }

// loaderROM is where the firmware of a pc runs the option ROM that loads what -kernel
// names: linuxboot_dma.bin for a bzImage, multiboot_dma.bin, pvh.bin.
//
// SeaBIOS puts ROMs below 0xe0000 from 0xc0000 on, the VGA's first (there is none
// here), and of those that QEMU gives it, the loader's before kvmvapic.bin (its
// src/optionroms.c; seen so with 1.16.2). Their room is a multiple of 2 KiB, and no
// loader needs more than that. SeaBIOS itself begins in the same area, but above
// 0xd0000. The first bytes of a ROM are its header and an empty function that is
// called earlier, when ROMs are set up.
var loaderROM = probe.Segment{Lo: 0xc0020, Hi: 0xc0800, Stage: probe.StageOptionROM}

// Firmware implements Platform. A microvm without ACPI has qboot, which loads the
// kernel itself (QEMU's docs/system/i386/microvm.rst).
func (q qemu) Firmware() Firmware {
	if q.microvm {
		return Firmware{Name: "qboot"}
	}
	rom := loaderROM
	return Firmware{Name: "seabios", OptionROM: &rom}
}

// Launch implements Platform.
//
// The serial line is QEMU's standard output and nothing else is: no monitor, no
// display, no default devices, and SeaBIOS is silent on it (it speaks there only
// with -nographic).
func (q qemu) Launch(b system.Boot, r Resources, nic *network.Guest, cmdline string) (Launch, error) {
	if err := q.takes(b); err != nil {
		return Launch{}, err
	}
	path, err := exec.LookPath(qemuProgram)
	if err != nil {
		return Launch{}, fmt.Errorf("find %s: %w: apt-get install qemu-system-x86", qemuProgram, err)
	}
	argv := []string{path, "-machine", q.machine(r.Accel), "-cpu", cpuModel(r),
		"-m", strconv.Itoa(r.MemoryMiB), "-smp", strconv.Itoa(r.VCPUs),
		"-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot"}
	if q.microvm && b.ModernMMIO {
		argv = append(argv, "-global", "virtio-mmio.force-legacy=off")
	}
	if b.Kernel != "" {
		argv = append(argv, "-kernel", b.Kernel)
	}
	if b.Initrd != "" {
		argv = append(argv, "-initrd", b.Initrd)
	}
	if nic != nil {
		argv = append(argv, q.nicArgs(*nic)...)
	}
	if cmdline != "" && b.Kernel != "" {
		argv = append(argv, "-append", cmdline)
	}
	l := Launch{Argv: argv, Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}, Accel: r.Accel}
	if err := q.attachDisks(&l, b, cmdline); err != nil {
		return Launch{}, err
	}
	if r.Accel == KVM {
		l.Console.Port = com1
	} else {
		l.Console.Write = true
	}
	return l, nil
}

func (q qemu) machine(accel string) string {
	if q.microvm {
		// Without PIT, PIC and RTC a microvm boots fastest (E21, docs of QEMU);
		// a guest without ACPI finds its devices on the command line.
		return "microvm,x-option-roms=off,pit=off,pic=off,rtc=off,acpi=off,accel=" + accel
	}
	return "pc,accel=" + accel
}

// cpuModel: under KVM the host's own model, whole: without arch-capabilities Linux
// would switch mitigations on that the host does not need. Only KVM without
// hardware behind it refuses that feature.
func cpuModel(r Resources) string {
	switch {
	case r.Accel != KVM:
		return "max"
	case r.Emulated:
		return "host,-arch-capabilities"
	}
	return "host"
}

// nicArgs: no script, no option ROM (a network boot ROM costs firmware time).
func (q qemu) nicArgs(nic network.Guest) []string {
	netdev := fmt.Sprintf("tap,id=n0,ifname=%s,script=no,downscript=no", nic.Name)
	device := fmt.Sprintf("virtio-net-pci,netdev=n0,mac=%s,romfile=", nic.MAC)
	if q.microvm {
		device = fmt.Sprintf("virtio-net-device,netdev=n0,mac=%s", nic.MAC)
	}
	return []string{"-netdev", netdev, "-device", device}
}
