// SPDX-License-Identifier: Apache-2.0

package orchestrate

import (
	"testing"

	"github.com/ukprobe/ukprobe/orchestrate/matrix"
)

// TestWorkRoot: where there is nothing, no device opens either.
func TestWorkRoot(t *testing.T) {
	const none, other = "/nosuch/tmp", "/nosuch/large"
	devices := t.TempDir()
	if noRoots(devices) {
		t.Skip("needs a folder for temporary files that takes devices and programs")
	}
	for _, tt := range []struct{ asked, temp, large, want string }{
		{"", devices, none, devices},
		{"", none, devices, devices},
		{none, none, devices, none},
		{"", none, other, none},
	} {
		if got := workRoot(tt.asked, tt.temp, tt.large); got != tt.want {
			t.Errorf("%+v: %s", tt, got)
		}
	}
}

func TestCountsMemory(t *testing.T) {
	for c, want := range map[[2]string]bool{
		{matrix.MemoryUse, "qemu-microvm"}: true, {matrix.Density, "process"}: true, {matrix.MemoryMin, "docker"}: true,
		{matrix.MemoryMin, "qemu-microvm"}: false, {matrix.Boot, "process"}: false,
	} {
		if got := countsMemory(matrix.Cell{Experiment: c[0], Platform: c[1]}); got != want {
			t.Errorf("%s: %v, want %v", c, got, want)
		}
	}
}
