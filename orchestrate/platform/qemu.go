// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/network"
	"github.com/ukprobe/ukprobe/orchestrate/system"
	"github.com/ukprobe/ukprobe/probe"
)

// EnvQEMU names the environment variable with the QEMU to run in place of the one in
// PATH: a path, or a name in PATH.
const EnvQEMU = "UKPROBE_QEMU"

// vhostDevice is vhost-net's.
const vhostDevice = "/dev/vhost-net"

// qemuProgram is QEMU's name in PATH, or the path that was given.
func qemuProgram() string { return cmp.Or(os.Getenv(EnvQEMU), "qemu-system-x86_64") }

// findQEMU returns QEMU's path: whole, for a VMM starts in the folder /.
func findQEMU() (string, error) {
	path, err := lookPath(qemuProgram())
	if err != nil && os.Getenv(EnvQEMU) != "" {
		return "", fmt.Errorf("find %s: %w: see --qemu and %s", qemuProgram(), err, EnvQEMU)
	}
	if err != nil {
		return "", fmt.Errorf("find %s: %w: apt-get install qemu-system-x86", qemuProgram(), err)
	}
	return path, nil
}

// firmwareArgs has a QEMU that is not installed, but unpacked somewhere, take the
// firmware that came with it: Debian's looks in /usr/share wherever it is itself, and
// would mix the versions.
func firmwareArgs(path string) []string {
	usr := filepath.Dir(filepath.Dir(path))
	if os.Getenv(EnvQEMU) == "" || usr == "/usr" {
		return nil
	}
	var out []string
	for _, folder := range []string{"qemu", "seabios"} {
		dir := filepath.Join(usr, "share", folder)
		if st, err := os.Stat(dir); err == nil && st.IsDir() {
			out = append(out, "-L", dir)
		}
	}
	return out
}

// com1 is the base port of the first serial line of a PC.
const com1 = 0x3f8

// serialConsole is where the first serial line of a guest of QEMU is seen: at its port
// under KVM; without it the kernel sees no port, but QEMU's write(2)s of what comes there.
func serialConsole(accel string) Console {
	if accel == KVM {
		return Console{Port: com1}
	}
	return Console{Write: true}
}

// qemu is QEMU's pc machine without or with one NIC, and its microvm machine.
type qemu struct {
	name    string
	nic     bool
	microvm bool
}

// Name implements Platform.
func (q qemu) Name() string { return q.name }

// Program implements Platform.
func (qemu) Program() string { return qemuProgram() }

// Wire implements Platform.
func (q qemu) Wire() Wire {
	if q.nic {
		return TapWire
	}
	return NoWire
}

// Accel implements Platform.
func (q qemu) Accel(want string, b system.Boot, h Host) (string, error) {
	accel, err := h.resolve(want, b)
	if err == nil && accel != KVM && q.microvm && b.QEMU.MicrovmKVM != "" {
		return "", fmt.Errorf("%w: accel %s: platform %s without KVM: %s", system.ErrUnsupported, accel, q.name, b.QEMU.MicrovmKVM)
	}
	return accel, err
}

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
	if b.Kernel == "" && (len(b.Disks) == 0 || q.microvm) {
		return Launch{}, fmt.Errorf("%w: platform %s boots kernels; this system is not one", system.ErrUnsupported, q.name)
	}
	path, err := findQEMU()
	if err != nil {
		return Launch{}, err
	}
	initrd, err := initrdFor(b)
	if err != nil {
		return Launch{}, err
	}
	argv := append([]string{path}, firmwareArgs(path)...)
	argv = append(argv, "-machine", q.machine(b, r.Accel), "-cpu", cpuFor(b, r),
		"-m", strconv.Itoa(r.MemoryMiB), "-smp", strconv.Itoa(r.VCPUs),
		"-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot")
	if b.Kernel != "" {
		argv = append(argv, "-kernel", b.Kernel)
	}
	if initrd != "" {
		argv = append(argv, "-initrd", initrd)
	}
	disks, files, err := disksWith(b, cmdline)
	if err != nil {
		return Launch{}, err
	}
	for i, d := range disks {
		argv = append(argv, q.diskArgs(i, d)...)
	}
	if b.Scratch != nil {
		argv = append(argv, q.scratchArgs(b.Scratch)...)
	}
	if nic != nil {
		if err := q.vhost(r); err != nil {
			return Launch{}, err
		}
		argv = append(argv, q.nicArgs(*nic, r)...)
	}
	if cmdline != "" && b.Kernel != "" {
		argv = append(argv, "-append", cmdline)
	}
	argv = append(argv, b.QEMU.Args...)
	l := Launch{Argv: argv, Env: vmmEnv(), Files: files, Accel: r.Accel}
	if b.Scratch != nil {
		l.Scratch = scratchFile(b, scratchDisk)
	}
	l.Console = serialConsole(r.Accel)
	return l, nil
}

