// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"testing"

	"github.com/cilium/ebpf"
)

// TestSlotBytesIsWhatTheKernelTakes: the kernel's own account of all maps, of two
// probes that differ by their slots, and of a guest's table of flows.
func TestSlotBytesIsWhatTheKernelTakes(t *testing.T) {
	needRoot(t)
	usage := func(m *ebpf.Map) int {
		info, err := m.Info()
		if err != nil {
			t.Fatal(err)
		}
		n, ok := info.Memlock()
		if !ok {
			t.Skip("needs a kernel that tells what memory a map takes (Linux 4.10)")
		}
		return int(n)
	}
	for schema := MinSchema; schema <= MaxSchema; schema++ {
		const few, many = 17, 49 // both with the same ring buffer and share of ports
		sum, flows := map[int]int{}, 0
		for _, slots := range []int{few, many} {
			p, err := newProbe(Options{Slots: slots, Schema: &schema}, SVM)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range p.loader.maps {
				sum[slots] += usage(m)
			}
			if slots == few {
				table, err := p.openFlows(0, 0)
				if err != nil {
					t.Fatal(err)
				}
				flows = usage(table.m)
				if err := table.Close(); err != nil {
					t.Error(err)
				}
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		}
		each := (sum[many] - sum[few]) / (many - few)
		for network, kernel := range map[bool]int{false: each, true: each + flows} {
			got, err := SlotBytes(schema, network)
			if err != nil {
				t.Fatal(err)
			}
			// More by the ports, of which a probe with few slots has more for each.
			const ports = 256 * 128
			if got < kernel || got > kernel+kernel/50+ports {
				t.Errorf("schema %d, network %t: %d bytes, the kernel takes %d", schema, network, got, kernel)
			}
			t.Logf("schema %d, network %t: %d bytes, the kernel takes %d", schema, network, got, kernel)
		}
	}
}
