// SPDX-License-Identifier: Apache-2.0

package orchestrate

import (
	"strings"
	"testing"

	"github.com/ukprobe/ukprobe/orchestrate/cgroup"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/orchestrate/system"
	"github.com/ukprobe/ukprobe/results"
)

// TestMemoryMinApplies: VMs always, what is no VM where memory can be limited.
func TestMemoryMinApplies(t *testing.T) {
	h, err := cgroup.Find()
	if err == nil {
		err = h.Memory()
	}
	for name, want := range map[string]error{"reference/hello/qemumicrovm": nil, "process/hello/process": err} {
		n := strings.Split(name, "/")
		c := resolve(matrix.Cell{System: n[0], App: n[1], Platform: n[2], Experiment: matrix.MemoryMin, Settings: matrix.DefaultSettings()}, system.All(system.Env{}), platform.Host{})
		if (c.status == results.CellUnsupported) != (want != nil) || want != nil && !strings.Contains(c.reason, want.Error()) {
			t.Errorf("%s: %q: %s; want %v", name, c.status, c.reason, want)
		}
	}
}

// TestMemoryUseApplies: what has ended when it is ready has nothing to look at, unless a
// VM is around it.
func TestMemoryUseApplies(t *testing.T) {
	for name, want := range map[string]string{"process/sqlite/process": results.CellUnsupported, "process/redis/process": "", "linux/sqlite/qemu": ""} {
		n := strings.Split(name, "/")
		c := resolve(matrix.Cell{System: n[0], App: n[1], Platform: n[2], Experiment: matrix.MemoryUse, Settings: matrix.DefaultSettings()}, system.All(system.Env{}), platform.Host{})
		if c.status != want {
			t.Errorf("%s: %q: %s", name, c.status, c.reason)
		}
	}
}

// TestSlots: as many guests can be watched as run at the same time.
func TestSlots(t *testing.T) {
	plain := matrix.Cell{Experiment: matrix.Boot, Settings: matrix.DefaultSettings()}
	parallel, dense := plain, plain
	parallel.Parallel, dense.Experiment, dense.Density.AtMost = 8, matrix.Density, 100
	for want, cells := range map[int][]matrix.Cell{2: {plain}, 9: {plain, parallel}, 101: {parallel, dense}} {
		if got := slots(cells); got != want {
			t.Errorf("%d slots for %d cells, want %d", got, len(cells), want)
		}
	}
}
