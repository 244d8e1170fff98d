// SPDX-License-Identifier: Apache-2.0

package system

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ukprobe/ukprobe/guests/reference"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
)

// Reference is the known-answer guest that is built into ukprobe.
type Reference struct{ workDir string }

// Name implements System.
func (*Reference) Name() string { return "reference" }

// Apps implements System.
func (*Reference) Apps() []string { return []string{Hello, HTTP} }

// Platforms implements System.
func (*Reference) Platforms() []string { return []string{"qemu", "qemu1nic", "qemumicrovm"} }

// Describe implements System.
func (*Reference) Describe(app string, s matrix.Settings) Boot {
	// Nothing is known of the FPU of a kernel put in its place.
	b := Boot{Kernel: s.Kernel, Initrd: s.Initrd, FPUFree: s.Kernel == "", Ready: reference.ReadyPattern}
	if app == HTTP {
		b.Ready, b.Cmdline = "", "port=80 end=hold"
		b.Service = &Service{Port: 80, Request: httpGet()}
	}
	b.override(s)
	return b
}

// Prepare writes the guest's image into the run's folder.
func (r *Reference) Prepare(_ context.Context, app string, s matrix.Settings) (Boot, error) {
	path := s.Kernel
	if path == "" {
		path = filepath.Join(r.workDir, "reference.elf")
		if err := os.WriteFile(path, reference.Image(), 0o644); err != nil {
			return Boot{}, fmt.Errorf("write the reference guest: %w", err)
		}
	}
	img, err := imageOf(path)
	if err != nil {
		return Boot{}, err
	}
	segs, err := segmentsOf(path)
	if err != nil {
		return Boot{}, err
	}
	// Nothing is known of a kernel that was put in its place.
	b := r.Describe(app, s)
	b.Image, b.Kernel, b.Segments = img, path, segs
	return b, nil
}

// NetworkArgs implements System.
func (*Reference) NetworkArgs(a Addresses) string {
	return strings.Join([]string{"ip=" + a.Prefix.String(), "gw=" + a.Gateway.String()}, " ")
}
