// SPDX-License-Identifier: Apache-2.0

package solo5

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Types of Solo5's notes, whose owner is "Solo5".
const (
	noteABI      = 0x31494241 // "ABI1"
	noteManifest = 0x3154464d // "MFT1"
)

const (
	// noteHeader is the size of a note's header with the owner's name, padded.
	noteHeader = 12 + 8
	noteOwner  = "Solo5\x00"
	// maxDescriptor is the size of a note with a manifest of 64 entries
	// (MFT1_NOTE_MAX_SIZE), bytes. The other note is smaller.
	maxDescriptor = manifestPad + manifestHeader + maxEntries*entrySize
)

// notes are the contents of the two notes; nil for one that is not there.
type notes struct{ abi, manifest []byte }

// readNotes looks into each PT_NOTE segment for a note of Solo5's at its very
// beginning, where tenders look.
func readNotes(r io.ReaderAt) (notes, error) {
	e, err := elf.NewFile(r)
	if err != nil {
		return notes{}, fmt.Errorf("not a sound ELF file: %w", err)
	}
	if e.Class != elf.ELFCLASS64 || e.Machine != elf.EM_X86_64 {
		return notes{}, fmt.Errorf("built for %v (%v): a Solo5 image for x86-64 is needed", e.Machine, e.Class)
	}
	if e.Type != elf.ET_EXEC {
		return notes{}, fmt.Errorf("ELF type %v: a Solo5 image is an executable at fixed addresses (ET_EXEC)", e.Type)
	}
	var out notes
	for _, p := range e.Progs {
		if p.Type != elf.PT_NOTE {
			continue
		}
		kind, desc, err := readNote(p)
		if err != nil {
			return notes{}, err
		}
		switch { // of two, tenders take the first
		case kind == noteABI && out.abi == nil:
			out.abi = desc
		case kind == noteManifest && out.manifest == nil:
			out.manifest = desc
		}
	}
	return out, nil
}

// readNote reads the first note of a segment; kind is 0 if it is not one of Solo5's.
func readNote(p *elf.Prog) (kind uint32, desc []byte, err error) {
	if p.Filesz < noteHeader {
		return 0, nil, nil
	}
	var head [noteHeader]byte
	if _, err := p.ReadAt(head[:], 0); err != nil {
		return 0, nil, fmt.Errorf("damaged: a note lies beyond the end of the file: %w", err)
	}
	nameSize, descSize := binary.LittleEndian.Uint32(head[0:]), binary.LittleEndian.Uint32(head[4:])
	kind = binary.LittleEndian.Uint32(head[8:])
	if nameSize != uint32(len(noteOwner)) || string(head[12:12+len(noteOwner)]) != noteOwner {
		return 0, nil, nil
	}
	if kind != noteABI && kind != noteManifest {
		return 0, nil, nil
	}
	if descSize < 1 || descSize > maxDescriptor || uint64(descSize) > p.Filesz-noteHeader {
		return 0, nil, fmt.Errorf("damaged: a Solo5 note of %d bytes", descSize)
	}
	desc = make([]byte, descSize)
	if _, err := p.ReadAt(desc, noteHeader); err != nil {
		return 0, nil, fmt.Errorf("damaged: a note lies beyond the end of the file: %w", err)
	}
	return kind, desc, nil
}

// parseABI reads struct abi1_info: target, version, two reserved words.
func parseABI(desc []byte) (Target, uint32, error) {
	const size = 16
	if desc == nil {
		return 0, 0, errors.New("damaged: a Solo5 manifest, but no note about the target")
	}
	if len(desc) != size {
		return 0, 0, fmt.Errorf("damaged: the Solo5 note about the target has %d bytes, want %d", len(desc), size)
	}
	return Target(binary.LittleEndian.Uint32(desc)), binary.LittleEndian.Uint32(desc[4:]), nil
}
