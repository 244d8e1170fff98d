// SPDX-License-Identifier: Apache-2.0

package csp

import "testing"

// TestHash has the example of the specification, CSP 3, section 8.3.
func TestHash(t *testing.T) {
	const want = "'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng='"
	if got := Hash("alert('Hello, world.');"); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
