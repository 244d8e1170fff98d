// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"debug/elf"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/arch/x86/x86asm"
)

// library is an ELF file whose functions are followed.
type library struct {
	name    string
	code    code
	exports map[string][]uint64 // addresses of a function, one per version
	imports map[uint64]string   // of a slot that the loader fills: the function
	starts  map[uint64]bool     // where functions begin, exported or not
}

func openLibrary(path string) (*library, error) {
	e, err := elf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("library %s: %w", path, err)
	}
	defer e.Close()
	l := &library{name: filepath.Base(path), exports: map[string][]uint64{}, imports: map[uint64]string{}, starts: functionStarts(e)}
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if l.code, err = readCode(e, st.Size()); err != nil {
		return nil, fmt.Errorf("library %s: %w", path, err)
	}
	symbols, err := e.DynamicSymbols()
	if err != nil {
		return l, nil // it exports nothing
	}
	for _, s := range symbols {
		if t := elf.ST_TYPE(s.Info); s.Section != elf.SHN_UNDEF && (t == elf.STT_FUNC || t == elf.STT_GNU_IFUNC) {
			l.exports[s.Name] = append(l.exports[s.Name], s.Value)
		}
	}
	l.readSlots(e, symbols)
	return l, nil
}

// readSlots reads which slots the loader fills with which function: relocations
// R_X86_64_GLOB_DAT and R_X86_64_JMP_SLOT (psABI, section 4.4).
func (l *library) readSlots(e *elf.File, symbols []elf.Symbol) {
	for _, s := range e.Sections {
		if s.Type != elf.SHT_RELA || s.Size > maxCode { //nolint:misspell // its name
			continue
		}
		raw, err := s.Data()
		if err != nil {
			continue
		}
		const size = 24 // of an entry
		for ; len(raw) >= size; raw = raw[size:] {
			info := e.ByteOrder.Uint64(raw[8:])
			kind, sym := elf.R_X86_64(info&0xffffffff), info>>32
			if (kind == elf.R_X86_64_GLOB_DAT || kind == elf.R_X86_64_JMP_SLOT) && sym > 0 && sym <= uint64(len(symbols)) {
				l.imports[e.ByteOrder.Uint64(raw)] = symbols[sym-1].Name // debug/elf leaves the first, empty symbol out
			}
		}
	}
}

// functionStarts reads them from the table by which exceptions find their function
// (.eh_frame_hdr: LSB Core, section 10.6.2), which stripping leaves. Other encodings
// of it than what linkers write are not read.
func functionStarts(e *elf.File) map[uint64]bool {
	starts := map[uint64]bool{}
	s := e.Section(".eh_frame_hdr")
	if s == nil || s.Size > maxCode {
		return starts
	}
	raw, err := s.Data()
	const head = 12 // version and three encodings, pointer to .eh_frame, count
	if err != nil || len(raw) < head || raw[0] != 1 || raw[1] != 0x1b || raw[2] != 0x03 || raw[3] != 0x3b {
		return starts
	}
	for raw = raw[head:]; len(raw) >= 8; raw = raw[8:] { // pairs of offsets from the section: function, its entry
		starts[s.Addr+uint64(int64(int32(e.ByteOrder.Uint32(raw))))] = true
	}
	return starts
}

// graph is which functions call which, as far as it has been asked for.
type graph struct {
	libs      []*library // in the loader's order
	functions map[place]*function
}

// place is where a function begins.
type place struct {
	lib  *library
	addr uint64
}

// function is what is in a function itself.
type function struct {
	numbers map[int]bool // of its system calls
	calls   map[place]bool

	at   place
	seen map[uint64]bool // addresses of instructions
	todo []jump          // where to go on
}

// jump is where to go on, with what is known there by the first way that leads to it.
type jump struct {
	to   uint64
	regs registers
}

// exported is the function of that name in the first library that has it, as the
// loader would look; one place for each version of it.
func (g *graph) exported(name string) []place {
	for _, l := range g.libs {
		if addrs, ok := l.exports[name]; ok {
			out := make([]place, len(addrs))
			for i, a := range addrs {
				out[i] = place{l, a}
			}
			return out
		}
	}
	return nil
}

// reach is which system calls the function of that name leads to by direct calls.
func (g *graph) reach(name string) []int {
	todo := g.exported(name)
	seen, numbers := map[place]bool{}, map[int]bool{}
	for len(todo) > 0 {
		at := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[at] {
			continue
		}
		seen[at] = true
		f := g.function(at)
		maps.Copy(numbers, f.numbers)
		todo = slices.AppendSeq(todo, maps.Keys(f.calls))
	}
	return slices.Sorted(maps.Keys(numbers))
}

// function goes through a function, once.
func (g *graph) function(at place) *function {
	if f, ok := g.functions[at]; ok {
		return f
	}
	f := &function{numbers: map[int]bool{}, calls: map[place]bool{}, at: at, seen: map[uint64]bool{}, todo: []jump{{to: at.addr}}}
	for len(f.todo) > 0 {
		next := f.todo[len(f.todo)-1]
		f.todo = f.todo[:len(f.todo)-1]
		f.run(g, next.to, next.regs)
	}
	f.seen = nil
	g.functions[at] = f
	return f
}

// run follows instructions until they go elsewhere for good.
func (f *function) run(g *graph, at uint64, regs registers) {
	begun := at
	for b := f.at.lib.code.at(at); len(b) > 0 && !f.seen[at]; {
		if at != begun && f.at.lib.starts[at] {
			return // the call before it does not return
		}
		f.seen[at] = true
		inst, err := x86asm.Decode(b, 64)
		if err != nil || inst.Len == 0 {
			return
		}
		next := at + uint64(inst.Len)
		if n, ok := regs.eax(); ok && isSyscall(inst) {
			f.numbers[n] = true
		}
		f.branch(g, inst, next, regs)
		if inst.Op == x86asm.JMP || inst.Op == x86asm.RET || inst.Op == x86asm.HLT || inst.Op == x86asm.UD2 {
			return
		}
		regs.step(inst)
		b, at = b[inst.Len:], next
	}
}

// branch notes where an instruction can go besides the next.
func (f *function) branch(g *graph, inst x86asm.Inst, next uint64, regs registers) {
	switch a := inst.Args[0].(type) {
	case x86asm.Rel:
		target := uint64(int64(next) + int64(a))
		if inst.Op == x86asm.CALL {
			f.calls[place{f.at.lib, target}] = true
		} else {
			f.todo = append(f.todo, jump{target, regs})
		}
	case x86asm.Mem: // through a slot that the loader fills, as the PLT does
		if (inst.Op != x86asm.CALL && inst.Op != x86asm.JMP) || a.Base != x86asm.RIP {
			return
		}
		if name, ok := f.at.lib.imports[uint64(int64(next)+a.Disp)]; ok {
			for _, p := range g.exported(name) {
				f.calls[p] = true
			}
		}
	}
}
