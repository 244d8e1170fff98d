// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// elfWithLoader is an ELF file of one segment, the loader's name, which claims so
// many bytes.
func elfWithLoader(name int, claims uint64) []byte {
	var b bytes.Buffer
	h := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: 1, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1}
	copy(h.Ident[:], elf.ELFMAG)
	h.Ident[elf.EI_CLASS], h.Ident[elf.EI_DATA], h.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1
	_ = binary.Write(&b, binary.LittleEndian, h) // into memory: never fails
	_ = binary.Write(&b, binary.LittleEndian, elf.Prog64{Type: uint32(elf.PT_INTERP), Off: 120, Filesz: claims})
	return append(b.Bytes(), make([]byte, name)...)
}

// TestHugeLoaderName: a file that claims a name longer than memory is refused.
func TestHugeLoaderName(t *testing.T) {
	root := t.TempDir()
	for _, claims := range []uint64{maxLoaderName + 1, 1 << 40, 1<<63 - 1} {
		if err := os.WriteFile(filepath.Join(root, "p"), elfWithLoader(8, claims), 0o755); err != nil {
			t.Fatal(err)
		}
		if interp, _, _, err := dependencies(root, "/p"); err == nil || !strings.Contains(err.Error(), "damaged ELF file") {
			t.Errorf("%d bytes: %q, %v", claims, interp, err)
		}
	}
}

// FuzzDependencies: whatever program a package brings, its loader's name is short
// and reading it neither panics nor takes memory that the file does not have.
func FuzzDependencies(f *testing.F) {
	if sh, err := os.ReadFile("/bin/true"); err == nil {
		f.Add(sh[:min(len(sh), 8<<10)])
	}
	f.Add([]byte(elf.ELFMAG))
	f.Add(elfWithLoader(7, 1<<62))
	f.Add(elfWithLoader(7, 4))
	root := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(filepath.Join(root, "program"), data, 0o755); err != nil {
			t.Fatal(err)
		}
		interp, _, _, err := dependencies(root, "/program")
		if err == nil && len(interp) > maxLoaderName {
			t.Fatalf("a loader's name of %d bytes", len(interp))
		}
	})
}
