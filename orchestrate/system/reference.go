// SPDX-License-Identifier: Apache-2.0

package system

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"

	"github.com/ukprobe/ukprobe/guests/reference"
)

// Reference is the known-answer guest that is built into ukprobe.
type Reference struct{ env Env }

// Name implements System.
func (*Reference) Name() string { return "reference" }

// Apps implements System.
func (r *Reference) Apps() []string { return r.env.apps(r.Name(), Hello, HTTP) }

// Platforms implements System.
func (*Reference) Platforms() []string {
	return []string{"qemu", "qemu1nic", "qemumicrovm", "firecracker"}
}

// Describe implements System.
func (r *Reference) Describe(w Want) Boot {
	s := w.Settings
	// Nothing is known of the FPU of a kernel put in its place.
	b := Boot{Platform: w.Platform, Kernel: cmp.Or(s.Kernel, Unbuilt), Initrd: s.Initrd, FPUFree: s.Kernel == "", Ready: reference.ReadyPattern}
	if w.App == HTTP {
		b.Ready, b.Cmdline = "", "port=80 end=hold"
		b.Service = &Service{Port: 80, Request: httpGet()}
	}
	if m, err := r.env.entry(r.Name(), w); err == nil {
		b.describe(m)
	}
	b.override(s)
	return b
}

// Prepare implements System. It writes the guest's image into the run's folder.
func (r *Reference) Prepare(ctx context.Context, w Want) (Boot, error) {
	b, err := r.env.located(ctx, r, w)
	if err != nil {
		return Boot{}, err
	}
	if b.Kernel == Unbuilt {
		b.Kernel = filepath.Join(r.env.WorkDir, "reference.elf")
		if err := writeOnce(b.Kernel, reference.Image()); err != nil {
			return Boot{}, fmt.Errorf("write the reference guest: %w", err)
		}
	}
	if err := b.examine(ctx); err != nil {
		return Boot{}, err
	}
	return b, nil
}

// Limit implements System.
func (*Reference) Limit(Want) string { return "" }

// CommandLine implements System.
func (*Reference) CommandLine(b Boot, net *Addresses) (string, error) {
	return b.commandLine(b.words(net, func(a Addresses) string {
		return "ip=" + a.Prefix.String() + " gw=" + a.Gateway.String()
	})), nil
}
