// SPDX-License-Identifier: Apache-2.0

package system

import (
	"cmp"
	"context"
	"regexp"

	"github.com/ukprobe/ukprobe/guests/linux"
)

// builder makes the images of Linux guests and processes.
func (e Env) builder() *linux.Builder { return &linux.Builder{Dir: e.CacheDir, Logf: e.Logf} }

// Linux is a microVM of Debian's cloud kernel and an initramfs with the app, or of
// kernel, initramfs and disk that somebody names.
type Linux struct {
	env     Env
	builder *linux.Builder
}

// Name implements System.
func (*Linux) Name() string { return "linux" }

// Apps implements System.
func (l *Linux) Apps() []string { return l.env.apps(l.Name(), linux.Apps()...) }

// Platforms implements System.
func (*Linux) Platforms() []string {
	return []string{qemuPlatform, qemu1NIC, qemuMicroVM, firecrackerVMM}
}

// Limit implements System. The limits are the own kernel's, whose configuration is
// Debian's; what was seen is in docs/systems/linux.md.
func (l *Linux) Limit(w Want) string {
	b := l.Describe(w)
	if b.Kernel != Unbuilt {
		return ""
	}
	switch {
	case w.Platform == qemuMicroVM:
		return "Debian's cloud kernel takes no virtio-mmio devices from its command line (CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES is off), and with ACPI it hangs at some starts: use system lupine"
	case w.Platform == firecrackerVMM:
		return "Debian's cloud kernel is compressed, and takes no virtio-mmio devices from its command line (CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES is off): use system lupine"
	case len(b.Disks) > 0 && b.Initrd == "":
		return "Debian's cloud kernel has its virtio drivers as modules (CONFIG_VIRTIO_BLK=m), and finds no root on disk " + b.Disks[0].Path + ": use system lupine, or name an initramfs that loads them (initrd:) or a kernel that has them built in (kernel:)"
	}
	return ""
}

// Prepare implements System.
func (l *Linux) Prepare(ctx context.Context, w Want) (Boot, error) {
	kernel := func(Boot) (string, error) {
		k, err := l.builder.Kernel(ctx)
		return k.Path, err
	}
	return l.env.prepareLinux(ctx, l, w, kernel, l.builder.Initramfs)
}

// prepareLinux prepares a microVM of Linux. What an entry or the cell does not name is
// built: a kernel for what else is booted, and an initramfs for the app.
func (e Env) prepareLinux(ctx context.Context, s System, w Want, kernel func(Boot) (path string, err error),
	initramfs func(ctx context.Context, app string) (linux.Initramfs, error)) (Boot, error) {
	b, err := e.located(ctx, s, w)
	if err != nil {
		return Boot{}, err
	}
	b.orOwn()
	if b.Kernel == Unbuilt {
		if b.Kernel, err = kernel(b); err != nil {
			return Boot{}, err
		}
	}
	if b.Initrd == Unbuilt {
		i, err := initramfs(ctx, w.App)
		if err != nil {
			return Boot{}, err
		}
		b.Initrd = i.Path
		if b.Version == "" {
			b.Version, b.Package = i.Version, linux.PackageOf(w.App)
		}
	}
	if err := b.examine(ctx); err != nil {
		return Boot{}, err
	}
	return b, nil
}

// Describe implements System.
func (l *Linux) Describe(w Want) Boot {
	return l.env.describeLinux(l.Name(), w, linux.CommandLine())
}

// describeLinux describes a microVM of Linux. What an entry or the cell does not name
// is ukprobe's own.
func (e Env) describeLinux(name string, w Want, cmdline string) Boot {
	b := Boot{Platform: w.Platform, Cmdline: cmdline}
	b.linuxApp(w.App)
	if m, err := e.entry(name, w); err == nil {
		b.describe(m)
	}
	b.override(w.Settings)
	b.orOwn()
	if len(b.Disks) > 0 && (b.Entry == nil || b.Entry.Cmdline == "") {
		b.Cmdline += " root=" + virtioDisk(0) + " " + map[bool]string{true: "ro", false: "rw"}[b.Disks[0].ReadOnly]
	}
	if b.scratch(w); b.Scratch != nil {
		b.Cmdline += " " + fioJob(w, virtioDisk(len(b.Disks))).Word()
	}
	return b
}

// orOwn puts what ukprobe builds where no file is named. A disk has the root, and needs
// no initramfs.
func (b *Boot) orOwn() {
	b.Kernel = cmp.Or(b.Kernel, Unbuilt)
	if len(b.Disks) == 0 {
		b.Initrd = cmp.Or(b.Initrd, Unbuilt)
	}
}

// linuxApp says when an app of guests/linux is ready, the same for a microVM and
// a process.
func (b *Boot) linuxApp(app string) {
	if line := linux.ReadyLine(app); line != "" {
		b.Ready = "^" + regexp.QuoteMeta(line)
	}
	if port := linux.Port(app); port != 0 {
		b.Service = &Service{Port: port, Request: linux.Request(app)}
	}
}

// CommandLine implements System, with the address in the syntax of the kernel's
// nfsroot.rst.
func (*Linux) CommandLine(b Boot, net *Addresses) (string, error) { return linuxCommandLine(b, net) }

func linuxCommandLine(b Boot, net *Addresses) (string, error) {
	if net == nil || b.Entry != nil && b.Entry.Network != "" {
		return b.commandLine(b.words(net, nil)), nil
	}
	word, err := linux.IPWord(net.Prefix, net.Gateway)
	if err != nil {
		return "", err
	}
	return b.commandLine(word), nil
}

// AskingCommandLine implements Asker.
func (*Linux) AskingCommandLine(b Boot) string { return b.commandLine(linux.DHCPWord) }
