// SPDX-License-Identifier: Apache-2.0

package bzimage

import "testing"

func TestIs(t *testing.T) {
	head := make([]byte, HeadSize)
	head[0x1fe], head[0x1ff] = 0x55, 0xaa
	copy(head[0x202:], "HdrS")
	if !Is(head) || !Is(append(head, 1, 2, 3)) {
		t.Error("a bzImage is none")
	}
	for _, at := range []int{0x1fe, 0x1ff, 0x202, 0x205} {
		other := append([]byte(nil), head...)
		other[at]++
		if Is(other) {
			t.Errorf("it is one with another byte at 0x%x", at)
		}
	}
	for _, n := range []int{0, 0x1fe, 0x1ff, 0x202, HeadSize - 1} {
		if Is(head[:n]) {
			t.Errorf("it is one when cut to %d bytes", n)
		}
	}
}
