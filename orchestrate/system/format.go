// SPDX-License-Identifier: Apache-2.0

package system

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/ukprobe/ukprobe/internal/regular"
)

// kernelVersionAt is the field of a bzImage that points to its version's text, less
// 0x200 (Documentation/arch/x86/boot.rst, kernel_version).
const kernelVersionAt = 0x20e // u16

// realModeEntryAt is where a bzImage is entered in real mode: a jump over the header
// (boot.rst, jump).
const realModeEntryAt = 0x200 // u16

// Format is what a kernel file says, outside of ELF, about how it is booted.
type Format struct {
	BzImage       bool
	Protocol      uint16 // of a bzImage: major<<8 + minor
	Kernel64      bool   // a bzImage with an entry in 64-bit mode
	NoRealMode    bool   // a bzImage with nothing where it is entered in real mode
	KernelVersion string // that a bzImage names; "" if it names none

	Multiboot          bool // version 1
	MultibootAddresses bool // its header says where to load the file: it need not be ELF
	MultibootEntry     uint32
	Multiboot2         bool
}

// FormatOf looks a file's head through.
func FormatOf(path string) (Format, error) {
	f, err := regular.Open(path)
	if err != nil {
		return Format{}, fmt.Errorf("image: %w", err)
	}
	defer f.Close()
	k := kernelFile{f: f, path: path}
	if err := k.read(); err != nil {
		return Format{}, fmt.Errorf("image %s: %w", path, err)
	}
	return k.format(), nil
}

func (k *kernelFile) format() Format {
	if isBzImage(k.head) {
		return bzImageFormat(k.head)
	}
	mb, _, ok := findMultiboot(k.head)
	out := Format{Multiboot: ok, MultibootAddresses: ok && mb.Flags&multibootAddresses != 0, Multiboot2: hasMultiboot2(k.head)}
	if out.MultibootAddresses {
		out.MultibootEntry = mb.Entry
	}
	return out
}

func bzImageFormat(head []byte) Format {
	out := Format{BzImage: true, Protocol: binary.LittleEndian.Uint16(head[versionAt:]),
		NoRealMode: binary.LittleEndian.Uint16(head[realModeEntryAt:]) == 0}
	if out.Protocol >= 0x20c && len(head) >= xLoadFlagsAt+2 {
		out.Kernel64 = binary.LittleEndian.Uint16(head[xLoadFlagsAt:])&kernel64 != 0
	}
	if len(head) < kernelVersionAt+2 {
		return out
	}
	if at := int(binary.LittleEndian.Uint16(head[kernelVersionAt:])); at != 0 && at+0x200 < len(head) {
		text := head[at+0x200:]
		if end := bytes.IndexByte(text, 0); end >= 0 && end < 256 {
			out.KernelVersion = string(text[:end])
		}
	}
	return out
}
