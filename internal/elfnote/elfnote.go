// SPDX-License-Identifier: Apache-2.0

// Package elfnote reads the notes of ELF files, by which an image says who can load it. It
// knows their form and not what they mean. (Solo5's are in another form: package solo5.)
package elfnote

import (
	"bytes"
	"encoding/binary"
	"iter"
)

// MaxSegment is more than a segment of notes has, in bytes.
const MaxSegment = 1 << 20

// XenPHYS32Entry is the kind of the note of Xen's with the entry of PVH
// (XEN_ELFNOTE_PHYS32_ENTRY in Xen's include/public/elfnote.h).
const XenPHYS32Entry = 18

// Note is one note.
type Note struct {
	Name string // whose it is: Xen, GNU, …
	Kind uint32 // of that name's
	Desc []byte // its content
}

const headerSize = 12

// All yields the notes of a segment: name and content of each are padded to four bytes
// (gABI, Note Section). It ends at the first that is cut short.
func All(segment []byte, order binary.ByteOrder) iter.Seq[Note] {
	pad := func(n uint32) uint64 { return (uint64(n) + 3) &^ 3 }
	return func(yield func(Note) bool) {
		for raw := segment; len(raw) >= headerSize; {
			name, desc, kind := order.Uint32(raw), order.Uint32(raw[4:]), order.Uint32(raw[8:])
			raw = raw[headerSize:]
			size := pad(name) + pad(desc)
			if size > uint64(len(raw)) {
				return
			}
			if !yield(Note{string(bytes.TrimRight(raw[:name], "\x00")), kind, raw[pad(name) : pad(name)+uint64(desc)]}) {
				return
			}
			raw = raw[size:]
		}
	}
}
