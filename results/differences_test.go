// SPDX-License-Identifier: Apache-2.0

package results

import "testing"

// TestHostChanges: what a run has set and found out beside figures is no other host.
func TestHostChanges(t *testing.T) {
	a := Host{Kernel: "6.1", Accelerators: []string{"tcg", "kvm"}, Versions: map[string]string{"qemu": "9"}, Rungs: map[string]Rung{"kvm_exit": {Rung: "tp_btf"}}}
	b := Host{Kernel: "6.1", Accelerators: []string{"kvm", "tcg"}, Versions: map[string]string{"qemu": "10"}}
	if got := HostChanges(a, b); len(got) != 0 {
		t.Errorf("one host differs: %v", got)
	}
	b.Kernel = "6.2"
	if got := HostChanges(a, b); len(got) != 1 || got[0].String() != `kernel "6.1" and "6.2"` {
		t.Errorf("%v", got)
	}
	if a.Accelerators[0] != "tcg" {
		t.Error("the host itself was changed")
	}
}
