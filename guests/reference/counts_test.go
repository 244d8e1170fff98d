// SPDX-License-Identifier: Apache-2.0

package reference

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseCounts(t *testing.T) {
	const line = "ukprobe-reference: counts boot=pvh pio=1 cpuid=2 hlt=3 pages=4 frames-out=5 console=6 port-io=7 mmio=8"
	want := Counts{Boot: "pvh", PIO: 1, CPUID: 2, HLT: 3, Pages: 4, FramesOut: 5, Console: 6, PortIO: 7, MMIO: 8, CPUs: 1}
	got, err := ParseCounts(line)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	want.CPUs = 4
	if got, err = ParseCounts(line + " cpus=4"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{
		"", "ukprobe-reference: ready tsc=1", line[:len(line)-7], line + " pio=1", line + " new=1",
		line + " boot=pvh", line[:len(line)-1] + "x", line + " cpus=1", line + " cpus=9", line + " cpus=2 cpus=2",
	} {
		if got, err := ParseCounts(bad); err == nil {
			t.Errorf("ParseCounts(%q) = %+v, want an error", bad, got)
		}
	}
}
