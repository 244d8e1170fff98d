// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ukprobe/ukprobe/guests/reference"
)

// vm is a VM that ukprobe did not start.
type vm struct {
	t       *testing.T
	cmd     *exec.Cmd
	console buffer
	done    chan struct{}
}

// startVM starts QEMU under KVM with a name and a kernel; the name may be "".
func startVM(t *testing.T, name, kernel, cmdline string) *vm {
	t.Helper()
	v := newVM(t, name, kernel, cmdline)
	v.start()
	return v
}

func newVM(t *testing.T, name, kernel, cmdline string) *vm {
	t.Helper()
	qemu := needProgram(t, "qemu-system-x86_64", "qemu-system-x86")
	v := &vm{t: t, done: make(chan struct{})}
	cpu := "host"
	if !inside() {
		cpu += ",-arch-capabilities" // KVM without hardware behind it refuses it
	}
	v.cmd = exec.Command(qemu, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-m", "16",
		"-M", "microvm,acpi=off,pit=off,pic=off,rtc=off,x-option-roms=off", "-accel", "kvm", "-cpu", cpu,
		"-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-serial", "stdio", "-kernel", kernel)
	if cmdline != "" {
		v.cmd.Args = append(v.cmd.Args, "-append", cmdline)
	}
	if name != "" {
		v.cmd.Args = append(v.cmd.Args, "-name", name)
	}
	v.cmd.Stdout, v.cmd.Stderr = &v.console, &v.console
	v.cmd.SysProcAttr = &syscall.SysProcAttr{}
	return v
}

func (v *vm) start() {
	v.t.Helper()
	if err := v.cmd.Start(); err != nil {
		v.t.Fatal(err)
	}
	go func() { _ = v.cmd.Wait(); close(v.done) }()
	v.t.Cleanup(v.kill)
}

// startReference starts the reference guest.
func startReference(t *testing.T, name string, c reference.Cmdline) *vm {
	t.Helper()
	image, err := referenceImage()
	if err != nil {
		t.Fatal(err)
	}
	return startVM(t, name, image, c.String())
}

func (v *vm) pid() int { return v.cmd.Process.Pid }

func (v *vm) kill() {
	_ = v.cmd.Process.Kill()
	<-v.done
}

// ready waits for the guest's ready line.
func (v *vm) ready() *vm {
	v.t.Helper()
	v.wait("its ready line", func() bool { return strings.Contains(v.console.String(), "ukprobe-reference: ready") })
	return v
}

func (v *vm) end() *vm {
	v.t.Helper()
	v.wait("its end", func() bool {
		select {
		case <-v.done:
			return true
		default:
			return false
		}
	})
	return v
}

func (v *vm) wait(what string, so func() bool) {
	v.t.Helper()
	for end := time.Now().Add(patience(30 * time.Second)); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			v.t.Fatalf("the guest does not come to %s:\n%s", what, v.console.String())
		}
	}
}

// counts is the guest's own account.
func (v *vm) counts() reference.Counts {
	v.t.Helper()
	for line := range strings.Lines(v.console.String()) {
		if c, err := reference.ParseCounts(strings.TrimRight(line, "\r\n")); err == nil {
			return c
		}
	}
	v.t.Fatalf("no counts line:\n%s", v.console.String())
	return reference.Counts{}
}

// The flooding guest writes a byte to each of floodPorts ports, floodRounds times
// over, and ends QEMU. No device of a microvm listens on any of them.
const (
	floodFirst  = 0x2000
	floodPorts  = 0x5000
	floodRounds = 2
)

// floodImage writes that guest: an ELF file that QEMU starts by PVH, in 32-bit
// protected mode.
func floodImage(t *testing.T) string {
	t.Helper()
	le := binary.LittleEndian
	const base, headers = 0x100000, 52 + 2*32 // where it is loaded; file header and two program headers
	u32 := func(op byte, v uint32) []byte { return le.AppendUint32([]byte{op}, v) }
	body := bytes.Join([][]byte{
		{0xee},       // out dx, al
		{0x42},       // inc edx
		{0x49},       // dec ecx
		{0x75, 0xfb}, // jnz body: -5
	}, nil)
	round := bytes.Join([][]byte{
		u32(0xba, floodFirst), // mov edx, first port
		u32(0xb9, floodPorts), // mov ecx, how many
		body,
		{0x4e}, // dec esi
	}, nil)
	code := bytes.Join([][]byte{
		u32(0xbe, floodRounds), // mov esi, rounds
		round,
		{0x75, byte(-(len(round) + 2))},    // jnz round
		u32(0xba, reference.DebugExitPort), // mov edx, isa-debug-exit
		u32(0xb8, 0x10),                    // mov eax, 16
		{0xef},                             // out dx, eax
		{0xf4},                             // hlt
		{0xeb, 0xfd},                       // jmp hlt
	}, nil)
	// The note that tells QEMU the entry point: owner "Xen", type 18
	// (XEN_ELFNOTE_PHYS32_ENTRY, xen/interface/elfnote.h).
	note := le.AppendUint32(nil, 4) // length of the owner
	note = le.AppendUint32(note, 8) // of the address; QEMU reads eight bytes
	note = le.AppendUint32(note, 18)
	note = append(note, "Xen\x00"...)
	entry := uint32(base + headers + 12 + 4 + 8)
	note = le.AppendUint64(note, uint64(entry))
	size := uint32(headers + len(note) + len(code))
	header := append([]byte{0x7f, 'E', 'L', 'F', 1, 1, 1}, make([]byte, 9)...) // 32 bits, little-endian
	header = le.AppendUint16(header, 2)                                        // ET_EXEC
	header = le.AppendUint16(header, 3)                                        // EM_386
	for _, v := range []uint32{1, entry, 52, 0, 0} {                           // version, entry, program headers, no sections, flags
		header = le.AppendUint32(header, v)
	}
	for _, v := range []uint16{52, 32, 2, 40, 0, 0} { // sizes and numbers of headers
		header = le.AppendUint16(header, v)
	}
	for _, v := range []uint32{
		1, 0, base, base, size, size, 7, 0x1000, // PT_LOAD: all of the file
		4, headers, base + headers, base + headers, uint32(len(note)), uint32(len(note)), 4, 4, // PT_NOTE
	} {
		header = le.AppendUint32(header, v)
	}
	path := filepath.Join(t.TempDir(), "flood.elf")
	if err := os.WriteFile(path, bytes.Join([][]byte{header, note, code}, nil), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
