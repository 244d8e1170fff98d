// SPDX-License-Identifier: Apache-2.0

package system

import (
	"cmp"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/ukprobe/ukprobe/probe"
)

// elfSegments takes the executable load segments, at the physical addresses at
// which the VMM puts them and, where they differ, at the virtual ones.
func elfSegments(r io.ReaderAt) ([]probe.Segment, error) {
	e, err := elf.NewFile(r)
	if err != nil {
		return nil, fmt.Errorf("damaged ELF file: %w", err)
	}
	if e.Machine != elf.EM_X86_64 && e.Machine != elf.EM_386 {
		return nil, fmt.Errorf("built for %s: an x86 guest is needed", e.Machine)
	}
	var out []probe.Segment
	for _, p := range e.Progs {
		if p.Type != elf.PT_LOAD || p.Flags&elf.PF_X == 0 || p.Memsz == 0 {
			continue
		}
		if p.Paddr+p.Memsz < p.Paddr || p.Vaddr+p.Memsz < p.Vaddr {
			return nil, fmt.Errorf("damaged ELF file: a load segment of %d bytes ends beyond the last address", p.Memsz)
		}
		stage := stageOf(p)
		out = append(out, probe.Segment{Lo: p.Paddr, Hi: p.Paddr + p.Memsz, Stage: stage})
		if p.Vaddr != p.Paddr {
			out = append(out, probe.Segment{Lo: p.Vaddr, Hi: p.Vaddr + p.Memsz, Stage: stage})
		}
	}
	if len(out) == 0 {
		return nil, errors.New("ELF file without an executable load segment: is it an object file?")
	}
	return merge(out), nil
}

// stageOf tells an uncompressed Linux kernel (vmlinux, for PVH or an entry in
// 64-bit mode) from a unikernel by where it is linked. The code that it begins
// with, at physical addresses, is the kernel's own: there is no decompressor.
func stageOf(p *elf.Prog) probe.Stage {
	if p.Vaddr >= linuxText.Lo && p.Vaddr < linuxText.Hi && p.Paddr != p.Vaddr {
		return probe.StageKernel
	}
	return probe.StageImage
}

// merge sorts segments and joins those of one stage that touch, since a watch
// takes only a few.
func merge(segs []probe.Segment) []probe.Segment {
	slices.SortFunc(segs, func(a, b probe.Segment) int { return cmp.Compare(a.Lo, b.Lo) })
	out := segs[:1]
	for _, s := range segs[1:] {
		if last := &out[len(out)-1]; s.Lo <= last.Hi && s.Stage == last.Stage {
			last.Hi = max(last.Hi, s.Hi)
			continue
		}
		out = append(out, s)
	}
	return out
}
