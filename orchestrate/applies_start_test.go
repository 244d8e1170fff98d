// SPDX-License-Identifier: Apache-2.0

package orchestrate

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/pagecache"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/orchestrate/system"
	"github.com/ukprobe/ukprobe/results"
)

// TestStartApplies: what of the start does not go with a cell makes it unsupported.
func TestStartApplies(t *testing.T) {
	for _, tt := range []struct{ cell, reason string }{
		{"system: process, app: hello, platform: process, parallel: 4, cache: cold", ""},
		{"system: reference, app: http, platform: qemumicrovm, accel: kvm, parallel: 253, tap: keep", ""},
		{"system: reference, app: hello, platform: qemu, accel: kvm, parallel: 300", ""}, // needs no address
		{"system: process, app: hello, platform: process, parallel: 4, experiment: memory-use", "only experiment boot starts guests at once, and memory-use does not"},
		{"system: process, app: hello, platform: process, parallel: 254", "has 253 addresses"},
		{"system: docker, app: nginx, platform: docker, cache: warm", ""}, // the engine is asked later
		{"system: docker, app: nginx, platform: docker, parallel: 2", ""},
		{"system: process, app: hello, platform: process, tap: keep", "platform process has no tap"},
		{"system: reference, app: hello, platform: qemu, accel: kvm, tap: keep, experiment: image-size", ""},
		{"system: reference, app: hello, platform: qemu, accel: kvm, tap: keep", "platform qemu has no tap"},
	} {
		cells, err := parse(t, "version: 1\ncells:\n- {"+tt.cell+"}\n").Expand()
		if err != nil {
			t.Fatal(err)
		}
		want := ""
		if tt.reason != "" {
			want = results.CellUnsupported
		}
		got := resolve(cells[0], system.All(system.Env{}), platform.Host{KVM: true})
		if got.status != want || !strings.Contains(got.reason, tt.reason) {
			t.Errorf("%s: %q, %q; want %q, %q", tt.cell, got.status, got.reason, want, tt.reason)
		}
	}
}

// TestAddresses: taps that are kept between samples, of all cells together.
func TestAddresses(t *testing.T) {
	keep := func(n int) matrix.Cell {
		c := matrix.Cell{System: "reference", App: "http", Platform: "qemumicrovm", Experiment: matrix.Boot, Settings: matrix.DefaultSettings()}
		c.Parallel, c.Tap = n, matrix.TapKeep
		return c
	}
	if err := addressesFor([]matrix.Cell{keep(100), keep(50)}); err != nil {
		t.Error(err)
	}
	if err := addressesFor([]matrix.Cell{keep(100), keep(60)}); err == nil || !strings.Contains(err.Error(), "keep 160 addresses") {
		t.Errorf("160 and 100: %v", err)
	}
}

// TestCacheable: what is on a file system in memory cannot be cold.
func TestCacheable(t *testing.T) {
	const shm = "/dev/shm"
	if pagecache.Coolable(shm) == nil {
		t.Skip("no tmpfs at " + shm)
	}
	f, err := os.CreateTemp(shm, "ukprobe-test")
	if err != nil {
		t.Skip(err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	for cache, refused := range map[string]bool{matrix.CacheAsIs: false, matrix.CacheWarm: false, matrix.CacheCold: true} {
		cells, err := parse(t, fmt.Sprintf("version: 1\ncells:\n- {system: reference, app: hello, platform: qemu, accel: kvm, cache: %s}\n", cache)).Expand()
		if err != nil {
			t.Fatal(err)
		}
		c := resolve(cells[0], system.All(system.Env{}), platform.Host{KVM: true})
		c.image = c.system.Describe(c.want())
		c.image.Kernel = f.Name()
		c.cacheable(t.TempDir())
		if (c.status == results.CellUnsupported) != refused || refused && !strings.Contains(c.reason, "on a file system in memory, and nothing of it can be cold (tmpfs)") {
			t.Errorf("%s: %q, %q", cache, c.status, c.reason)
		}
	}
}
