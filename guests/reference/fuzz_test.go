// SPDX-License-Identifier: Apache-2.0

package reference

import (
	"strings"
	"testing"
)

// FuzzParseCounts: a line is whole or an error, and what is read stood in it.
func FuzzParseCounts(f *testing.F) {
	const whole = "ukprobe-reference: counts boot=pvh pio=1 cpuid=2 hlt=3 pages=4 frames-out=5 console=6 port-io=7 mmio=8"
	for _, seed := range []string{"", whole, whole + " cpus=4", whole + " pio=1", strings.Replace(whole, "=8", "=-8", 1), strings.Replace(whole, "boot=pvh ", "", 1),
		"ukprobe-reference: counts ", whole + "9999999999999999999999"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		c, err := ParseCounts(line)
		if err != nil {
			if c != (Counts{}) {
				t.Fatalf("%+v and %v", c, err)
			}
			return
		}
		if c.CPUs < 1 || c.CPUs > MaxCPUs {
			t.Fatalf("%q: %d CPUs, which no guest has", line, c.CPUs)
		}
		if c.Boot == "" || !strings.Contains(line, "boot="+c.Boot) {
			t.Fatalf("%q: boot %q", line, c.Boot)
		}
	})
}
