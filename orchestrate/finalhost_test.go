// SPDX-License-Identifier: Apache-2.0

package orchestrate

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/results"
)

// TestMeasuredOn: what cannot be read any more at the end stays as it was read.
func TestMeasuredOn(t *testing.T) {
	first := results.Host{Kernel: "6.1", CPUModel: "a CPU", CPUs: 2, Hypervisor: "KVM", Accelerators: []string{"tcg", "kvm"},
		KVMParameters: map[string]string{"kvm.a": "N"}, Governor: "performance", SMT: "off", IsolatedCPUs: "1", Cmdline: "quiet",
		Rungs: map[string]results.Rung{"hook": {}}}
	now := results.Host{Accelerators: []string{"tcg"}, Rungs: map[string]results.Rung{"hook": {Rung: "tp_btf"}},
		Versions: map[string]string{"qemu": "8"}, Overhead: &results.Overhead{}, Settings: map[string]string{"smt": "off"}}
	want := first
	want.Rungs, want.Versions, want.Overhead, want.Settings = now.Rungs, now.Versions, now.Overhead, now.Settings
	if diff := cmp.Diff(want, measuredOn(first, now)); diff != "" {
		t.Error(diff)
	}
}
