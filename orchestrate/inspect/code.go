// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"debug/elf"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/arch/x86/x86asm"
)

// code is the executable sections of an ELF file for x86-64.
type code struct{ sections []span }

// span is bytes at an address.
type span struct {
	addr  uint64
	bytes []byte
}

// readCode reads the executable sections of an x86-64 file, or without sections its
// executable segments; of other machines none. There cannot be more of it than the
// file has bytes.
func readCode(e *elf.File, fileSize int64) (code, error) {
	var c code
	if e.Machine != elf.EM_X86_64 {
		return c, nil
	}
	total, most := uint64(0), min(uint64(fileSize), maxCode)
	add := func(addr, size uint64, data func() ([]byte, error)) error {
		if total += size; size > most || total > most {
			return fmt.Errorf("damaged ELF file: more than %d bytes of code: %w", most, errTooLarge)
		}
		b, err := data()
		if err != nil {
			return fmt.Errorf("damaged ELF file: code: %w", err)
		}
		c.sections = append(c.sections, span{addr, b})
		return nil
	}
	for _, s := range e.Sections {
		if s.Type == elf.SHT_PROGBITS && s.Flags&(elf.SHF_EXECINSTR|elf.SHF_COMPRESSED) == elf.SHF_EXECINSTR {
			if err := add(s.Addr, s.Size, s.Data); err != nil {
				return c, err
			}
		}
	}
	if c.sections != nil {
		return c, nil
	}
	for _, p := range e.Progs {
		if p.Type == elf.PT_LOAD && p.Flags&elf.PF_X != 0 {
			if err := add(p.Vaddr, p.Filesz, func() ([]byte, error) { return readAll(p.Open(), p.Filesz, maxCode) }); err != nil {
				return c, err
			}
		}
	}
	return c, nil
}

// at is the code from an address to the end of its section.
func (c code) at(addr uint64) []byte {
	for _, s := range c.sections {
		if addr >= s.addr && addr-s.addr < uint64(len(s.bytes)) {
			return s.bytes[addr-s.addr:]
		}
	}
	return nil
}

// sweep goes through all code from beginning to end and returns the numbers of the
// system calls in it, sorted, and how many have a number that is not in sight.
func (c code) sweep() (numbers []int, unknown int) {
	found := map[int]bool{}
	for _, s := range c.sections {
		var regs registers
		for b := s.bytes; len(b) > 0; {
			inst, err := x86asm.Decode(b, 64)
			if err != nil || inst.Len == 0 {
				b, regs = b[1:], registers{}
				continue
			}
			if isSyscall(inst) {
				if n, ok := regs.eax(); ok {
					found[n] = true
				} else {
					unknown++
				}
			}
			regs.step(inst)
			b = b[inst.Len:]
		}
	}
	return slices.Sorted(maps.Keys(found)), unknown
}

// isSyscall: SYSCALL and SYSENTER. `int 0x80` has other numbers, and no program for
// x86-64 means it.
func isSyscall(inst x86asm.Inst) bool { return inst.Op == x86asm.SYSCALL || inst.Op == x86asm.SYSENTER }

// registers is what is known of the general registers: constants.
type registers [16]struct {
	known bool
	value int
}

// eax is the number of a system call, if it is in sight.
func (r *registers) eax() (int, bool) { return r[0].value, r[0].known }

// clobbered are the registers, by number, that a call does not preserve (psABI,
// section 3.2.1): rax, rcx, rdx, rsi, rdi, r8 to r11.
var clobbered = []int{0, 1, 2, 6, 7, 8, 9, 10, 11}

func (r *registers) forget(numbers ...int) {
	for _, n := range numbers {
		r[n].known = false
	}
}

// step is what an instruction does to what is known.
func (r *registers) step(inst x86asm.Inst) {
	switch inst.Op {
	case x86asm.CALL, x86asm.SYSCALL, x86asm.SYSENTER:
		r.forget(clobbered...)
		return
	case x86asm.RET, x86asm.JMP:
		*r = registers{}
		return
	case x86asm.CPUID:
		r.forget(0, 1, 2, 3)
		return
	case x86asm.RDTSC, x86asm.MUL, x86asm.DIV, x86asm.IDIV, x86asm.CDQ, x86asm.CQO, x86asm.XGETBV:
		r.forget(0, 2)
		return
	case x86asm.CDQE, x86asm.CWDE, x86asm.CBW, x86asm.CMPXCHG, x86asm.LODSB, x86asm.LODSD, x86asm.LODSQ, x86asm.IN:
		r.forget(0)
	case x86asm.CMP, x86asm.TEST, x86asm.PUSH, x86asm.BT, x86asm.NOP:
		return
	case x86asm.XCHG, x86asm.XADD:
		if n, ok := number(inst.Args[1]); ok {
			r.forget(n)
		}
	case x86asm.IMUL:
		if inst.Args[1] == nil { // the form with one operand
			r.forget(0, 2)
		}
	}
	if n, ok := number(inst.Args[0]); ok {
		r.set(n, inst)
	}
}

// set is an instruction that writes to a register.
func (r *registers) set(n int, inst x86asm.Inst) {
	was := *r
	r.forget(n)
	from, fromRegister := number(inst.Args[1])
	switch imm, isImm := inst.Args[1].(x86asm.Imm); {
	case !whole(inst.Args[0]): // a part of it
	case inst.Op == x86asm.MOV && isImm && imm >= 0 && imm < 1<<31:
		r[n].known, r[n].value = true, int(imm)
	case inst.Op == x86asm.MOV && fromRegister && whole(inst.Args[1]):
		r[n] = was[from]
	case inst.Op == x86asm.XOR && fromRegister && from == n:
		r[n].known, r[n].value = true, 0
	}
}

// whole: all of a register, or its lower half, the writing of which clears the upper.
func whole(a x86asm.Arg) bool {
	r, ok := a.(x86asm.Reg)
	return ok && r >= x86asm.EAX && r <= x86asm.R15
}

// number is a general register's, 0 for rax and any part of it.
func number(a x86asm.Arg) (int, bool) {
	r, ok := a.(x86asm.Reg)
	switch {
	case !ok:
		return 0, false
	case r >= x86asm.RAX && r <= x86asm.R15:
		return int(r - x86asm.RAX), true
	case r >= x86asm.EAX && r <= x86asm.R15L:
		return int(r - x86asm.EAX), true
	case r >= x86asm.AX && r <= x86asm.R15W:
		return int(r - x86asm.AX), true
	case r >= x86asm.AL && r <= x86asm.BL:
		return int(r - x86asm.AL), true
	case r >= x86asm.AH && r <= x86asm.BH:
		return int(r - x86asm.AH), true
	case r >= x86asm.SPB && r <= x86asm.R15B:
		return int(r-x86asm.SPB) + 4, true
	}
	return 0, false
}
