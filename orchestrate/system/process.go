// SPDX-License-Identifier: Apache-2.0

package system

import (
	"context"
	"slices"

	"github.com/ukprobe/ukprobe/guests/linux"
)

// Process is the bare Linux process, of the same binaries as Linux. It takes no images
// of the catalogue.
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
	b := p.Describe(w)
	b.Package = linux.PackageOf(w.App)
	b.Version, b.RootFS, b.Argv, b.Env = root.Version, root.Dir, slices.Clone(root.Argv), root.Env
	if b.Scratch != nil {
		b.Env = append(slices.Clone(b.Env), fioJob(w, linux.ScratchFile).Word())
	}
	if b.Image, err = b.measure(ctx, PartProgram, root.Dir+root.Program); err != nil {
		return Boot{}, err
	}
	return b, nil
}

// Describe implements System.
func (*Process) Describe(w Want) Boot {
	b := Boot{Platform: w.Platform, RootFS: Unbuilt, Argv: []string{"<" + w.App + " of Debian's package>"}}
	b.linuxApp(w.App)
	b.override(w.Settings)
	b.scratch(w)
	return b
}

// Limit implements System.
func (*Process) Limit(Want) string { return "" }

// CommandLine implements System: a process finds its network set up.
func (*Process) CommandLine(Boot, *Addresses) (string, error) { return "", nil }
