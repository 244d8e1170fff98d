// SPDX-License-Identifier: Apache-2.0

package elfnote

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// segment writes notes as a linker does.
func segment(order binary.AppendByteOrder, notes ...Note) []byte {
	var b []byte
	pad := func() {
		for len(b)%4 != 0 {
			b = append(b, 0)
		}
	}
	for _, n := range notes {
		for _, word := range []uint32{uint32(len(n.Name) + 1), uint32(len(n.Desc)), n.Kind} {
			b = order.AppendUint32(b, word)
		}
		b = append(append(b, n.Name...), 0)
		pad()
		b = append(b, n.Desc...)
		pad()
	}
	return b
}

func TestAll(t *testing.T) {
	notes := []Note{{"Xen", XenPHYS32Entry, []byte{0, 0, 16, 0}}, {"GNU", 1, []byte{1, 2, 3, 4, 5}}, {"HERMIT", 0x5a00, []byte{}}}
	for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
		b := segment(order, notes...)
		if d := cmp.Diff(notes, slices.Collect(All(b, order.(binary.ByteOrder)))); d != "" {
			t.Errorf("%v (-want +got):\n%s", order, d)
		}
		// The last one is cut short.
		if d := cmp.Diff(notes[:2], slices.Collect(All(b[:len(b)-1], order.(binary.ByteOrder)))); d != "" {
			t.Errorf("%v, cut (-want +got):\n%s", order, d)
		}
	}
}

func FuzzAll(f *testing.F) {
	f.Add(segment(binary.LittleEndian, Note{"Xen", XenPHYS32Entry, []byte{0, 0, 16, 0}}))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		size := 0
		for n := range All(b, binary.LittleEndian) {
			if size += headerSize + len(n.Desc); size > len(b) {
				t.Fatalf("notes of %d bytes in %d", size, len(b))
			}
		}
	})
}
