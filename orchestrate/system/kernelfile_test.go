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

// setupHeader is what of a bzImage's header a test sets.
type setupHeader struct {
	sects      byte
	version    uint16
	loadFlags  byte
	xLoadFlags uint16
	sysSize    uint32 // in units of 16 bytes
}

// file is a bzImage with that header and size.
func (h setupHeader) file(size int) []byte {
	out := make([]byte, size)
	out[setupSectsAt], out[loadFlagsAt] = h.sects, h.loadFlags
	binary.LittleEndian.PutUint32(out[sysSizeAt:], h.sysSize)
	binary.LittleEndian.PutUint16(out[0x1fe:], 0xaa55)
	copy(out[0x202:], "HdrS")
	binary.LittleEndian.PutUint16(out[versionAt:], h.version)
	binary.LittleEndian.PutUint16(out[xLoadFlagsAt:], h.xLoadFlags)
	return out
}

// linux61 is the header of Debian's 6.1, but for its sizes.
var linux61 = setupHeader{sects: 39, version: 0x20f, loadFlags: 1, xLoadFlags: 0x7f, sysSize: 0x1000}

func bzImage() []byte { return linux61.file(40*512 + 0x10000 + 7) }

// multiboot is a file with a multiboot header at the offset.
func multiboot(at, size int, flags uint32, addresses ...uint32) []byte {
	out := make([]byte, size)
	copy(out[at:], pack(uint32(multibootMagic), flags, -(multibootMagic+flags), addresses))
	return out
}

func multiboot2() []byte {
	magic := uint32(0xe85250d6)
	out := make([]byte, 4096)
	copy(out[64:], pack(magic, uint32(0), uint32(24), -(magic+24)))
	return out
}

