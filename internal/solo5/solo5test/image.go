// SPDX-License-Identifier: Apache-2.0

// Package solo5test makes, for tests, files with the notes of a Solo5 image and
// nothing else: enough for all that reads notes, and nothing that could run.
//
// It lays out what include/elf_abi.h and include/mft_abi.h of Solo5 declare, by
// itself, so that package solo5 is tested against a second reading of them.
package solo5test

import (
	"bytes"
	"encoding/binary"
	"slices"
)

var le = binary.LittleEndian

// Note is a segment with one note.
type Note struct {
	Type  uint32
	Owner string // with its final NUL
	Desc  []byte
}

// The owner and the types of Solo5's notes.
const (
	Owner        = "Solo5\x00"
	TypeABI      = 0x31494241
	TypeManifest = 0x3154464d
)

// ABI is the note about the target.
func ABI(target, version uint32) Note {
	var b []byte
	for _, v := range []uint32{target, version, 0, 0} {
		b = le.AppendUint32(b, v)
	}
	return Note{TypeABI, Owner, b}
}

// Entry is one entry of a manifest.
func Entry(name string, kind uint32) []byte {
	b := make([]byte, 104)
	copy(b, name)
	le.PutUint32(b[68:], kind)
	return b
}

// First is the entry that begins each manifest.
func First() []byte { return Entry("", 1<<30) }

// Manifest is the note with the devices.
func Manifest(entries ...[]byte) Note {
	b := make([]byte, 4) // to an address that is a multiple of 8
	b = le.AppendUint32(b, 1)
	b = le.AppendUint32(b, uint32(len(entries)))
	return Note{TypeManifest, Owner, slices.Concat(b, bytes.Join(entries, nil))}
}

func (n Note) bytes() []byte {
	b := le.AppendUint32(nil, uint32(len(n.Owner)))
	b = le.AppendUint32(b, uint32(len(n.Desc)))
	b = le.AppendUint32(b, n.Type)
	b = append(b, n.Owner...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return append(b, n.Desc...)
}

// Sizes of an ELF file's headers, bytes.
const (
	elfHeader     = 64
	programHeader = 56
)

// File is an x86-64 executable with one executable page at 1 MiB and a segment for
// each note.
func File(notes ...Note) []byte {
	count := len(notes) + 1
	b := append([]byte("\x7fELF\x02\x01\x01"), make([]byte, 9)...)
	b = le.AppendUint16(b, 2)  // ET_EXEC
	b = le.AppendUint16(b, 62) // EM_X86_64
	b = le.AppendUint32(b, 1)
	b = le.AppendUint64(b, 0x100020)  // entry
	b = le.AppendUint64(b, elfHeader) // program headers
	b = le.AppendUint64(b, 0)         // no section headers
	b = le.AppendUint32(b, 0)
	for _, v := range []uint16{elfHeader, programHeader, uint16(count), 64, 0, 0} {
		b = le.AppendUint16(b, v)
	}
	at := uint64(elfHeader + programHeader*count)
	b = segment(b, 1, 5, 0, 0x100000, elfHeader, 0x1000) // PT_LOAD, readable and executable
	var data []byte
	for _, n := range notes {
		content := n.bytes()
		b = segment(b, 4, 4, at+uint64(len(data)), 0, uint64(len(content)), uint64(len(content))) // PT_NOTE
		data = append(data, content...)
	}
	return append(b, data...)
}

func segment(b []byte, kind, flags uint32, offset, address, fileSize, memSize uint64) []byte {
	b = le.AppendUint32(b, kind)
	b = le.AppendUint32(b, flags)
	for _, v := range []uint64{offset, address, address, fileSize, memSize, 4} {
		b = le.AppendUint64(b, v)
	}
	return b
}
