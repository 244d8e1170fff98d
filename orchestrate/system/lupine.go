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
	apps    *linux.Builder
	kernels *lupine.Builder
}

// Name implements System.
func (*Lupine) Name() string { return "lupine" }

// Apps implements System.
func (*Lupine) Apps() []string { return lupine.Apps() }

// Platforms implements System.
func (*Lupine) Platforms() []string {
	return []string{"qemu", "qemu1nic", "qemumicrovm", "firecracker"}
}

// Limit implements System.
func (*Lupine) Limit(_, _ string) string { return "" }

// Prepare implements System. With a root on a disk the kernel is the general one:
// those of the apps have neither disks nor file systems.
func (l *Lupine) Prepare(ctx context.Context, w Want) (Boot, error) {
	b := l.Describe(w)
	if b.Kernel == Unbuilt {
		app := cmp.Or(linux.VariantOf(w.App), w.App)
		if len(b.Disks) > 0 {
			app = lupine.General
		}
		k, err := l.kernels.Kernel(ctx, app)
		if err != nil {
			return Boot{}, err
		}
		b.Kernel = k.BzImage
		if !firmwareLoads(w.Platform) {
			b.Kernel = k.Vmlinux
		}
	}
	if b.Initrd == Unbuilt {
		i, err := l.apps.PlainInitramfs(ctx, w.App)
		if err != nil {
			return Boot{}, err
		}
		b.Initrd, b.Version = i.Path, i.Version
	}
	for _, path := range []string{b.Initrd, w.Settings.Disk} {
		if path == "" {
			continue
		}
		if _, err := imageOf(path); err != nil {
			return Boot{}, err
		}
	}
	var err error
	if b.Image, err = imageOf(b.Kernel); err != nil {
		return Boot{}, err
	}
	b.Segments, err = segmentsOf(b.Kernel)
	return b, err
}

// firmwareLoads says whether a platform has a PC's firmware, which loads a
// compressed kernel; the others start the uncompressed one.
func firmwareLoads(platform string) bool { return platform == "qemu" || platform == "qemu1nic" }

// Describe implements System.
func (*Lupine) Describe(w Want) Boot {
	s := w.Settings
	b := Boot{
		Platform: w.Platform,
		Kernel:   cmp.Or(s.Kernel, Unbuilt),
		Initrd:   cmp.Or(s.Initrd, Unbuilt),
		Cmdline:  lupine.CommandLine(firmwareLoads(w.Platform)),
	}
	if s.Disk != "" {
		b.Initrd = s.Initrd
		b.Cmdline += " root=/dev/vda rw"
	}
	b.linuxApp(w.App)
	b.override(s)
	return b
}

// CommandLine implements System, as Linux does.
func (*Lupine) CommandLine(b Boot, net *Addresses) (string, error) { return linuxCommandLine(b, net) }
