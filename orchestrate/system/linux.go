// SPDX-License-Identifier: Apache-2.0

package system

import (
	"cmp"
	"context"
	"regexp"
	"slices"

	"github.com/ukprobe/ukprobe/guests/linux"
)

// builder makes the images of Linux guests and processes.
func (e Env) builder() *linux.Builder { return &linux.Builder{Dir: e.CacheDir, Logf: e.Logf} }

// Linux is a microVM of Debian's cloud kernel and an initramfs with the app.
type Linux struct{ builder *linux.Builder }

// Name implements System.
func (*Linux) Name() string { return "linux" }

// Apps implements System.
func (*Linux) Apps() []string { return linux.Apps() }

// Platforms implements System.
func (*Linux) Platforms() []string { return []string{"qemu", "qemu1nic", "qemumicrovm", "firecracker"} }

// Limit implements System. The kernel's configuration is Debian's; what was seen is
// in docs/systems/linux.md.
func (*Linux) Limit(_, platform string) string {
	switch platform {
	case "qemumicrovm":
		return "Debian's cloud kernel takes no virtio-mmio devices from its command line (CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES is off), and with ACPI it hangs at some starts: use system lupine"
	case "firecracker":
		return "Debian's cloud kernel is compressed, and takes no virtio-mmio devices from its command line (CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES is off): use system lupine"
	}
	return ""
}

// Prepare implements System.
func (l *Linux) Prepare(ctx context.Context, w Want) (Boot, error) {
	kernel, initrd, version := w.Settings.Kernel, w.Settings.Initrd, ""
	if kernel == "" {
		k, err := l.builder.Kernel(ctx)
		if err != nil {
			return Boot{}, err
		}
		kernel = k.Path
	}
	if initrd == "" {
		i, err := l.builder.Initramfs(ctx, w.App)
		if err != nil {
			return Boot{}, err
		}
		initrd, version = i.Path, i.Version
	}
	img, err := imageOf(kernel)
	if err != nil {
		return Boot{}, err
	}
	if _, err := imageOf(initrd); err != nil {
		return Boot{}, err
	}
	segs, err := segmentsOf(kernel)
	if err != nil {
		return Boot{}, err
	}
	b := l.Describe(w)
	b.Image, b.Version, b.Kernel, b.Initrd, b.Segments = img, version, kernel, initrd, segs
	return b, nil
}

// Describe implements System.
func (*Linux) Describe(w Want) Boot {
	s := w.Settings
	b := Boot{Platform: w.Platform, Kernel: cmp.Or(s.Kernel, Unbuilt), Initrd: cmp.Or(s.Initrd, Unbuilt), Cmdline: linux.CommandLine()}
	b.linuxApp(w.App)
	b.override(s)
	return b
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
	if net == nil {
		return b.commandLine(""), nil
	}
	word, err := linux.IPWord(net.Prefix, net.Gateway)
	return b.commandLine(word), err
}

// AskingCommandLine implements Asker.
func (*Linux) AskingCommandLine(b Boot) string { return b.commandLine(linux.DHCPWord) }

// Process is the bare Linux process, of the same binaries as Linux.
type Process struct{ builder *linux.Builder }

// Name implements System.
func (*Process) Name() string { return "process" }

// Apps implements System.
func (*Process) Apps() []string { return linux.Apps() }

// Platforms implements System.
func (*Process) Platforms() []string { return []string{"process"} }

// Prepare implements System.
func (p *Process) Prepare(ctx context.Context, w Want) (Boot, error) {
	root, err := p.builder.RootFS(ctx, w.App)
	if err != nil {
		return Boot{}, err
	}
	img, err := imageOf(root.Dir + root.Program)
	if err != nil {
		return Boot{}, err
	}
	b := p.Describe(w)
	b.Image, b.Version, b.RootFS, b.Argv, b.Env = img, root.Version, root.Dir, slices.Clone(root.Argv), root.Env
	return b, nil
}

// Describe implements System.
func (*Process) Describe(w Want) Boot {
	b := Boot{Platform: w.Platform, RootFS: Unbuilt, Argv: []string{"<" + w.App + " of Debian's package>"}}
	b.linuxApp(w.App)
	b.override(w.Settings)
	return b
}

// Limit implements System.
func (*Process) Limit(_, _ string) string { return "" }

// CommandLine implements System: a process finds its network set up.
func (*Process) CommandLine(Boot, *Addresses) (string, error) { return "", nil }
