// SPDX-License-Identifier: Apache-2.0

package system

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/guests/reference"
	"github.com/ukprobe/ukprobe/probe"
)

// load is one program header of a test's ELF file.
type load struct {
	typ                 elf.ProgType
	flags               elf.ProgFlag
	vaddr, paddr, memsz uint64
}

const rx, rw = elf.PF_R | elf.PF_X, elf.PF_R | elf.PF_W

func pack(parts ...any) []byte {
	var b bytes.Buffer
	for _, p := range parts {
		if err := binary.Write(&b, binary.LittleEndian, p); err != nil {
			panic(err) // a type of unknown size in a test
		}
	}
	return b.Bytes()
}

func ident(class elf.Class) (id [elf.EI_NIDENT]byte) {
	copy(id[:], elf.ELFMAG)
	id[elf.EI_CLASS], id[elf.EI_DATA], id[elf.EI_VERSION] = byte(class), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)
	return id
}

func elf64(machine elf.Machine, loads ...load) []byte {
	out := pack(elf.Header64{Ident: ident(elf.ELFCLASS64), Type: uint16(elf.ET_EXEC), Machine: uint16(machine), Version: 1,
		Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: uint16(len(loads)), Shentsize: 64})
	for _, l := range loads {
		out = append(out, pack(elf.Prog64{Type: uint32(l.typ), Flags: uint32(l.flags), Vaddr: l.vaddr, Paddr: l.paddr, Memsz: l.memsz})...)
	}
	return out
}

func elf32(machine elf.Machine, loads ...load) []byte {
	out := pack(elf.Header32{Ident: ident(elf.ELFCLASS32), Type: uint16(elf.ET_EXEC), Machine: uint16(machine), Version: 1,
		Phoff: 52, Ehsize: 52, Phentsize: 32, Phnum: uint16(len(loads)), Shentsize: 40})
	for _, l := range loads {
		out = append(out, pack(elf.Prog32{Type: uint32(l.typ), Flags: uint32(l.flags), Vaddr: uint32(l.vaddr), Paddr: uint32(l.paddr), Memsz: uint32(l.memsz)})...)
	}
	return out
}

func bzImage() []byte {
	out := make([]byte, 4096)
	out[0x1fe], out[0x1ff] = 0x55, 0xaa
	copy(out[0x202:], "HdrS")
	return out
}

func write(t testing.TB, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kernel")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSegmentsOf(t *testing.T) {
	text := load{elf.PT_LOAD, rx, 0x100000, 0x100000, 0x3000}
	tests := []struct {
		name string
		data []byte
		want []probe.Segment
		err  string
	}{
		{"ELF of 64 bits", elf64(elf.EM_X86_64, text), []probe.Segment{{Lo: 0x100000, Hi: 0x103000}}, ""},
		{"ELF of 32 bits", elf32(elf.EM_386, text), []probe.Segment{{Lo: 0x100000, Hi: 0x103000}}, ""},
		{"only what is loaded and executable", elf64(elf.EM_X86_64, load{elf.PT_NOTE, rx, 1, 1, 9}, load{elf.PT_LOAD, rw, 0x5000, 0x5000, 9}, load{elf.PT_LOAD, rx, 0x6000, 0x6000, 0}, text),
			[]probe.Segment{{Lo: 0x100000, Hi: 0x103000}}, ""},
		{"linked high, loaded low", elf64(elf.EM_X86_64, load{elf.PT_LOAD, rx, 0xffffffff81000000, 0x1000000, 0x10}),
			[]probe.Segment{{Lo: 0x1000000, Hi: 0x1000010}, {Lo: 0xffffffff81000000, Hi: 0xffffffff81000010}}, ""},
		{"more than a watch takes", elf64(elf.EM_X86_64, load{elf.PT_LOAD, rx, 1, 1, 1}, load{elf.PT_LOAD, rx, 2, 2, 1}, load{elf.PT_LOAD, rx, 3, 3, 1}, load{elf.PT_LOAD, rx, 4, 4, 1}, load{elf.PT_LOAD, rx, 5, 5, 1}),
			[]probe.Segment{{Lo: 1, Hi: 2}, {Lo: 2, Hi: 3}, {Lo: 3, Hi: 4}, {Lo: 4, Hi: 5}}, ""},
		{"bzImage", bzImage(), []probe.Segment{linuxLoadedAt, linuxText}, ""},
		{"bzImage cut off in its magic", bzImage()[:0x205], nil, "neither an ELF file nor a bzImage (it begins with 00000000)"},
		{"boot sector without the header", func() []byte { d := bzImage(); d[0x202] = 'h'; return d }(), nil, "neither an ELF file nor a bzImage"},
		{"text", []byte("#!/bin/sh\n"), nil, "it begins with 23212f62): give a kernel image"},
		{"a byte", []byte{0x7f}, nil, "it begins with 7f)"},
		{"empty", nil, nil, "EOF"},
		{"ELF magic only", []byte(elf.ELFMAG), nil, "damaged ELF file"},
		{"ELF cut off", elf64(elf.EM_X86_64, text)[:70], nil, "damaged ELF file"},
		{"object file", elf64(elf.EM_X86_64), nil, "ELF file without an executable load segment: is it an object file?"},
		{"another machine", elf64(elf.EM_AARCH64, text), nil, "built for EM_AARCH64: an x86 guest is needed"},
		{"segment around the end of memory", elf64(elf.EM_X86_64, load{elf.PT_LOAD, rx, 0x1000, 0x1000, 0xfffffffffffff000}), nil, "damaged ELF file"},
	}
	for _, tt := range tests {
		path := write(t, tt.data)
		got, err := segmentsOf(path)
		if tt.err == "" {
			if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
				t.Errorf("%s: %v (-want +got):\n%s", tt.name, err, diff)
			}
		} else if err == nil || !strings.Contains(err.Error(), tt.err) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, %v: want an error with the file's path and %q", tt.name, got, err, tt.err)
		}
	}
}

func TestSegmentsOfNoFile(t *testing.T) {
	for path, want := range map[string]string{t.TempDir(): "is a directory", filepath.Join(t.TempDir(), "nothing"): "no such file"} {
		if got, err := segmentsOf(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v", path, got, err)
		}
	}
}

// TestSegmentsOfTheReferenceGuest: the entry point is inside.
func TestSegmentsOfTheReferenceGuest(t *testing.T) {
	image := reference.Image()
	segs, err := segmentsOf(write(t, image))
	if err != nil {
		t.Fatal(err)
	}
	e, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range segs {
		if e.Entry >= s.Lo && e.Entry < s.Hi {
			return
		}
	}
	t.Errorf("entry point 0x%x is in none of %x", e.Entry, segs)
}

// FuzzSegmentsOf: whatever file is given, a watch can take the answer.
func FuzzSegmentsOf(f *testing.F) {
	f.Add(elf64(elf.EM_X86_64, load{elf.PT_LOAD, rx, 0x100000, 0x200000, 0x3000}))
	f.Add(elf32(elf.EM_386, load{elf.PT_LOAD, rx, 0x100000, 0x100000, 0x3000}))
	f.Add(bzImage())
	f.Add([]byte(elf.ELFMAG))
	path := filepath.Join(f.TempDir(), "kernel")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		segs, err := segmentsOf(path)
		if (err == nil) != (len(segs) > 0) || len(segs) > maxSegments {
			t.Fatalf("%d segments, %v", len(segs), err)
		}
		for _, s := range segs {
			if s.Lo >= s.Hi {
				t.Fatalf("segment %x ends before it begins", s)
			}
		}
	})
}
