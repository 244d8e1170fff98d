// SPDX-License-Identifier: Apache-2.0

package cpu

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzParseList: whatever a file of /sys says, the CPUs are sorted, within the
// bound and each there once, and writing them gives the same list again.
func FuzzParseList(f *testing.F) {
	for _, seed := range []string{"", "0", "0-3,8,10-11\n", "3,1", "1-1,1", "5-3", "-1", "0-1023", "1024", "0-99999999999999999999", "1,,2", "a"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		cpus, err := ParseList(text)
		if err != nil {
			return
		}
		for i, c := range cpus {
			if c < 0 || c >= maxCPU || i > 0 && c <= cpus[i-1] {
				t.Fatalf("%q gives %v", text, cpus)
			}
		}
		again, err := ParseList(FormatList(cpus))
		if err != nil || !slices.Equal(again, cpus) {
			t.Fatalf("%v again (-want +got):\n%s", err, cmp.Diff(cpus, again))
		}
	})
}
