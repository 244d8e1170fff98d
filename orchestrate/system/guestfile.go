// SPDX-License-Identifier: Apache-2.0

package system

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/ukprobe/ukprobe/internal/elfnote"
	"github.com/ukprobe/ukprobe/internal/regular"
)

// What is looked for in a file.
const (
	maxGuestFile   = 512 << 20 // bytes of an image that are searched for text
	elfOSABIHermit = 0xff      // of the whole family: ELFOSABI_STANDALONE (hermitux-kernel, tools/proxy.h)
)

// loadable is what an image file says about who can load it.
type loadable struct {
	isELF     bool
	class     elf.Class
	machine   elf.Machine
	kind      elf.Type
	osABI     byte
	multiboot bool // version 1
	pvh       bool
	bzImage   bool
	hermit    bool // has the note of Hermit in Rust
}

// whoLoads reads it.
func whoLoads(path string) (loadable, error) {
	f, err := regular.Open(path)
	if err != nil {
		return loadable{}, fmt.Errorf("image: %w", err)
	}
	defer f.Close()
	k := kernelFile{f: f, path: path}
	if err := k.read(); err != nil {
		return loadable{}, fmt.Errorf("image %s: %w", path, err)
	}
	l := loadable{bzImage: isBzImage(k.head), isELF: bytes.HasPrefix(k.head, []byte(elf.ELFMAG))}
	_, _, l.multiboot = findMultiboot(k.head)
	if !l.isELF {
		return l, nil
	}
	e, err := elf.NewFile(f)
	if err != nil {
		return loadable{}, fmt.Errorf("image %s: damaged ELF file: %w", path, err)
	}
	l.class, l.machine, l.kind, l.osABI = e.Class, e.Machine, e.Type, byte(e.OSABI)
	for _, p := range e.Progs {
		if p.Type == elf.PT_NOTE && p.Filesz <= elfnote.MaxSegment {
			raw, err := io.ReadAll(p.Open())
			if err != nil {
				return loadable{}, fmt.Errorf("image %s: damaged ELF file: %w", path, err)
			}
			l.notes(raw, e.ByteOrder)
		}
	}
	return l, nil
}

// notes looks through a segment of notes.
func (l *loadable) notes(raw []byte, order binary.ByteOrder) {
	for n := range elfnote.All(raw, order) {
		switch n.Name {
		case "Xen":
			l.pvh = l.pvh || n.Kind == elfnote.XenPHYS32Entry
		case "HERMIT":
			l.hermit = true
		}
	}
}

// x86 says whether an ELF file is for this kind of machine.
func (l loadable) x86() bool { return l.machine == elf.EM_X86_64 || l.machine == elf.EM_386 }

// what names the format, for messages.
func (l loadable) what() string {
	switch {
	case l.bzImage:
		return "a bzImage"
	case !l.isELF && l.multiboot:
		return "a multiboot image"
	case !l.isELF:
		return "no ELF file"
	case !l.x86():
		return "an ELF file for " + l.machine.String()
	case l.multiboot:
		return "an ELF file with a multiboot header"
	case l.pvh:
		return "an ELF file with a PVH entry"
	case l.hermit || l.osABI == elfOSABIHermit:
		return "an ELF file for uhyve"
	case l.class == elf.ELFCLASS64:
		return "a 64-bit ELF file without multiboot or PVH entry"
	}
	return "a 32-bit ELF file without multiboot or PVH entry"
}

// byQEMU says whether QEMU's -kernel loads it on a pc or microvm (its
// x86_load_linux: multiboot, ELF with PVH, bzImage).
func (l loadable) byQEMU() bool { return l.bzImage || l.multiboot || l.isELF && l.x86() && l.pvh }

// byFirecracker says whether Firecracker loads it: a 64-bit ELF file, which it
// starts by Linux' 64-bit protocol or by PVH (its src/vmm/src/arch/x86_64/mod.rs). A
// multiboot header means that the entry expects another protocol.
func (l loadable) byFirecracker() bool {
	return l.isELF && l.class == elf.ELFCLASS64 && l.machine == elf.EM_X86_64 && (l.pvh || !l.multiboot)
}

// readGuest returns a guest's file, to be searched for text.
func readGuest(path string) ([]byte, error) {
	img, err := regular.Open(path)
	if err != nil {
		return nil, fmt.Errorf("image: %w", err)
	}
	defer img.Close()
	raw, err := io.ReadAll(io.LimitReader(img, maxGuestFile))
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", path, err)
	}
	return raw, nil
}
