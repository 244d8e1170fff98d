// SPDX-License-Identifier: Apache-2.0

package methodpage

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestExpand(t *testing.T) {
	for name, want := range map[string][]string{
		"load_ns":               {"load_ns"},
		"latency_{p50,max}_ns":  {"latency_p50_ns", "latency_max_ns"},
		"{read, write}_{a,b}_x": {"read_a_x", "read_b_x", "write_a_x", "write_b_x"},
	} {
		if d := cmp.Diff(want, expand(name)); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

func TestValues(t *testing.T) {
	got := Values(t, "memory-min")
	want := map[string]bool{"memory_min_bytes": true, "memory_failing_bytes": true, "boots": true, "boot_limit_ns": true, "load_limit_ns": true}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("of memory-min (-want +got):\n%s", d)
	}
}
