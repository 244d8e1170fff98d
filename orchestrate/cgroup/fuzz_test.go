// SPDX-License-Identifier: Apache-2.0

package cgroup

import "testing"

// FuzzParsePids: one number per word, or an error.
func FuzzParsePids(f *testing.F) {
	for _, seed := range []string{"", "1\n2\n", "0\n", "x", "99999999999999999999", "-1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if got, err := parsePids(text); err != nil && got != nil {
			t.Fatalf("%v and %v", got, err)
		}
	})
}
