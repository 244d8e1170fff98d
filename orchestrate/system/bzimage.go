// SPDX-License-Identifier: Apache-2.0

package system

import (
	"encoding/binary"
	"fmt"

	"github.com/ukprobe/ukprobe/internal/bzimage"
	"github.com/ukprobe/ukprobe/probe"
)

// The setup header of a bzImage, by offset in the file, and what of it matters
// here (Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header").
const (
	setupSectsAt = 0x1f1 // u8: sectors of setup code after the boot sector; 0 means 4
	sysSizeAt    = 0x1f4 // u32, since 2.04: protected-mode code in units of 16 bytes
	versionAt    = 0x206 // u16: major<<8 + minor
	loadFlagsAt  = 0x211 // u8
	xLoadFlagsAt = 0x236 // u16, since 2.12

	loadedHigh = 1 << 0 // of loadflags: a bzImage; else a zImage
	kernel64   = 1 << 0 // of xloadflags: a 64-bit kernel
)

// linuxText is where the kernel proper runs: the mapping of its text and the room
// in which address randomisation moves it about (Documentation/arch/x86/x86_64/mm.rst;
// KERNEL_IMAGE_SIZE of arch/x86/include/asm/page_64_types.h: 1 GiB). Neither a
// firmware nor the decompressor, both of which run where memory is mapped to its own
// addresses, is ever there.
var linuxText = probe.Segment{Lo: 0xffffffff80000000, Hi: 0xffffffffc0000000, Stage: probe.StageKernel}

// isBzImage looks for the setup header, with its version.
func isBzImage(head []byte) bool { return len(head) >= versionAt+2 && bzimage.Is(head) }

// bzImageSegments says what a bzImage runs, and where:
//
//   - its setup code, in real mode, at 0x10200: QEMU and qboot load the boot sector
//     and the setup code to 0x10000 (QEMU's x86_load_linux; qboot's linuxboot.c), the
//     entry is the second sector;
//   - the decompressor, at 1 MiB: head_64.S runs there, asks CPUID (which always
//     exits) and copies itself to the end of the buffer of init_size bytes at
//     pref_address (arch/x86/boot/compressed/head_64.S). It has been seen by then,
//     so that the buffer needs no segment: where the firmware may have put itself
//     in a small guest, one could only be wrong;
//   - the kernel proper, in linuxText. It begins in physical memory, at pref_address
//     or, with KASLR, anywhere; those few instructions up to the jump into the
//     mapping (arch/x86/kernel/head_64.S) count as decompression.
//
// Of a 32-bit kernel, or one from before Linux 3.8, which does not say what it is,
// the kernel proper has no segment.
func bzImageSegments(head []byte, size int64) ([]probe.Segment, error) {
	version := binary.LittleEndian.Uint16(head[versionAt:])
	setup := setupBytes(head)
	if setup >= size {
		return nil, fmt.Errorf("damaged bzImage: its setup code is %d bytes long, and the file has %d: get the whole file", setup, size)
	}
	if version >= 0x204 {
		if want := int64(binary.LittleEndian.Uint32(head[sysSizeAt:])) * 16; want > size-setup+15 {
			return nil, fmt.Errorf("damaged bzImage: its header says %d bytes of protected-mode code, and %d are there: get the whole file", want, size-setup)
		}
	}
	high := len(head) > loadFlagsAt && head[loadFlagsAt]&loadedHigh != 0
	realAt, protectedAt := uint64(0x10000), uint64(0x100000)
	if !high {
		protectedAt = 0x10000
	}
	if !high || version < 0x202 {
		realAt = 0x90000
	}
	out := []probe.Segment{
		{Lo: realAt + 0x200, Hi: realAt + uint64(setup), Stage: probe.StageImage},
		{Lo: protectedAt, Hi: protectedAt + uint64(size-setup), Stage: probe.StageDecompress},
	}
	if version >= 0x20c && len(head) >= xLoadFlagsAt+2 && binary.LittleEndian.Uint16(head[xLoadFlagsAt:])&kernel64 != 0 {
		out = append(out, linuxText)
	}
	return out, nil
}

// setupBytes is the length of the boot sector and the setup code.
func setupBytes(head []byte) int64 {
	sects := int64(head[setupSectsAt])
	if sects == 0 {
		sects = 4
	}
	return (sects + 1) * 512
}
