// SPDX-License-Identifier: Apache-2.0

package reference

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// builtWith is the compiler whose output is committed; another one may choose
// other instructions and is no reason to fail.
const builtWith = "12.2.0"

const multibootMagic = 0x1badb002

func TestRebuildIsBitForBit(t *testing.T) {
	for _, tool := range []string{"make", "gcc", "ld", "objcopy"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is missing: install the packages gcc and make", tool)
		}
	}
	version, err := exec.Command("gcc", "-dumpfullversion").Output()
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(string(version)); got != builtWith {
		t.Skipf("gcc %s is missing (here is %s): the image can only be compared with its output", builtWith, got)
	}
	if out, err := exec.Command("make", "check").CombinedOutput(); err != nil {
		t.Errorf("reference.elf is not what src/ gives; run make -C guests/reference: %v\n%s", err, out)
	}
}

func openImage(t *testing.T) *elf.File {
	t.Helper()
	f, err := elf.NewFile(bytes.NewReader(Image()))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// A VMM may load by segments (PVH, Firecracker) or as a flat file (multiboot):
// one segment at 1 MiB that begins with the file itself serves both.
func TestImageLayout(t *testing.T) {
	f := openImage(t)
	if f.Class != elf.ELFCLASS64 || f.Machine != elf.EM_X86_64 || f.Type != elf.ET_EXEC {
		t.Errorf("image is %v %v %v, want a 64-bit x86 executable", f.Class, f.Machine, f.Type)
	}
	var loads int
	for _, p := range f.Progs {
		if p.Type != elf.PT_LOAD {
			continue
		}
		loads++
		if p.Off != 0 || p.Paddr != 1<<20 || p.Vaddr != p.Paddr || p.Memsz > 1<<20 {
			t.Errorf("segment %+v, want file offset 0 at 1 MiB, ending below 2 MiB", p.ProgHeader)
		}
		if f.Entry < p.Vaddr || f.Entry >= p.Vaddr+p.Filesz {
			t.Errorf("entry %#x lies outside of the image", f.Entry)
		}
	}
	if loads != 1 {
		t.Errorf("%d load segments, want 1", loads)
	}
	if n := len(image); n > 12<<10 {
		t.Errorf("image has %d bytes, want a few KiB", n)
	}
}

// pvhEntry returns the address in the XEN_ELFNOTE_PHYS32_ENTRY note.
func pvhEntry(f *elf.File) (uint32, error) {
	const phys32Entry = 18
	for _, p := range f.Progs {
		if p.Type != elf.PT_NOTE {
			continue
		}
		note := make([]byte, p.Filesz)
		if _, err := p.ReadAt(note, 0); err != nil {
			return 0, err
		}
		want := append(binary.LittleEndian.AppendUint32(
			binary.LittleEndian.AppendUint32(
				binary.LittleEndian.AppendUint32(nil, 4), 4), phys32Entry), "Xen\x00"...)
		if bytes.HasPrefix(note, want) && len(note) == len(want)+4 {
			return binary.LittleEndian.Uint32(note[len(want):]), nil
		}
	}
	return 0, fmt.Errorf("no note XEN_ELFNOTE_PHYS32_ENTRY")
}

func TestImageHasBothHeaders(t *testing.T) {
	entry, err := pvhEntry(openImage(t))
	if err != nil {
		t.Fatal(err)
	}
	if entry < 1<<20 || entry >= 1<<20+uint32(len(image)) {
		t.Errorf("PVH entry %#x lies outside of the image", entry)
	}
	at := multibootHeader(t)
	word := func(i int) uint32 { return binary.LittleEndian.Uint32(image[at+4*i:]) }
	if sum := word(0) + word(1) + word(2); sum != 0 {
		t.Errorf("multiboot checksum is off by %#x", sum)
	}
	if word(3) != 1<<20+uint32(at) || word(4) != 1<<20 {
		t.Errorf("multiboot header says %#x in an image at %#x, but lies at offset %#x", word(3), word(4), at)
	}
}

// multibootHeader returns where the header is: aligned, in the first 8 KiB.
func multibootHeader(t *testing.T) int {
	t.Helper()
	for at := 0; at+32 <= len(image) && at < 8<<10; at += 4 {
		if binary.LittleEndian.Uint32(image[at:]) == multibootMagic {
			return at
		}
	}
	t.Fatal("no multiboot header in the first 8 KiB")
	return 0
}

// The emulator in KVM knows no instruction that touches FPU or vector state.
func TestImageHasNoFloatingPoint(t *testing.T) {
	for _, tool := range []string{"make", "gcc", "objdump"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is missing: install the packages gcc and make", tool)
		}
	}
	code, err := exec.Command("make", "--no-print-directory", "disasm").CombinedOutput()
	if err != nil {
		t.Fatalf("make disasm: %v\n%s", err, code)
	}
	if n := bytes.Count(code, []byte("\n")); n < 500 {
		t.Fatalf("only %d lines of disassembly:\n%s", n, code)
	}
	vector := regexp.MustCompile(`%([xyz]mm|mm|st\b|k[0-7])|\t(f[a-z]+|xsave\w*|xrstor\w*|ldmxcsr|stmxcsr|emms)( |$)`)
	for line := range strings.Lines(string(code)) {
		if vector.MatchString(instruction(line)) {
			t.Errorf("floating point or vector instruction: %s", line)
		}
	}
}

// instruction returns the last column of a line of disassembly, after its tab.
func instruction(line string) string {
	return strings.TrimRight(line[max(0, strings.LastIndexByte(line, '\t')):], "\n")
}

// The Go constants repeat what the guest's header says.
func TestConstantsAreTheGuests(t *testing.T) {
	header, err := os.ReadFile("src/reference.h")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		fmt.Sprintf("#define PIO_PORT %#x ", PIOPort),
		fmt.Sprintf("#define DEBUG_EXIT_PORT %#x\n", DebugExitPort),
		fmt.Sprintf("#define DEBUG_EXIT_VALUE %#x ", DebugExitStatus>>1),
		fmt.Sprintf("#define CPUS_MAX %d\n", MaxCPUs),
		fmt.Sprintf("#define CMDLINE_MAX %d\n", MaxCmdlineBytes+1),
	} {
		if !bytes.Contains(header, []byte(want)) {
			t.Errorf("src/reference.h does not say %q", want)
		}
	}
}

func TestImageReturnsACopy(t *testing.T) {
	Image()[0] = 'x'
	if image[0] != 0x7f {
		t.Error("a change to Image's result changed the embedded image")
	}
}