// machine is the machine with its properties, of which the image's own come last:
// what is said twice counts as it was said last.
func (q qemu) machine(b system.Boot, accel string) string {
	if !q.microvm {
		return "pc,accel=" + accel
	}
	// Without PIT, PIC and RTC a microvm boots fastest (E21, docs of QEMU); a guest
	// without ACPI finds its devices on the command line.
	words := "microvm,x-option-roms=off,pit=off,pic=off,rtc=off,acpi=off"
	if accel != KVM {
		// There is no clock of KVM's to tell how fast the TSC is: without a PIT a
		// Linux guest hangs.
		words = "microvm,x-option-roms=off,pit=on,pic=on,rtc=on,acpi=off"
	}
	if b.QEMU.Microvm != "" {
		words += "," + b.QEMU.Microvm
	}
	return words + ",accel=" + accel
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

// cpuFor adds what the image needs of the host's own model.
func cpuFor(b system.Boot, r Resources) string {
	if r.Accel != KVM || r.Emulated || b.QEMU.CPU == "" {
		return cpuModel(r)
	}
	return cpuModel(r) + "," + b.QEMU.CPU
}

// nicArgs: no script, no option ROM (a network boot ROM costs firmware time). Forced,
// vhost-net serves also guests that do not use MSI-X, which without that go through
// QEMU unnoticed.
func (q qemu) nicArgs(nic network.Guest, r Resources) []string {
	netdev := fmt.Sprintf("tap,id=n0,ifname=%s,script=no,downscript=no", nic.Name)
	if r.Vhost {
		netdev += ",vhost=on,vhostforce=on"
	}
	device := fmt.Sprintf("virtio-net-pci,netdev=n0,mac=%s,romfile=", nic.MAC)
	if q.microvm {
		device = fmt.Sprintf("virtio-net-device,netdev=n0,mac=%s", nic.MAC)
	}
	return []string{"-netdev", netdev, "-device", device}
}

// vhost says why vhost-net cannot serve, if it is to.
func (qemu) vhost(r Resources) error {
	if !r.Vhost {
		return nil
	}
	f, err := os.OpenFile(vhostDevice, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("%w: vhost: %w: run as root, and `modprobe vhost_net` (the kernel needs CONFIG_VHOST_NET)", system.ErrUnsupported, err)
	}
	return f.Close()
}

// diskArgs gives the guest a virtio disk. Its file is never written to: unless it is
// read-only, what the guest writes goes into a file without a name that ends with
// QEMU.
func (q qemu) diskArgs(i int, d system.Disk) []string {
	id := fmt.Sprintf("hd%d", i)
	path := strings.ReplaceAll(strings.ReplaceAll(d.Path, ",", ",,"), Dir, DirOption)
	drive := fmt.Sprintf("file=%s,if=none,id=%s,format=%s", path, id, d.Format)
	if d.ReadOnly {
		drive += ",readonly=on"
	} else {
		drive += ",snapshot=on"
	}
	device := "virtio-blk-pci,drive=" + id
	if q.microvm {
		device = "virtio-blk-device,drive=" + id
	}
	return []string{"-drive", drive, "-device", device}
}

// scratchArgs gives the guest a virtio disk that it reads and writes. QEMU's own choice
// of how it asks the host (aio=threads: pread and its kin, one thread each) is said, so
// that another build does not choose otherwise.
func (q qemu) scratchArgs(s *matrix.ScratchDisk) []string {
	drive := fmt.Sprintf("file=%s/%s,if=none,id=scratch,format=raw,cache=%s,aio=threads", DirOption, scratchDisk, s.Cache)
	if s.IOPS > 0 {
		drive += fmt.Sprintf(",throttling.iops-total=%d", s.IOPS)
	}
	if s.BytesPerSecond > 0 {
		drive += fmt.Sprintf(",throttling.bps-total=%d", s.BytesPerSecond)
	}
	device := "virtio-blk-pci,drive=scratch"
	if q.microvm {
		device = "virtio-blk-device,drive=scratch"
	}
	return []string{"-drive", drive, "-device", device}
}
