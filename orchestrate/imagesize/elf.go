// SPDX-License-Identifier: Apache-2.0

package imagesize

import (
	"bytes"
	"cmp"
	"debug/dwarf"
	"debug/elf"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// sections are the bytes of an ELF file's sections by what they are for. Those in
// memory are told apart as size(1) does, but with what is only read apart from text.
type sections struct {
	text, rodata, data int64 // in the file and in memory
	bss                int64 // in memory only
	debug, symbols     int64 // in the file only: what strip takes away
}

// sectionsOf adds the sections up.
func sectionsOf(e *elf.File) sections {
	var s sections
	for _, x := range e.Sections {
		n := int64(x.FileSize)
		switch {
		case x.Type == elf.SHT_NULL:
		case x.Flags&elf.SHF_ALLOC != 0 && x.Type == elf.SHT_NOBITS:
			if x.Flags&elf.SHF_TLS == 0 { // a template's: each thread has its own
				s.bss += int64(x.Size)
			}
		case x.Flags&elf.SHF_ALLOC != 0 && x.Flags&elf.SHF_EXECINSTR != 0:
			s.text += n
		case x.Flags&elf.SHF_ALLOC != 0 && x.Flags&elf.SHF_WRITE != 0:
			s.data += n
		case x.Flags&elf.SHF_ALLOC != 0:
			s.rodata += n
		case isDebug(x.Name):
			s.debug += n
		case x.Type == elf.SHT_SYMTAB || x.Name == ".strtab" || strings.HasPrefix(x.Name, ".rel"):
			s.symbols += n
		}
	}
	return s
}

// isDebug goes by the names that binutils' strip goes by (bfd, elf.c: SEC_DEBUGGING).
func isDebug(name string) bool {
	for _, prefix := range []string{".debug", ".zdebug", ".gnu.debug", ".stab", ".line", ".gdb_index", ".gnu.linkonce.wi."} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// strippable are the bytes that strip takes away. What is linked against relocations,
// such as a kernel's module, needs its symbols.
func (s sections) strippable(e *elf.File) int64 {
	if e.Type == elf.ET_REL {
		return s.debug
	}
	return s.debug + s.symbols
}

// values notes the sections of an ELF file under a prefix, and whether it is stripped.
func (m *measurer) sections(prefix string, e *elf.File) {
	if len(e.Sections) == 0 {
		m.lacks(prefix+"text_bytes", "the ELF file has no section headers")
		return
	}
	s := sectionsOf(e)
	for name, n := range map[string]int64{"text": s.text, "rodata": s.rodata, "data": s.data, "bss": s.bss, "debug": s.debug, "symbols": s.symbols} {
		m.value(prefix+name+"_bytes", n)
	}
	m.out.Facts[prefix+"stripped"] = stripped(s)
	m.built(e)
}

func stripped(s sections) string {
	switch {
	case s.debug > 0 && s.symbols > 0:
		return "no: symbols and debug information"
	case s.debug > 0:
		return "no: debug information"
	case s.symbols > 0:
		return "no: symbols"
	}
	return "yes"
}

// Bounds of what is read to learn how a file was built, in bytes, and of DWARF's
// compilation units.
const (
	maxText  = 1 << 20
	maxUnits = 100_000
)

// built notes what a file says of its compiler: .comment, the switches that
// -frecord-gcc-switches keeps, and DWARF's producer.
func (m *measurer) built(e *elf.File) {
	if text := sectionText(e, ".comment"); text != "" && m.out.Facts["compiler"] == "" {
		m.out.Facts["compiler"] = text
	}
	if text := sectionText(e, ".GCC.command.line"); text != "" {
		m.producers[text]++
	}
	d, err := e.DWARF()
	if err != nil {
		return
	}
	r := d.Reader()
	for range maxUnits {
		entry, err := r.Next()
		if err != nil || entry == nil {
			break
		}
		if p, ok := entry.Val(dwarf.AttrProducer).(string); ok {
			m.producers[p]++
		}
		r.SkipChildren()
	}
}

// sectionText is a section's texts, each once, joined by commas; "" if there is none.
func sectionText(e *elf.File, name string) string {
	s := e.Section(name)
	if s == nil || s.Size > maxText {
		return ""
	}
	raw, err := io.ReadAll(io.LimitReader(s.Open(), maxText))
	if err != nil {
		return ""
	}
	var out []string
	for _, part := range bytes.Split(raw, []byte{0}) {
		text := strings.TrimSpace(strings.ToValidUTF8(string(part), "\uFFFD"))
		if text != "" && !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return strings.Join(out, ", ")
}

// flagPattern are the switches that make code smaller or faster: levels, link-time
// optimisation, and what dead-code elimination needs (GCC's manual, 3.11).
var flagPattern = regexp.MustCompile(`(?:^|\s)(-O(?:[0-3sgz]|fast)?|-flto(?:=\S+)?|-ffunction-sections|-fdata-sections|-Wl,--gc-sections)(?:\s|$)`)

// optimisations are the switches in what compilers noted of themselves, the most
// frequent first: one that is not in every compilation unit with how many it is in.
func optimisations(producers map[string]int) string {
	units, in := 0, map[string]int{}
	for p, n := range producers {
		units += n
		words := strings.Fields(p)
		slices.Sort(words)
		for _, word := range slices.Compact(words) {
			if flagPattern.MatchString(word) {
				in[word] += n
			}
		}
	}
	flags := slices.SortedFunc(maps.Keys(in), func(a, b string) int { return cmp.Or(cmp.Compare(in[b], in[a]), cmp.Compare(a, b)) })
	for i, f := range flags {
		if in[f] < units {
			flags[i] = fmt.Sprintf("%s (%d of %d units)", f, in[f], units)
		}
	}
	return strings.Join(flags, " ")
}
