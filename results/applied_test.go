// SPDX-License-Identifier: Apache-2.0

package results

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFigureSettings(t *testing.T) {
	asked := &Settings{Samples: 10, Warmup: 1, TimeoutNs: 5, MemoryMiB: 256, VCPUs: 1, Address: "static", Port: 80, Parallel: 2,
		Load: &Workload{Threads: 4}}
	of := func(platform, experiment string) map[string]string {
		return (&Cell{Platform: platform, Experiment: experiment, Settings: asked}).FigureSettings()
	}
	guest := of("qemu1nic", "throughput")
	if guest["memory_mib"] != "256" || guest["vcpus"] != "1" || guest["address"] != `"static"` || guest["load.threads"] != "4" || guest["port"] != "80" {
		t.Errorf("a guest: %v", guest)
	}
	for _, name := range []string{"samples", "warmup", "timeout_ns", "parallel"} {
		if v, has := guest[name]; has {
			t.Errorf("%s=%s is no setting that figures of one cell depend on", name, v)
		}
	}
	lacks := func(has map[string]string, names ...string) {
		t.Helper()
		for _, name := range names {
			if v, is := has[name]; is {
				t.Errorf("%s=%s does not apply", name, v)
			}
		}
	}
	lacks(of("process", "boot"), "memory_mib", "vcpus", "address")
	lacks(of("process", "memory-min"), "vcpus")
	lacks(of("docker", "boot"), "address")
	lacks(of("qemu", "boot"), "address")
	if of("process", "memory-min")["memory_mib"] != "256" || of("docker", "boot")["memory_mib"] != "256" {
		t.Error("a limit of memory applies")
	}
	if diff := cmp.Diff(map[string]string{}, of("qemu", "image-size")); diff != "" {
		t.Error(diff)
	}
	if (&Cell{}).FigureSettings() != nil {
		t.Error("no settings")
	}
}
