// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"testing"
)

// elfWith is a 64-bit ELF file marked as GNU's, with one segment for each content.
func elfWith(t *testing.T, segments map[elf.ProgType][]byte) []byte {
	t.Helper()
	var out, contents bytes.Buffer
	const head, entry = 64, 56 // sizes of the headers
	h := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: 1, Entry: 0x200000,
		Phoff: head, Ehsize: head, Phentsize: entry, Phnum: uint16(len(segments))}
	copy(h.Ident[:], elf.ELFMAG)
	h.Ident[elf.EI_CLASS], h.Ident[elf.EI_DATA], h.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1
	h.Ident[elf.EI_OSABI] = byte(elf.ELFOSABI_LINUX)
	put := func(v any) {
		if err := binary.Write(&out, binary.LittleEndian, v); err != nil {
			t.Fatal(err)
		}
	}
	put(h)
	for kind, content := range segments {
		at := uint64(head + entry*len(segments) + contents.Len())
		size := uint64(len(content))
		put(elf.Prog64{Type: uint32(kind), Flags: uint32(elf.PF_R), Off: at, Vaddr: 0x200000 + at, Paddr: 0x200000 + at, Filesz: size, Memsz: size, Align: 4})
		contents.Write(content)
	}
	return append(out.Bytes(), contents.Bytes()...)
}

// TestKernelThatLooksLikeAProgram: as OSv's loader.elf does, by a loader's name and
// the OS/ABI. With a PVH entry it is a kernel, without one a program.
func TestKernelThatLooksLikeAProgram(t *testing.T) {
	interpreter := []byte("/lib64/ld-linux-x86-64.so.2\x00")
	note := []byte("\x04\x00\x00\x00\x04\x00\x00\x00\x12\x00\x00\x00Xen\x00\x00\x00\x20\x00")
	tests := []struct {
		name     string
		segments map[elf.ProgType][]byte
		verdicts map[string]string
	}{
		{"with a PVH entry", map[elf.ProgType][]byte{elf.PT_INTERP: interpreter, elf.PT_NOTE: note}, map[string]string{
			"qemu": "yes: PVH entry 0x200000", "process": "no: no program for Linux", "uhyve": "no: no image of Hermit's or HermitCore's",
			"firecracker": "yes: 64-bit ELF file with a PVH entry (used since Firecracker 1.12; before, the entry has to be Linux' 64-bit one)",
		}},
		{"without", map[elf.ProgType][]byte{elf.PT_INTERP: interpreter}, map[string]string{
			"qemu": "no: a program for Linux: it needs a kernel below it",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := inspectFile(t, write(t, "loader.elf", elfWith(t, tt.segments)))
			for platform, want := range tt.verdicts {
				if got := r.can(platform); got != want {
					t.Errorf("%s: %q, want %q", platform, got, want)
				}
			}
		})
	}
}
