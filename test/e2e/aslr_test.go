// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/ukprobe/ukprobe/results"
	"github.com/ukprobe/ukprobe/test/dockerd"
)

// overBoots is a figure of a cell that is over all its boots.
func overBoots(t *testing.T, c results.Cell, name string) float64 {
	t.Helper()
	s, ok := c.Summary[name]
	if !ok {
		t.Fatalf("%s: no %s: %v", c.Name(), name, c.Summary)
	}
	return s.Median
}

// A guest that is always at the same addresses, and processes that are not: but for a
// program that is linked to its address. What the kernel does not see is unsupported.
func TestASLR(t *testing.T) {
	needRoot(t)
	needKVM(t)
	needNative(t, "a dozen boots")
	m := matrix(t, "system: reference, app: hello, platform: qemumicrovm, accel: kvm, experiment: aslr, samples: 3, warmup: 0",
		"system: reference, app: hello, platform: qemumicrovm, accel: tcg, experiment: aslr, samples: 3, warmup: 0",
		"system: process, app: [hello, nginx], platform: process, experiment: aslr, samples: 4, warmup: 0")
	f := newRun(t, "--matrix", m).start().wait(patience(60 * time.Second)).want(0).file()
	guest, tcg, hello, nginx := f.Cells[0], f.Cells[1], f.Cells[2], f.Cells[3]
	if boots, entropy := overBoots(t, guest, "boots"), overBoots(t, guest, "entropy_bits"); boots != 3 || entropy != 0 || overBoots(t, guest, "halt_addresses_distinct") != 1 {
		t.Errorf("the reference guest in %v boots: %v bits: %v", boots, entropy, guest.Summary)
	}
	if tcg.Status != results.CellUnsupported {
		t.Errorf("under TCG: %s %s", tcg.Status, tcg.Reason)
	}
	if d := overBoots(t, hello, "program_addresses_distinct"); d != 1 || overBoots(t, hello, "entropy_bits") != 0 {
		t.Errorf("a program that is linked to its address was at %v", d)
	}
	for _, part := range []string{"program", "mmap", "stack"} {
		if d, bits := overBoots(t, nginx, part+"_addresses_distinct"), overBoots(t, nginx, part+"_entropy_at_least_bits"); d != 4 || bits != 2 {
			t.Errorf("nginx' %s was at %v addresses, at least %v bits; want 4 and 2", part, d, bits)
		}
		if page := overBoots(t, nginx, part+"_aligned_bytes"); page < 4096 {
			t.Errorf("nginx' %s moves by %v bytes", part, page)
		}
	}
	if _, there := nginx.Summary["entropy_bits"]; there {
		t.Errorf("a bound is given as a result: %v", nginx.Summary["entropy_bits"])
	}
}

// Linux moves its kernel by multiples of 2 MiB (CONFIG_PHYSICAL_ALIGN), unless it is
// told not to.
func TestASLROfLinux(t *testing.T) {
	needRoot(t)
	needHostVM(t, "Linux under KVM")
	onlyOnLinux(t, "6.1.")
	cell := "system: linux, app: hello, platform: qemu, accel: kvm, experiment: aslr, warmup: 0, timeout: 5m"
	for args, randomised := range map[string]bool{"": true, "nokaslr": false} {
		// Of 512 places two boots may well have the same, three do not.
		asked, wanted := cell+", samples: 3", 3.0
		if args != "" {
			asked, wanted = cell+", samples: 2, args: "+args, 2
		}
		m := matrix(t, asked)
		c := newRun(t, "--matrix", m).start().wait(patience(10 * time.Minute)).want(0).file().Cells[0]
		// Not every boot has gone idle when it ends, but all have written to the console.
		if boots := overBoots(t, c, "boots"); boots != wanted {
			t.Errorf("args %q: seen in %v boots: %v", args, boots, c.Summary)
		}
		distinct := overBoots(t, c, "addresses_distinct")
		if (distinct > 1) != randomised {
			t.Errorf("args %q: at %v addresses: %v", args, distinct, c.Summary)
		}
		for _, s := range c.Samples {
			if at := s.Addresses["console"]; len(at) == 0 || !strings.HasPrefix(at[len(at)-1], "0xffffffff") {
				t.Errorf("args %q: the console is not written to from the upper half: %v", args, s.Addresses)
			}
		}
		if !randomised {
			if bits := overBoots(t, c, "entropy_bits"); bits != 0 {
				t.Errorf("nokaslr: %v bits", bits)
			}
			continue
		}
		const kernelAlign = 2 << 20
		if by := overBoots(t, c, "aligned_bytes"); by < kernelAlign {
			t.Errorf("moved by multiples of %v bytes, want 2 MiB", by)
		}
	}
}

// A container's program is looked at as a process's; and an image that only the engine
// has is saved by it, and is as large as that which it was loaded from.
func TestContainerLookedAt(t *testing.T) {
	needRoot(t)
	needNative(t, "an engine wants a root that it can write to")
	e := dockerd.Start(t, dockerd.Options{})
	m := matrix(t, "system: docker, app: nginx, platform: docker, memory_mib: 128, experiment: aslr, samples: 3, warmup: 0",
		"system: docker, app: nginx, platform: docker, experiment: image-size")
	f := dockerRun(t, e, "--matrix", m).start().wait(patience(2 * time.Minute)).want(0).file()
	for _, part := range []string{"program", "mmap", "stack"} {
		if d := overBoots(t, f.Cells[0], part+"_addresses_distinct"); d != 3 {
			t.Errorf("nginx' %s in three containers was at %v addresses", part, d)
		}
	}
	built := f.Cells[1].Samples[0]
	m = matrix(t, "system: docker, app: nginx, platform: docker, experiment: image-size, image: '"+imageOf(t, e, "ukprobe/nginx:")+"'")
	c := dockerRun(t, e, "--matrix", m).start().wait(patience(2 * time.Minute)).want(0).file().Cells[0]
	wantOK(t, c.Samples[0])
	for _, name := range []string{"unpacked_bytes", "app_bytes", "libraries_bytes", "rootfs_rest_bytes"} {
		if a, b := figure(t, built, name), figure(t, c.Samples[0], name); a != b {
			t.Errorf("%s: built %v, saved by the engine %v", name, a, b)
		}
	}
}
