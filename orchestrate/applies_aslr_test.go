// SPDX-License-Identifier: Apache-2.0

package orchestrate

import (
	"errors"
	"strings"
	"testing"

	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/orchestrate/system"
	"github.com/ukprobe/ukprobe/probe"
	"github.com/ukprobe/ukprobe/results"
)

// TestASLRApplies: where the kernel sees where the guest is, or there is no guest.
func TestASLRApplies(t *testing.T) {
	kvm := platform.Host{KVM: true, Hardware: true}
	for _, tt := range []struct {
		cell, accel string
		status      string
		reason      string
	}{
		{"reference/hello/qemumicrovm", matrix.AccelKVM, "", ""},
		{"reference/hello/qemumicrovm", matrix.AccelTCG, results.CellUnsupported, "under TCG the kernel does not see where the guest is"},
		{"process/nginx/process", matrix.AccelAuto, "", ""},
		{"docker/nginx/docker", matrix.AccelAuto, "", ""},
	} {
		n := strings.Split(tt.cell, "/")
		s := matrix.DefaultSettings()
		s.Accel = tt.accel
		c := resolve(matrix.Cell{System: n[0], App: n[1], Platform: n[2], Experiment: matrix.ASLR, Settings: s}, system.All(system.Env{}), kvm)
		if c.status != tt.status || !strings.Contains(c.reason, tt.reason) {
			t.Errorf("%s under %s: %q: %s; want %q: %s", tt.cell, tt.accel, c.status, c.reason, tt.status, tt.reason)
		}
	}
}

// TestAddressable: without what sees addresses a guest's cell fails with the reason, a
// process's goes on.
func TestAddressable(t *testing.T) {
	refused := errors.New("no tracefs")
	for _, tt := range []struct {
		name   string
		accel  string
		from   addresses
		status string
	}{
		{"seen", platform.KVM, addresses{seer: &probe.Addresses{}}, ""},
		{"not seen", platform.KVM, addresses{err: refused}, results.CellFailed},
		{"a process", platform.None, addresses{err: refused}, ""},
	} {
		c := &cell{Cell: matrix.Cell{Experiment: matrix.ASLR}, accel: tt.accel}
		c.addressable(&tt.from)
		if c.status != tt.status || (tt.status != "") != strings.Contains(c.reason, "no tracefs") || (c.seer != nil) != (tt.from.seer != nil) {
			t.Errorf("%s: %q: %s, %v", tt.name, c.status, c.reason, c.seer)
		}
	}
}

// TestImageSizeNeedsNothing: neither an accelerator nor a VMM nor an engine.
func TestImageSizeNeedsNothing(t *testing.T) {
	t.Setenv("DOCKER_HOST", "unix:///nonexistent")
	t.Setenv(platform.EnvQEMU, "/nonexistent/qemu")
	for _, name := range []string{"reference/hello/qemu", "docker/hello/docker"} {
		n := strings.Split(name, "/")
		s := matrix.DefaultSettings()
		s.Accel = matrix.AccelKVM
		c := resolve(matrix.Cell{System: n[0], App: n[1], Platform: n[2], Experiment: matrix.ImageSize, Settings: s}, system.All(system.Env{}), platform.Host{})
		if c.status != "" || c.accel != platform.None {
			t.Errorf("%s: %q: %s, accelerator %s", name, c.status, c.reason, c.accel)
		}
		if p := c.planned(); p.Status != "" || p.Argv != nil {
			t.Errorf("%s is planned as %+v", name, p)
		}
		if n[0] == referenceSystem {
			if c.prepare(t.Context(), platform.Host{}); c.status != "" || c.image.Key() == "" {
				t.Errorf("%s: %q: %s, key %q", name, c.status, c.reason, c.image.Key())
			}
		}
	}
}
