// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"fmt"
	"strconv"

	"github.com/ukprobe/ukprobe/internal/solo5"
	"github.com/ukprobe/ukprobe/orchestrate/network"
	"github.com/ukprobe/ukprobe/orchestrate/system"
)

// solo5Virtio runs Solo5's virtio target under QEMU's pc machine, as Solo5's own
// scripts/virtio-run/solo5-virtio-run.sh does.
type solo5Virtio struct{}

// Name implements Platform.
func (solo5Virtio) Name() string { return "solo5-virtio" }

// Program implements Platform.
func (solo5Virtio) Program() string { return qemuProgram() }

// Wire implements Platform.
func (solo5Virtio) Wire() Wire { return TapWire }

// Accel implements Platform.
func (solo5Virtio) Accel(want string, b system.Boot, h Host) (string, error) {
	return h.resolve(want, b)
}

// Firmware implements Platform: the image is a multiboot one.
func (solo5Virtio) Firmware() Firmware { return qemu{}.Firmware() }

// debugExit is QEMU's exit status when the guest ends itself, well or not: it writes
// 41 to port 0x501, where isa-debug-exit is by default, and QEMU exits with twice
// that and one (Solo5's bindings/virtio/platform.c).
const debugExit = 41<<1 | 1

// Exit implements Exits.
func (solo5Virtio) Exit(status int) string {
	if status == debugExit {
		return "the guest ended itself"
	}
	return ""
}

// Launch implements Platform. Commas in the command line stay as they are: QEMU
// passes it on unread (mb_add_cmdline in its hw/i386/multiboot.c; seen so with 7.2).
// Solo5's script still doubles them, as QEMU once wanted.
func (s solo5Virtio) Launch(b system.Boot, r Resources, nic *network.Guest, cmdline string) (Launch, error) {
	if err := solo5Takes(s.Name(), b, r, cmdline); err != nil {
		return Launch{}, err
	}
	if err := multibootPath(b.Kernel); err != nil {
		return Launch{}, err
	}
	img, err := solo5.ReadFile(b.Kernel)
	if err != nil {
		return Launch{}, err
	}
	if blocks := img.Of(solo5.Block); len(blocks) > 1 {
		return Launch{}, fmt.Errorf("%w: image %s declares %s, and the virtio target has one", system.ErrUnsupported, b.Kernel, names("block devices", blocks))
	}
	devices, err := attach(s.Name(), solo5.Virtio, img, b, nic)
	if err != nil {
		return Launch{}, err
	}
	path, err := findQEMU()
	if err != nil {
		return Launch{}, err
	}
	l := Launch{Env: vmmEnv(), Accel: r.Accel}
	l.Argv = []string{path, "-machine", "pc,acpi=off,accel=" + r.Accel, "-cpu", cpuModel(r),
		"-m", strconv.Itoa(r.MemoryMiB), "-smp", strconv.Itoa(r.VCPUs),
		"-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot",
		"-device", "isa-debug-exit", "-kernel", b.Kernel}
	for i, d := range devices.disks {
		l.Argv = append(l.Argv, qemu{}.diskArgs(i, d)...)
	}
	if devices.net != "" {
		if err := (qemu{}).vhost(r); err != nil {
			return Launch{}, err
		}
		l.Argv = append(l.Argv, qemu{}.nicArgs(*nic, r)...)
	}
	if cmdline != "" {
		l.Argv = append(l.Argv, "-append", cmdline)
	}
	l.Console = serialConsole(r.Accel)
	return l, nil
}
