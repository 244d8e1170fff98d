// SPDX-License-Identifier: Apache-2.0

package orchestrate

import (
	"errors"
	"strings"
	"testing"

	"github.com/ukprobe/ukprobe/orchestrate/experiment"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/orchestrate/system"
	"github.com/ukprobe/ukprobe/results"
)

// TestASLRApplies: where the kernel sees where the guest is, or there is no guest.
func TestASLRApplies(t *testing.T) {
	kvm := platform.Host{KVM: true, Hardware: true}
	for _, tt := range []struct {
		cell, accel string
		status      string
		reason      string
		probes      string
	}{
		{"reference/hello/qemumicrovm", matrix.AccelKVM, "", "", matrix.ProbesBoot},
		{"reference/hello/qemumicrovm", matrix.AccelKVM, results.CellUnsupported, "leave --probes none out", matrix.ProbesNone},
		{"process/nginx/process", matrix.AccelAuto, "", "", matrix.ProbesNone},
		{"reference/hello/qemumicrovm", matrix.AccelTCG, results.CellUnsupported, "under TCG the kernel does not see where the guest is", matrix.ProbesBoot},
		{"process/nginx/process", matrix.AccelAuto, "", "", matrix.ProbesBoot},
		{"docker/nginx/docker", matrix.AccelAuto, "", "", matrix.ProbesBoot},
	} {
		n := strings.Split(tt.cell, "/")
		s := matrix.DefaultSettings()
		s.Accel, s.Probes = tt.accel, tt.probes
		c := resolve(matrix.Cell{System: n[0], App: n[1], Platform: n[2], Experiment: matrix.ASLR, Settings: s}, system.All(system.Env{}), kvm)
		if c.status != tt.status || !strings.Contains(c.reason, tt.reason) {
			t.Errorf("%s under %s: %q: %s; want %q: %s", tt.cell, tt.accel, c.status, c.reason, tt.status, tt.reason)
		}
	}
}

// aSeer is attached and detached.
type aSeer struct {
	experiment.Addresser
	closed *int
}

func (s aSeer) Close() error { *s.closed++; return nil }

// TestAddressable: where guests' addresses cannot be seen their cells fail with the reason,
// a process's goes on. It is tried once, and nothing stays attached.
func TestAddressable(t *testing.T) {
	for _, tt := range []struct {
		name   string
		accel  string
		err    error
		status string
		tried  int
	}{
		{"seen", platform.KVM, nil, "", 1},
		{"not seen", platform.KVM, errors.New("no tracefs"), results.CellFailed, 1},
		{"a process", platform.None, errors.New("no tracefs"), "", 0},
	} {
		opened, closed := 0, 0
		a := addresses{open: func() (experiment.Addresser, error) { opened++; return aSeer{closed: &closed}, tt.err }}
		for range 2 {
			c := &cell{Cell: matrix.Cell{Experiment: matrix.ASLR}, accel: tt.accel}
			c.addressable(&a)
			if c.status != tt.status || (tt.status != "") != strings.Contains(c.reason, "no tracefs") {
				t.Errorf("%s: %q: %s", tt.name, c.status, c.reason)
			}
		}
		if opened != tt.tried || tt.err == nil && closed != opened {
			t.Errorf("%s: tried %d times, detached %d times", tt.name, opened, closed)
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
