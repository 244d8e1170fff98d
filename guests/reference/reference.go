// SPDX-License-Identifier: Apache-2.0

// Package reference holds the reference guest: a unikernel of a few kilobytes
// with known answers. It does exactly what its command line says (so many port
// writes and CPUIDs on each of its CPUs, HLTs, touched pages, one ARP
// announcement, a TCP answer) and prints what it did, so that every count of an
// instrument can be checked.
//
// The package knows the image and the command line. It does not know how a VMM
// is started, nor how anything is measured. docs/systems/reference.md is the
// contract; the guest's source is in src/, and Makefile rebuilds the image bit
// for bit.
package reference

import _ "embed"

//go:embed reference.elf
var image []byte

// Image returns the guest's ELF file. The caller may keep and change the copy.
func Image() []byte {
	return append([]byte(nil), image...)
}

// Lines that the guest prints, as regular expressions for one line without its
// end.
const (
	// StartPattern matches the guest's first line; group 1 is its TSC, read by
	// the first instruction of the image.
	StartPattern = `^ukprobe-reference: start tsc=([0-9]+)$`
	// CountsPattern matches the guest's account of itself, the line before the
	// ready line; see ParseCounts.
	CountsPattern = `^ukprobe-reference: counts (.*)$`
	// ReadyPattern matches the line that makes the guest ready, and no other.
	ReadyPattern = `^ukprobe-reference: ready`
	// ErrorPattern matches the line of a guest that cannot do what it was told;
	// it takes its VM down then and is never ready.
	ErrorPattern = `^ukprobe-reference: (error: .*|not enough memory: .*)$`
)

const (
	// PIOPort is the first port that Cmdline.PIO writes to: CPU number k writes to
	// PIOPort + k. No device of QEMU's pc and
	// microvm machines and of Firecracker listens there or on the eight ports
	// after it, and no firmware uses them.
	PIOPort = 0x5f0
	// DebugExitPort is where EndExit writes first: QEMU's isa-debug-exit with
	// iobase=0xf4,iosize=4 ends QEMU with DebugExitStatus.
	DebugExitPort = 0xf4
	// DebugExitStatus is QEMU's exit status after EndExit on isa-debug-exit.
	// Without that device, and with -no-reboot, the status is 0.
	DebugExitStatus = 33
	// COM1 is the console's first port; it spans eight.
	COM1 = 0x3f8
	// DefaultPort is the TCP port answered unless Cmdline.Port says otherwise.
	DefaultPort = 7
	// Body is what the TCP port answers, and the body of its HTTP answer.
	Body = "ukprobe-reference\n"
)

// The guest's fixed overhead, in accesses. The counts line adds these up itself;
// they are constants so that a test can say what it expects.
const (
	// ConsoleSetupOuts is how many OUTs set the UART up, all within COM1..COM1+7.
	// One of them goes to COM1 itself, with DLAB set: a divisor, not a byte of
	// text. Each byte of text is exactly one more OUT.
	ConsoleSetupOuts = 7
	// InterruptSetupOuts are the OUTs that mask the 8259s, if HLT or a network
	// is asked for.
	InterruptSetupOuts = 2
	// InterruptSetupMMIO are the local APIC writes that go with them.
	InterruptSetupMMIO = 4
	// HLTMMIO are the local APIC writes per HLT: timer and end of interrupt.
	HLTMMIO = 2
	// APMMIO are the local APIC writes by which the boot CPU starts one other
	// CPU: INIT, SIPI and SIPI, two each.
	APMMIO = 6
	// APHLTs is how many HLTs each other CPU ends with, which is in no count.
	APHLTs = 1
	// HLTNs is how long one HLT sleeps at least, in nanoseconds.
	HLTNs = 10_000_000
)
