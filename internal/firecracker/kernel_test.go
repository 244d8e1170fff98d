// SPDX-License-Identifier: Apache-2.0

package firecracker

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ukprobe/ukprobe/guests/reference"
)

// changed is the reference guest with something spoilt.
func changed(t *testing.T, change func(h *elf.Header64, p *elf.Prog64)) []byte {
	t.Helper()
	image := reference.Image()
	var h elf.Header64
	var p elf.Prog64
	if err := binary.Read(bytes.NewReader(image), binary.LittleEndian, &h); err != nil {
		t.Fatal(err)
	}
	at := image[h.Phoff:]
	if err := binary.Read(bytes.NewReader(at), binary.LittleEndian, &p); err != nil || elf.ProgType(p.Type) != elf.PT_LOAD {
		t.Fatalf("first program header: %+v, %v", p, err)
	}
	change(&h, &p)
	_, _ = binary.Encode(at, binary.LittleEndian, p)
	_, _ = binary.Encode(image, binary.LittleEndian, h)
	return image
}

// bzImage is as much of one as it is recognised by.
func bzImage() []byte {
	b := make([]byte, 1024)
	b[0x1fe], b[0x1ff] = 0x55, 0xaa
	copy(b[0x202:], "HdrS")
	return b
}

func TestCheckKernel(t *testing.T) {
	same := func(*elf.Header64, *elf.Prog64) {}
	for name, tt := range map[string]struct {
		image  []byte
		v      Version
		memory int
		want   string
	}{
		"the reference guest":       {changed(t, same), Version{0, 18, 0}, 16, ""},
		"by today's":                {changed(t, same), Version{1, 16, 1}, 16, ""},
		"by an unknown one":         {changed(t, same), Version{}, 16, ""},
		"too little memory":         {changed(t, same), Version{1, 16, 1}, 1, "beyond the guest's 1 MiB"},
		"bzImage, old":              {bzImage(), Version{1, 16, 1}, 16, "takes only an uncompressed ELF kernel: give its vmlinux (the first that takes a bzImage is 1.17)"},
		"bzImage, new":              {bzImage(), Version{1, 17, 0}, 16, ""},
		"bzImage, unknown":          {bzImage(), Version{}, 16, ""},
		"32 bits":                   {changed(t, func(h *elf.Header64, _ *elf.Prog64) { h.Ident[elf.EI_CLASS] = byte(elf.ELFCLASS32) }), Version{1, 0, 0}, 16, "a 32-bit ELF file"},
		"another machine":           {changed(t, func(h *elf.Header64, _ *elf.Prog64) { h.Machine = uint16(elf.EM_AARCH64) }), Version{1, 0, 0}, 16, "built for EM_AARCH64"},
		"low entry":                 {changed(t, func(h *elf.Header64, _ *elf.Prog64) { h.Entry = 0x1000 }), Version{1, 0, 0}, 16, "its entry 0x1000 lies below 1 MiB"},
		"low segment":               {changed(t, func(_ *elf.Header64, p *elf.Prog64) { p.Paddr = 0x7000 }), Version{1, 0, 0}, 16, "loaded at 0x7000, below 1 MiB"},
		"segment around the end":    {changed(t, func(_ *elf.Header64, p *elf.Prog64) { p.Paddr = 0xffffffffffffff00 }), Version{1, 0, 0}, 16, "beyond the guest's"},
		"nothing to load":           {changed(t, func(_ *elf.Header64, p *elf.Prog64) { p.Type = uint32(elf.PT_NULL) }), Version{1, 0, 0}, 16, "without a load segment"},
		"compressed":                {[]byte("\x1f\x8b\x08\x00\x00\x00"), Version{1, 0, 0}, 16, "not an ELF file (it begins with 1f8b0800)"},
		"empty":                     {nil, Version{1, 0, 0}, 16, "not an ELF file (it begins with )"},
		"cut off":                   {reference.Image()[:80], Version{1, 0, 0}, 16, "damaged ELF file"},
		"a segment that only grows": {changed(t, func(_ *elf.Header64, p *elf.Prog64) { p.Memsz = 1 << 40 }), Version{1, 0, 0}, 16, "beyond the guest's 16 MiB"},
	} {
		path := filepath.Join(t.TempDir(), "kernel")
		if err := os.WriteFile(path, tt.image, 0o600); err != nil {
			t.Fatal(err)
		}
		err := CheckKernel(tt.v, path, tt.memory)
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path)):
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
	if err := CheckKernel(Version{}, filepath.Join(t.TempDir(), "none"), 16); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("no file: %v", err)
	}
}

func FuzzCheckKernel(f *testing.F) {
	f.Add(reference.Image())
	f.Add(bzImage())
	f.Add([]byte(elf.ELFMAG + "\x02"))
	f.Fuzz(func(t *testing.T, image []byte) {
		_ = checkKernel(Version{1, 0, 0}, bytes.NewReader(image), 16) // must return
	})
}
