// SPDX-License-Identifier: Apache-2.0

package system

import (
	"debug/elf"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ukprobe/ukprobe/guests/reference"
	"github.com/ukprobe/ukprobe/probe"
)

// FuzzSegmentsOf: whatever file is given, either a watch can take the answer or
// the error names the file.
func FuzzSegmentsOf(f *testing.F) {
	f.Add(elf64(elf.EM_X86_64, load{elf.PT_LOAD, rx, 0x100000, 0x200000, 0x3000}))
	f.Add(elf64(elf.EM_X86_64, load{elf.PT_LOAD, rx, 0xffffffff81000000, 0x1000000, 0x3000}, load{elf.PT_LOAD, rx, 0xffffffff82000000, 0x2000000, 0x3000}))
	f.Add(elf32(elf.EM_386, load{elf.PT_LOAD, rx, 0x100000, 0x100000, 0x3000}))
	f.Add(reference.Image()[:4096])
	f.Add(bzImage())
	f.Add(setupHeader{sects: 1, version: 0x201}.file(0x500))
	f.Add(multiboot(0x20, 0x100, multibootAddresses, 0x100020, 0x100000, 0x100800, 0x102000, 0x100030))
	f.Add(multiboot(0, 0x40, 3))
	f.Add(multiboot2())
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
		if err != nil && !strings.Contains(err.Error(), path) {
			t.Fatalf("the error does not name the file: %v", err)
		}
		for _, s := range segs {
			if s.Lo >= s.Hi {
				t.Fatalf("segment %x ends before it begins", s)
			}
			if s.Stage == probe.StageOptionROM {
				t.Fatalf("segment %x: an option ROM is no part of an image", s)
			}
		}
	})
}
