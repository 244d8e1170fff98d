// SPDX-License-Identifier: Apache-2.0

package firecracker

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"

	"github.com/ukprobe/ukprobe/internal/bzimage"
	"github.com/ukprobe/ukprobe/internal/regular"
)

// highMemory is where Firecracker lets a kernel begin: arch/x86_64 layout,
// HIMEM_START, in every version.
const highMemory = 1 << 20

// CheckKernel says why a version of Firecracker cannot load a kernel file into a
// guest of that much memory. It loads 64-bit little-endian ELF files by their
// physical addresses, entered in 64-bit mode or, from 1.12 on, by their PVH note;
// and, from 1.17 on, bzImages. An unknown version is given the benefit of the doubt.
func CheckKernel(v Version, path string, memoryMiB int) error {
	f, err := regular.Open(path)
	if err != nil {
		return fmt.Errorf("kernel: %w", err)
	}
	defer f.Close()
	if err := checkKernel(v, f, memoryMiB); err != nil {
		return fmt.Errorf("kernel %s: %w", path, err)
	}
	return nil
}

func checkKernel(v Version, r io.ReaderAt, memoryMiB int) error {
	head := make([]byte, bzimage.HeadSize)
	if n, _ := r.ReadAt(head, 0); bzimage.Is(head[:n]) {
		if !v.Unknown() && v.Before(bzImageSince) {
			return fmt.Errorf("a bzImage: firecracker %s takes only an uncompressed ELF kernel: give its vmlinux (the first that takes a bzImage is %d.%d)", v, bzImageSince.Major, bzImageSince.Minor)
		}
		return nil
	}
	var magic [5]byte
	if n, err := r.ReadAt(magic[:], 0); n < len(magic) || string(magic[:4]) != elf.ELFMAG {
		return errors.Join(fmt.Errorf("not an ELF file (it begins with %x): Firecracker takes an uncompressed ELF kernel", magic[:min(n, 4)]), ignoreEOF(err))
	}
	if elf.Class(magic[4]) != elf.ELFCLASS64 {
		return errors.New("a 32-bit ELF file: Firecracker takes 64-bit ones")
	}
	e, err := elf.NewFile(r)
	if err != nil {
		return fmt.Errorf("damaged ELF file: %w", err)
	}
	if e.Machine != elf.EM_X86_64 || e.Data != elf.ELFDATA2LSB {
		return fmt.Errorf("built for %s: an x86-64 kernel is needed", e.Machine)
	}
	if e.Entry < highMemory {
		return fmt.Errorf("its entry 0x%x lies below 1 MiB: Firecracker refuses that", e.Entry)
	}
	return checkSegments(e, uint64(memoryMiB)<<20)
}

// checkSegments: what is loaded lies between 1 MiB and the end of memory.
func checkSegments(e *elf.File, memory uint64) error {
	loaded := false
	for _, p := range e.Progs {
		if p.Type != elf.PT_LOAD || p.Filesz == 0 {
			continue
		}
		loaded = true
		switch end := p.Paddr + p.Memsz; {
		case p.Paddr < highMemory:
			return fmt.Errorf("a segment is loaded at 0x%x, below 1 MiB: Firecracker refuses that", p.Paddr)
		case end < p.Paddr || end > memory:
			return fmt.Errorf("a segment is loaded at 0x%x to 0x%x, beyond the guest's %d MiB", p.Paddr, end, memory>>20)
		}
	}
	if !loaded {
		return errors.New("an ELF file without a load segment: is it an object file?")
	}
	return nil
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
