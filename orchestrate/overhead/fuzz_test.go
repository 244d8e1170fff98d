// SPDX-License-Identifier: Apache-2.0

package overhead

import (
	"strings"
	"testing"
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