// within puts a multiboot header behind an ELF file's headers.
func within(elfFile []byte, header []byte) []byte { return append(elfFile, header...) }

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
		{"linked high, loaded low", elf64(elf.EM_X86_64, load{elf.PT_LOAD, rx, 0x40200000, 0x200000, 0x10}),
			[]probe.Segment{{Lo: 0x200000, Hi: 0x200010}, {Lo: 0x40200000, Hi: 0x40200010}}, ""},
		{"more than a watch takes", elf64(elf.EM_X86_64, load{elf.PT_LOAD, rx, 1, 1, 1}, load{elf.PT_LOAD, rx, 3, 3, 1}, load{elf.PT_LOAD, rx, 5, 5, 1}, load{elf.PT_LOAD, rx, 7, 7, 1},
			load{elf.PT_LOAD, rx, 9, 9, 1}, load{elf.PT_LOAD, rx, 11, 11, 1}, load{elf.PT_LOAD, rx, 13, 13, 1}, load{elf.PT_LOAD, rx, 15, 15, 1}),
			[]probe.Segment{{Lo: 1, Hi: 2}, {Lo: 3, Hi: 4}, {Lo: 5, Hi: 6}, {Lo: 7, Hi: 8}, {Lo: 9, Hi: 10}, {Lo: 11, Hi: 12}, {Lo: 13, Hi: 14}}, ""},
		{"pieces that touch are one", elf64(elf.EM_X86_64, load{elf.PT_LOAD, rx, 0x3000, 0x3000, 0x1000}, load{elf.PT_LOAD, rx, 0x1000, 0x1000, 0x2000}, load{elf.PT_LOAD, rx, 0x5000, 0x5000, 1}),
			[]probe.Segment{{Lo: 0x1000, Hi: 0x4000}, {Lo: 0x5000, Hi: 0x5001}}, ""},
		{"Linux, uncompressed", elf64(elf.EM_X86_64, load{elf.PT_LOAD, rx, 0xffffffff81000000, 0x1000000, 0xe00000}, load{elf.PT_LOAD, rw, 0xffffffff82000000, 0x2000000, 9},
			load{elf.PT_LOAD, rx, 0xffffffff82a00000, 0x2a00000, 0x300000}, load{elf.PT_NOTE, 0, 0xffffffff81e00000, 0x1e00000, 9}),
			[]probe.Segment{{Lo: 0x1000000, Hi: 0x1e00000, Stage: probe.StageKernel}, {Lo: 0x2a00000, Hi: 0x2d00000, Stage: probe.StageKernel},
				{Lo: 0xffffffff81000000, Hi: 0xffffffff81e00000, Stage: probe.StageKernel}, {Lo: 0xffffffff82a00000, Hi: 0xffffffff82d00000, Stage: probe.StageKernel}}, ""},
		{"bzImage", bzImage(), []probe.Segment{{Lo: 0x10200, Hi: 0x15000}, {Lo: 0x100000, Hi: 0x110007, Stage: probe.StageDecompress}, linuxText}, ""},
		{"bzImage of the least setup code", setupHeader{version: 0x20c, loadFlags: 0x81, xLoadFlags: 1}.file(0xa00 + 1),
			[]probe.Segment{{Lo: 0x10200, Hi: 0x10a00}, {Lo: 0x100000, Hi: 0x100001, Stage: probe.StageDecompress}, linuxText}, ""},
		{"bzImage of a 32-bit kernel", setupHeader{sects: 1, version: 0x20c, loadFlags: 1, xLoadFlags: 0xfffe}.file(0x500),
			[]probe.Segment{{Lo: 0x10200, Hi: 0x10400}, {Lo: 0x100000, Hi: 0x100100, Stage: probe.StageDecompress}}, ""},
		{"bzImage that cannot say of how many bits", setupHeader{sects: 1, version: 0x20b, loadFlags: 1, xLoadFlags: 1}.file(0x500),
			[]probe.Segment{{Lo: 0x10200, Hi: 0x10400}, {Lo: 0x100000, Hi: 0x100100, Stage: probe.StageDecompress}}, ""},
		{"bzImage of the first kind, whose size is not to be believed", setupHeader{sects: 1, version: 0x201, loadFlags: 1, sysSize: 0xffffffff}.file(0x500),
			[]probe.Segment{{Lo: 0x90200, Hi: 0x90400}, {Lo: 0x100000, Hi: 0x100100, Stage: probe.StageDecompress}}, ""},
		{"zImage", setupHeader{sects: 1, version: 0x204, sysSize: 0x10}.file(0x500),
			[]probe.Segment{{Lo: 0x90200, Hi: 0x90400}, {Lo: 0x10000, Hi: 0x10100, Stage: probe.StageDecompress}}, ""},
		{"bzImage cut off behind its setup code", bzImage()[:40*512+0x8000], nil, "damaged bzImage: its header says 65536 bytes of protected-mode code, and 32768 are there: get the whole file"},
		{"bzImage cut off in its setup code", bzImage()[:0x300], nil, "damaged bzImage: its setup code is 20480 bytes long, and the file has 768"},
		{"bzImage cut off in its magic", bzImage()[:0x205], nil, "neither an ELF file nor a bzImage nor multiboot (it begins with 00000000)"},

		{"multiboot with addresses", multiboot(0x20, 0x1000, multibootAddresses|3, 0x100020, 0x100000, 0x100800, 0x102000, 0x100030),
			[]probe.Segment{{Lo: 0x100000, Hi: 0x102000}}, ""},
		{"multiboot with addresses, to the end of the file", multiboot(0x120, 0x1000, multibootAddresses, 0x200020, 0x200000, 0, 0, 0x200030),
			[]probe.Segment{{Lo: 0x200000, Hi: 0x200f00}}, ""},
		{"multiboot addresses go before ELF", within(elf32(elf.EM_386, text), multiboot(0x10, 0x100, multibootAddresses, 0x40064, 0x40000, 0x41000, 0, 0x40100)),
			[]probe.Segment{{Lo: 0x40000, Hi: 0x41000}}, ""},
		{"multiboot addresses in an ELF file for another machine", within(elf32(elf.EM_ARM, text), multiboot(0x10, 0x100, multibootAddresses, 0x40064, 0x40000, 0x41000, 0, 0x40100)),
			nil, "built for EM_ARM: an x86 guest is needed"},
		{"multiboot ELF", within(elf32(elf.EM_386, text), multiboot(12, 0x100, 3)), []probe.Segment{{Lo: 0x100000, Hi: 0x103000}}, ""},
		{"multiboot of nothing", multiboot(0, 0x100, 3), nil, "a multiboot image that is no ELF file and whose header has no addresses"},
		{"multiboot with a wrong checksum", func() []byte { d := multiboot(0, 0x100, 3); d[8]++; return d }(), nil, "neither an ELF file"},
		{"multiboot beyond the first 8 KiB", multiboot(8192, 0x4000, multibootAddresses, 0x100000, 0x100000, 0, 0, 0x100000), nil, "neither an ELF file"},
		{"multiboot whose header is before the image", multiboot(0, 0x100, multibootAddresses, 0x1000, 0x2000, 0, 0, 0x2000), nil, "damaged multiboot header: header_addr 0x1000, load_addr 0x2000"},
		{"multiboot whose image begins before the file", multiboot(4, 0x100, multibootAddresses, 0x2008, 0x2000, 0, 0, 0x2000), nil, "its place in the file, 0x4, do not fit together"},
		{"multiboot of negative length", multiboot(0, 0x100, multibootAddresses, 0x2000, 0x2000, 0x1000, 0, 0x2000), nil, "it loads from 0x2000 to 0x1000"},
		{"multiboot around the end of memory", multiboot(0, 0x100, multibootAddresses, 0xfffffff0, 0xfffffff0, 0, 0, 0xfffffff0), nil, "it loads from 0xfffffff0 to 0x1000000f0"},
		{"multiboot that begins elsewhere", multiboot(0, 0x100, multibootAddresses, 0x2000, 0x2000, 0, 0, 0x3000), nil, "entry_addr 0x3000 is not in what is loaded, 0x2000 to 0x2100"},
		{"multiboot2", multiboot2(), nil, "a multiboot2 image that is no ELF file"},
		{"multiboot2 ELF", within(elf64(elf.EM_X86_64, text), multiboot2()[8:]), []probe.Segment{{Lo: 0x100000, Hi: 0x103000}}, ""},
		{"gzip", []byte("\x1f\x8b\x08\x00"), nil, "compressed with gzip: unpack it"},
		{"zstd", []byte("\x28\xb5\x2f\xfd\x00"), nil, "compressed with zstd: unpack it"},
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
