// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ukprobe/ukprobe/internal/elfnote"
)

// Segment is a load segment of an ELF file.
type Segment struct {
	Virtual  Hex    `json:"virtual"`
	Physical Hex    `json:"physical"`
	FileSize uint64 `json:"file_size"` // bytes
	Memory   uint64 `json:"memory_size"`
	Flags    string `json:"flags"` // rwx
}

// Section is a section of an ELF file.
type Section struct {
	Name    string `json:"name"`
	Address Hex    `json:"address,omitempty"`
	Size    uint64 `json:"size"`
	Flags   string `json:"flags"` // of WAX: written to, in memory, executable
}

// elfFile is an ELF file, with what its notes say.
type elfFile struct {
	*elf.File
	pvh      Hex  // of note Xen, XEN_ELFNOTE_PHYS32_ENTRY
	linuxABI bool // of note GNU, NT_GNU_ABI_TAG: a Linux program
	hermit   bool // of note HERMIT: Hermit in Rust
}

// openELF returns nil for a file that is none.
func openELF(f io.ReaderAt) (*elfFile, error) {
	head := make([]byte, 4)
	if n, _ := f.ReadAt(head, 0); n < len(head) || string(head) != elf.ELFMAG {
		return nil, nil
	}
	e, err := elf.NewFile(f)
	if err != nil {
		return nil, fmt.Errorf("damaged ELF file: %w", err)
	}
	out := &elfFile{File: e}
	for _, p := range e.Progs {
		if p.Type != elf.PT_NOTE {
			continue
		}
		raw, err := readAll(p.Open(), p.Filesz, elfnote.MaxSegment)
		if err != nil {
			return nil, fmt.Errorf("damaged ELF file: notes: %w", err)
		}
		for n := range elfnote.All(raw, e.ByteOrder) {
			out.note(n)
		}
	}
	return out, nil
}

var errTooLarge = errors.New("larger than it can be")

// readAll reads a part of a file whose size the file itself says.
func readAll(r io.Reader, size uint64, most uint64) ([]byte, error) {
	if size > most {
		return nil, fmt.Errorf("%w: %d bytes", errTooLarge, size)
	}
	raw := make([]byte, size)
	_, err := io.ReadFull(r, raw)
	return raw, err
}

// Numbers of notes: glibc's elf.h.
const (
	gnuABITag   = 1
	gnuABILinux = 0
)

func (e *elfFile) note(n elfnote.Note) {
	switch {
	case n.Name == "Xen" && n.Kind == elfnote.XenPHYS32Entry && len(n.Desc) >= 4:
		e.pvh = Hex(binary.LittleEndian.Uint32(n.Desc)) // a 64-bit note has it in the lower half
	case n.Name == "GNU" && n.Kind == gnuABITag && len(n.Desc) >= 4:
		e.linuxABI = e.ByteOrder.Uint32(n.Desc) == gnuABILinux
	case n.Name == "HERMIT":
		e.hermit = true
	}
}

// words are the format.
func (e *elfFile) words() string {
	bits := map[elf.Class]string{elf.ELFCLASS32: "32-bit", elf.ELFCLASS64: "64-bit"}[e.Class]
	kinds := map[elf.Type]string{elf.ET_EXEC: "executable", elf.ET_DYN: "position-independent", elf.ET_REL: "object file, not linked", elf.ET_CORE: "core dump"}
	kind := kinds[e.Type]
	if kind == "" {
		kind = e.Type.String()
	}
	machine := map[elf.Machine]string{elf.EM_X86_64: "x86-64", elf.EM_386: "i386"}[e.Machine]
	if machine == "" {
		machine = e.Machine.String()
	}
	return fmt.Sprintf("ELF, %s, %s, %s", bits, machine, kind)
}

func (e *elfFile) segments() []Segment {
	var out []Segment
	for _, p := range e.Progs {
		if p.Type == elf.PT_LOAD {
			flags := letter(p.Flags&elf.PF_R != 0, "r") + letter(p.Flags&elf.PF_W != 0, "w") + letter(p.Flags&elf.PF_X != 0, "x")
			out = append(out, Segment{Hex(p.Vaddr), Hex(p.Paddr), p.Filesz, p.Memsz, flags})
		}
	}
	return out
}

func (e *elfFile) sections() []Section {
	var out []Section
	for _, s := range e.Sections {
		if s.Type == elf.SHT_NULL {
			continue
		}
		flags := letter(s.Flags&elf.SHF_WRITE != 0, "W") + letter(s.Flags&elf.SHF_ALLOC != 0, "A") + letter(s.Flags&elf.SHF_EXECINSTR != 0, "X")
		out = append(out, Section{s.Name, Hex(s.Addr), s.Size, flags})
	}
	return out
}

func letter(is bool, l string) string {
	if is {
		return l
	}
	return "-"
}

func (e *elfFile) x86() bool { return e.Machine == elf.EM_X86_64 || e.Machine == elf.EM_386 }

// OS/ABI of Hermit's: HermitCore's and HermiTux' tools have 0x42 and 0xff
// (hermitux-kernel, tools/init.sh and tools/proxy.h); 0xff is ELFOSABI_STANDALONE.
const (
	osABIHermitCore = 0x42
	osABIStandalone = 0xff
)

func (e *elfFile) isHermit() bool {
	return e.hermit || byte(e.OSABI) == osABIHermitCore || byte(e.OSABI) == osABIStandalone
}

// maySolo5 says whether a file that Solo5's notes could not be read from is meant to
// have them.
func (e *elfFile) maySolo5() bool {
	for _, s := range e.Sections {
		if strings.HasPrefix(s.Name, ".note.solo5.") {
			return true
		}
	}
	return false
}

// isProgram recognises a program or a library for Linux: it asks for a loader or
// libraries, or has the ABI note that glibc and musl's tool chains put in. A file with
// a PVH entry is a kernel, whatever else it has: OSv's loader.elf, for one, has a
// loader's name and is marked as GNU's.
func (e *elfFile) isProgram() bool {
	if e.pvh != 0 || e.Type != elf.ET_EXEC && e.Type != elf.ET_DYN {
		return false
	}
	return e.interpreter() != "" || e.linuxABI || e.OSABI == elf.ELFOSABI_LINUX || hasDynamic(e.File)
}

func hasDynamic(e *elf.File) bool {
	libs, err := e.ImportedLibraries()
	return err == nil && len(libs) > 0
}

// maxPath is PATH_MAX in bytes: what the kernel takes as a loader's name
// (fs/binfmt_elf.c).
const maxPath = 4096

// interpreter is the loader that the file asks for, "" if none.
func (e *elfFile) interpreter() string {
	for _, p := range e.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		if raw, err := readAll(p.Open(), p.Filesz, maxPath); err == nil {
			return string(bytes.TrimRight(raw, "\x00"))
		}
	}
	return ""
}
