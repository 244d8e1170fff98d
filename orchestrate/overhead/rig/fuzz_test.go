// SPDX-License-Identifier: Apache-2.0

package rig

import (
	"strings"
	"testing"
	"time"

	"github.com/ukprobe/ukprobe/guests/reference"
)

// FuzzReadLines: whatever a guest prints, it did its task or that is an error.
func FuzzReadLines(f *testing.F) {
	const counts = "ukprobe-reference: counts boot=pvh pio=1 cpuid=2 hlt=3 pages=0 frames-out=0 console=6 port-io=7 mmio=8\n"
	f.Add("ukprobe-reference: start tsc=1\n" + counts + "ukprobe-reference: ready tsc=9\n")
	f.Add("ukprobe-reference: ready tsc=9\nukprobe-reference: start tsc=10\n")
	f.Add("ukprobe-reference: start tsc=99999999999999999999999\n")
	f.Add("ukprobe-reference: counts pio=7\n")
	f.Fuzz(func(t *testing.T, text string) {
		times, err := readLines(strings.NewReader(text), reference.Cmdline{PIO: 1, CPUID: 2, HLT: 3}, time.Now())
		if err == nil && times.Ticks == 0 {
			t.Fatalf("%q is taken for a guest that was ready", text)
		}
	})
}
