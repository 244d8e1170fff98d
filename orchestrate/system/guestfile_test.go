// SPDX-License-Identifier: Apache-2.0

package system

import (
	"debug/elf"
	"encoding/binary"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ukprobe/ukprobe/internal/elfnote"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/probe"
)

// A guest's image, as far as it matters who loads it.
type guestImage struct {
	class     elf.Class
	kind      elf.Type
	osABI     byte
	multiboot bool
	notes     []byte
	text      string // somewhere in it
}

// note is one ELF note with a name and four bytes.
func note(name string, kind uint32) []byte {
	out := pack(uint32(len(name)+1), uint32(4), kind)
	out = append(out, name+"\x00"...)
	out = append(out, make([]byte, -len(out)&3)...)
	return append(out, 1, 2, 3, 4)
}

// file is the image: an executable segment at 1 MiB, then notes and text.
func (g guestImage) file(t testing.TB) string {
	t.Helper()
	id := ident(g.class)
	id[elf.EI_OSABI] = g.osABI
	kind := g.kind
	if kind == 0 {
		kind = elf.ET_EXEC
	}
	const at = 0x1000
	var out []byte
	if g.class == elf.ELFCLASS32 {
		out = pack(elf.Header32{Ident: id, Type: uint16(kind), Machine: uint16(elf.EM_386), Version: 1, Phoff: 52, Ehsize: 52, Phentsize: 32, Phnum: 2, Shentsize: 40},
			elf.Prog32{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_X), Vaddr: 1 << 20, Paddr: 1 << 20, Memsz: 1 << 16},
			elf.Prog32{Type: uint32(elf.PT_NOTE), Off: at, Filesz: uint32(len(g.notes))})
	} else {
		out = pack(elf.Header64{Ident: id, Type: uint16(kind), Machine: uint16(elf.EM_X86_64), Version: 1, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 2, Shentsize: 64},
			elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_X), Vaddr: 1 << 20, Paddr: 1 << 20, Memsz: 1 << 16},
			elf.Prog64{Type: uint32(elf.PT_NOTE), Off: at, Filesz: uint64(len(g.notes))})
	}
	out = append(out, make([]byte, at-len(out))...)
	if g.multiboot {
		magic := uint32(multibootMagic)
		copy(out[512:], pack(magic, uint32(0), -magic))
	}
	return write(t, append(append(out, g.notes...), g.text...))
}

func pvhNote() []byte { return note("Xen", elfnote.XenPHYS32Entry) }

func TestWhoLoads(t *testing.T) {
	tests := []struct {
		name              string
		path              string
		qemu, firecracker bool
		what              string
	}{
		{"multiboot of today", guestImage{class: elf.ELFCLASS32, multiboot: true}.file(t), true, false, "an ELF file with a multiboot header"},
		{"multiboot of old", guestImage{class: elf.ELFCLASS64, multiboot: true}.file(t), true, false, "an ELF file with a multiboot header"},
		{"lxboot", guestImage{class: elf.ELFCLASS64}.file(t), false, true, "a 64-bit ELF file without multiboot or PVH entry"},
		{"PVH", guestImage{class: elf.ELFCLASS64, notes: append(note("GNU", 3), pvhNote()...)}.file(t), true, true, "an ELF file with a PVH entry"},
		{"multiboot and PVH", guestImage{class: elf.ELFCLASS64, multiboot: true, notes: pvhNote()}.file(t), true, true, "an ELF file with a multiboot header"},
		{"another note of Xen's", guestImage{class: elf.ELFCLASS64, notes: note("Xen", 5)}.file(t), false, true, "a 64-bit ELF file without multiboot or PVH entry"},
		{"cut notes", guestImage{class: elf.ELFCLASS64, notes: pvhNote()[:14]}.file(t), false, true, "a 64-bit ELF file without multiboot or PVH entry"},
		{"32 bits and nothing", guestImage{class: elf.ELFCLASS32}.file(t), false, false, "a 32-bit ELF file without multiboot or PVH entry"},
		{"bzImage", write(t, bzImage()), true, false, "a bzImage"},
		{"Hermit", guestImage{class: elf.ELFCLASS64, osABI: elfOSABIHermit, notes: note("HERMIT", 1)}.file(t), false, true, "an ELF file for uhyve"},
		{"text", write(t, []byte("#!/bin/sh\n")), false, false, "no ELF file"},
		{"another machine", write(t, elf64(elf.EM_AARCH64)), false, false, "an ELF file for EM_AARCH64"},
	}
	for _, tt := range tests {
		l, err := whoLoads(tt.path)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if l.byQEMU() != tt.qemu || l.byFirecracker() != tt.firecracker || l.what() != tt.what {
			t.Errorf("%s: by QEMU %v, by Firecracker %v, %q", tt.name, l.byQEMU(), l.byFirecracker(), l.what())
		}
	}
	for _, path := range []string{write(t, []byte(elf.ELFMAG+"damaged")), filepath.Join(t.TempDir(), "none")} {
		if _, err := whoLoads(path); err == nil || !strings.Contains(err.Error(), "image") {
			t.Errorf("%s: error %v", path, err)
		}
	}
}

// FuzzWhoLoads: no file makes it panic.
func FuzzWhoLoads(f *testing.F) {
	for _, g := range []guestImage{{class: elf.ELFCLASS64, notes: pvhNote()}, {class: elf.ELFCLASS32, multiboot: true}} {
		raw, err := os.ReadFile(g.file(f))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Add(bzImage())
	path := filepath.Join(f.TempDir(), "kernel")
	f.Fuzz(func(t *testing.T, file []byte) {
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		if l, err := whoLoads(path); err == nil && l.what() == "" {
			t.Error("an image without a name")
		}
	})
}

// aNetwork is the first guest's.
func aNetwork() *Addresses {
	return &Addresses{Prefix: netip.MustParsePrefix("198.18.0.2/24"), Gateway: netip.MustParseAddr("198.18.0.1")}
}

// want is a cell.
func want(app, platform string, s matrix.Settings) Want {
	return Want{App: app, Platform: platform, Settings: s}
}

// asker is a system that can have its guests ask for their address.
type asker interface {
	System
	Asker
}

// lines are a boot's command lines: with a network, without, and asking.
func lines(t *testing.T, s System, b Boot) (with, without, asking string) {
	t.Helper()
	with, err := s.CommandLine(b, aNetwork())
	if err != nil {
		t.Fatal(err)
	}
	if without, err = s.CommandLine(b, nil); err != nil {
		t.Fatal(err)
	}
	if a, ok := s.(asker); ok {
		asking = a.AskingCommandLine(b)
	}
	return with, without, asking
}

// stages are those of segments.
func stages(segs []probe.Segment) (out []probe.Stage) {
	for _, s := range segs {
		out = append(out, s.Stage)
	}
	return out
}

func put16(at []byte, v uint16) { binary.LittleEndian.PutUint16(at, v) }
