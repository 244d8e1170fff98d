// SPDX-License-Identifier: Apache-2.0

package overhead

import (
	"strings"
	"testing"
	"time"

	"github.com/ukprobe/ukprobe/guests/reference"
)

// FuzzParse: whatever stands in overhead.json, it is a figure or an error, and the
// figure can be shown.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "{}", "null", `{"format":"ukprobe-overhead","format_version":1,"version":"1","overhead":{"measured":"2026-11-23T06:00:00Z","rounds":8,
		"conditions":[{"name":"none again","cost":{"boot":{"median_ns":1,"ratio":1,"ratio_ci95":[0.9,1.1],"extra_ns":0,"extra_ns_ci95":[-1,1]}}},{"name":"boot"},{"name":"full","missing":"x"}]}}`,
		`{"format":"ukprobe-overhead","format_version":1,"overhead":{"reason":"x"}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := parse(data)
		if err != nil {
			return
		}
		if got, err := s.fits(s.Host, s.Version); err != nil || got.Rounds < 1 {
			t.Fatalf("its own figure does not fit: %v", err)
		}
		r := Report{Host: s.Host, Version: s.Version, Overhead: s.Overhead}
		if err := r.WriteText(&strings.Builder{}); err != nil {
			t.Fatal(err)
		}
	})
}

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
