// SPDX-License-Identifier: Apache-2.0

package system

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/ukprobe/ukprobe/probe"
)

// Where an x86-64 Linux kernel runs: its protected-mode code is loaded at 1 MiB
// (Documentation/arch/x86/boot.rst) and decompresses itself to 16 MiB; the kernel
// proper runs in the mapping of its text (Documentation/arch/x86/x86_64/mm.rst).
var (
	linuxLoadedAt = probe.Segment{Lo: 0x100000, Hi: 0x100000 + 64<<20}
	linuxText     = probe.Segment{Lo: 0xffffffff80000000, Hi: 0xffffffffc0000000}
)

// maxSegments is how many spans a watch takes.
const maxSegments = 4

// segmentsOf reads from a kernel file which guest addresses are its own. It
// knows ELF (PVH, multiboot) and bzImage; anything else is an error.
func segmentsOf(path string) ([]probe.Segment, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("image: %w", err)
	}
	defer f.Close()
	head := make([]byte, 0x210)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("image %s: %w", path, err)
	}
	head = head[:n]
	switch {
	case bytes.HasPrefix(head, []byte(elf.ELFMAG)):
		return elfSegments(f, path)
	case isBzImage(head):
		return []probe.Segment{linuxLoadedAt, linuxText}, nil
	}
	return nil, fmt.Errorf("image %s: neither an ELF file nor a bzImage (it begins with %x): give a kernel image", path, head[:min(4, len(head))])
}

// isBzImage looks for the setup header: "HdrS" at 0x202, 0xaa55 at 0x1fe.
func isBzImage(head []byte) bool {
	return len(head) >= 0x206 && binary.LittleEndian.Uint16(head[0x1fe:]) == 0xaa55 && string(head[0x202:0x206]) == "HdrS"
}

// elfSegments takes the executable load segments, at the physical addresses at
// which the VMM puts them and, where they differ, at the virtual ones.
func elfSegments(f *os.File, path string) ([]probe.Segment, error) {
	e, err := elf.NewFile(f)
	if err != nil {
		return nil, fmt.Errorf("image %s: damaged ELF file: %w", path, err)
	}
	if e.Machine != elf.EM_X86_64 && e.Machine != elf.EM_386 {
		return nil, fmt.Errorf("image %s: built for %s: an x86 guest is needed", path, e.Machine)
	}
	var out []probe.Segment
	for _, p := range e.Progs {
		if p.Type != elf.PT_LOAD || p.Flags&elf.PF_X == 0 || p.Memsz == 0 {
			continue
		}
		if p.Paddr+p.Memsz < p.Paddr || p.Vaddr+p.Memsz < p.Vaddr {
			return nil, fmt.Errorf("image %s: damaged ELF file: a load segment of %d bytes ends beyond the last address", path, p.Memsz)
		}
		out = append(out, probe.Segment{Lo: p.Paddr, Hi: p.Paddr + p.Memsz})
		if p.Vaddr != p.Paddr {
			out = append(out, probe.Segment{Lo: p.Vaddr, Hi: p.Vaddr + p.Memsz})
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("image %s: ELF file without an executable load segment: is it an object file?", path)
	}
	return out[:min(len(out), maxSegments)], nil
}
