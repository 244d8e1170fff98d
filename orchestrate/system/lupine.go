// SPDX-License-Identifier: Apache-2.0

package system

import (
	"cmp"
	"context"

	"github.com/ukprobe/ukprobe/guests/linux"
	"github.com/ukprobe/ukprobe/guests/lupine"
)

// Lupine is a microVM of a kernel of its own for each app, and an initramfs with
// the same binaries as Linux's.
type Lupine struct {
	env     Env
	builder *linux.Builder
	kernels *lupine.Builder
}

// Name implements System.
func (*Lupine) Name() string { return "lupine" }

// Apps implements System.
func (l *Lupine) Apps() []string { return l.env.apps(l.Name(), lupine.Apps()...) }

// Platforms implements System.
func (*Lupine) Platforms() []string {
	return []string{qemuPlatform, qemu1NIC, qemuMicroVM, firecrackerVMM}
}

// Limit implements System.
func (*Lupine) Limit(Want) string { return "" }

// Prepare implements System.
func (l *Lupine) Prepare(ctx context.Context, w Want) (Boot, error) {
	kernel := func(b Boot) (string, error) { return l.kernel(ctx, w, len(b.Disks) > 0) }
	return l.env.prepareLinux(ctx, l, w, kernel, l.builder.PlainInitramfs)
}

// kernel is the own one. With a root on a disk it is the general one: those of the
// apps have neither disks nor file systems.
func (l *Lupine) kernel(ctx context.Context, w Want, disk bool) (string, error) {
	app := cmp.Or(linux.VariantOf(w.App), w.App)
	if disk {
		app = lupine.General
	}
	k, err := l.kernels.Kernel(ctx, app)
	if err != nil {
		return "", err
	}
	if firmwareLoads(w.Platform) {
		return k.BzImage, nil
	}
	return k.Vmlinux, nil
}

// firmwareLoads says whether a platform has a PC's firmware, which loads a
// compressed kernel; the others start the uncompressed one.
func firmwareLoads(platform string) bool { return platform == qemuPlatform || platform == qemu1NIC }

// Describe implements System.
func (l *Lupine) Describe(w Want) Boot {
	return l.env.describeLinux(l.Name(), w, lupine.CommandLine(firmwareLoads(w.Platform)))
}

// CommandLine implements System, as Linux does.
func (*Lupine) CommandLine(b Boot, net *Addresses) (string, error) { return linuxCommandLine(b, net) }
