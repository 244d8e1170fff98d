// SPDX-License-Identifier: Apache-2.0

package reference

import (
	"bytes"
	"encoding/binary"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// wantCounts is what a guest without a network must say of itself, from the
// contract's fixed overheads and what was on the console before the counts.
func wantCounts(c Cmdline, boot string, before []string) Counts {
	cpus := uint64(max(c.CPUs, 1))
	want := Counts{
		Boot: boot, PIO: cpus * uint64(c.PIO), CPUID: cpus * uint64(c.CPUID), HLT: uint64(c.HLT),
		Pages: uint64(c.MemMiB) * 256, MMIO: APMMIO * (cpus - 1), CPUs: cpus,
	}
	for _, line := range before {
		want.Console += uint64(len(line)) + 1
	}
	want.PortIO = ConsoleSetupOuts + want.Console + want.PIO
	if c.HLT > 0 {
		want.PortIO += InterruptSetupOuts
		want.MMIO += InterruptSetupMMIO + HLTMMIO*want.HLT
	}
	return want
}

func checkBoot(t *testing.T, c Cmdline, boot string, lines []string) {
	t.Helper()
	if len(lines) != 3 {
		t.Fatalf("%d lines on the console, want start, counts, ready:\n%s", len(lines), strings.Join(lines, "\n"))
	}
	start, counts, ready := find(t, lines[:1], StartPattern), find(t, lines[1:2], CountsPattern), find(t, lines[2:], ReadyPattern)
	got, err := ParseCounts(counts)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wantCounts(c, boot, []string{start}), got); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	if tsc(t, ready) <= tsc(t, start) {
		t.Errorf("the TSC did not advance: %q, then %q", start, ready)
	}
}

func tsc(t *testing.T, line string) uint64 {
	t.Helper()
	_, digits, _ := strings.Cut(line, "tsc=")
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	return n
}

func TestBoot(t *testing.T) {
	kernel := writeImage(t, Image())
	c := Cmdline{PIO: 1000, CPUID: 321, HLT: 20, MemMiB: 3, End: EndExit}
	for machine := range machines {
		for accel := range accelerators {
			t.Run(machine+"/"+accel, func(t *testing.T) {
				needAccel(t, accel)
				lines, status := run(t, qemuArgs(machine, accel, kernel, c.String()))
				checkBoot(t, c, "multiboot", lines)
				if status != 0 {
					t.Errorf("QEMU's exit status is %d, want 0", status)
				}
			})
		}
	}
}

// withoutMultiboot returns the image with the multiboot magic spoilt: QEMU then
// takes the PVH entry, as loaders do that know no multiboot.
func withoutMultiboot(t *testing.T) []byte {
	data := Image()
	copy(data[multibootHeader(t):], "\x00\x00\x00\x00")
	return data
}

func TestBootPVH(t *testing.T) {
	kernel := writeImage(t, withoutMultiboot(t))
	c := Cmdline{PIO: 7, HLT: 2, MemMiB: 13, End: EndExit}
	for _, tc := range []struct{ machine, accel string }{{"microvm", "tcg"}, {"microvm", "kvm"}, {"pc", "tcg"}} {
		t.Run(tc.machine+"/"+tc.accel, func(t *testing.T) {
			needAccel(t, tc.accel)
			lines, _ := run(t, qemuArgs(tc.machine, tc.accel, kernel, c.String()))
			checkBoot(t, c, "pvh", lines)
		})
	}
}

func TestExitThroughDebugExit(t *testing.T) {
	needAccel(t, "tcg")
	kernel := writeImage(t, Image())
	for machine := range machines {
		t.Run(machine, func(t *testing.T) {
			_, status := run(t, qemuArgs(machine, "tcg", kernel, "end=exit",
				"-device", "isa-debug-exit,iobase=0xf4,iosize=4"))
			if status != DebugExitStatus {
				t.Errorf("exit status %d, want %d", status, DebugExitStatus)
			}
		})
	}
}

// A guest that crashes ends its VM, and an early one was never ready.
func TestCrash(t *testing.T) {
	kernel := writeImage(t, Image())
	for _, tc := range []struct {
		name  string
		in    Cmdline
		ready bool
	}{
		{"end", Cmdline{End: EndCrash}, true},
		{"gp", Cmdline{End: EndCrash, CrashGP: true}, true},
		{"early", Cmdline{CrashEarly: true}, false},
	} {
		for accel := range accelerators {
			t.Run(tc.name+"/"+accel, func(t *testing.T) {
				needAccel(t, accel)
				lines, status := run(t, qemuArgs("microvm", accel, kernel, tc.in.String()))
				if status != 0 || has(lines, ReadyPattern) != tc.ready {
					t.Errorf("status %d, ready %v, want 0, %v:\n%s", status, !tc.ready, tc.ready, strings.Join(lines, "\n"))
				}
			})
		}
	}
}

// What the guest cannot do it says, and then takes the VM down unready.
func TestRefusals(t *testing.T) {
	needAccel(t, "tcg")
	kernel := writeImage(t, Image())
	for _, tc := range []struct{ name, cmdline, want string }{
		{"memory", "mem=15", "ukprobe-reference: not enough memory: need 15 MiB, have 14 MiB"},
		{"number", "pio=12x", "ukprobe-reference: error: cannot read the value of pio=12x"},
		{"empty number", "hlt=", "ukprobe-reference: error: cannot read the value of hlt="},
		{"too large", "cpuid=4294967296", "ukprobe-reference: error: cannot read the value of cpuid=4294967296"},
		{"no CPU", "cpus=0", "ukprobe-reference: error: cannot read the value of cpus=0"},
		{"nine CPUs", "cpus=9", "ukprobe-reference: error: cannot read the value of cpus=9"},
		{"address", "ip=1.2.3.256", "ukprobe-reference: error: cannot read the value of ip=1.2.3.256"},
		{"prefix", "ip=1.2.3.4/33", "ukprobe-reference: error: cannot read the value of ip=1.2.3.4/33"},
		{"port", "port=0", "ukprobe-reference: error: cannot read the value of port=0"},
		{"end", "end=never", "ukprobe-reference: error: cannot read the value of end=never"},
		{"no device", "ip=1.2.3.4/24", "ukprobe-reference: error: no virtio network device: give the VM one or leave out ip="},
	} {
		t.Run(tc.name, func(t *testing.T) {
			lines, _ := run(t, qemuArgs("microvm", "tcg", kernel, tc.cmdline))
			if got := find(t, lines, ErrorPattern); got != tc.want {
				t.Errorf("the guest says %q, want %q", got, tc.want)
			}
			if has(lines, ReadyPattern) {
				t.Error("the guest says that it is ready")
			}
		})
	}
}

func TestUnknownWordsAreReported(t *testing.T) {
	needAccel(t, "tcg")
	kernel := writeImage(t, Image())
	lines, _ := run(t, qemuArgs("microvm", "tcg", kernel, "quiet  pio=4294967295 pio=2\troot=/dev/vda end=exit"))
	want := []string{"ukprobe-reference: unknown word 'quiet'", "ukprobe-reference: unknown word 'root=/dev/vda'"}
	if diff := cmp.Diff(want, lines[1:len(lines)-2]); diff != "" {
		t.Error(diff)
	}
	counts, err := ParseCounts(find(t, lines, CountsPattern))
	if err != nil {
		t.Fatal(err)
	}
	if counts.PIO != 2 {
		t.Errorf("pio=%d, want the last word's 2", counts.PIO)
	}
	find(t, lines, ReadyPattern)
}

// The memory that a refusal speaks of can all be had: 16 MiB without the first
// two, and on pc without the last, of which SeaBIOS keeps a part.
func TestAllMemoryCanBeTouched(t *testing.T) {
	needAccel(t, "tcg")
	kernel := writeImage(t, Image())
	for machine, mib := range map[string]int{"microvm": 14, "pc": 13} {
		c := Cmdline{MemMiB: mib, End: EndExit}
		lines, _ := run(t, qemuArgs(machine, "tcg", kernel, c.String()))
		checkBoot(t, c, "multiboot", lines)
	}
}

// The entry point is 64-bit code for Linux' boot protocol, and begins with the
// same rdtsc as the other two.
func TestEntriesBeginWithRDTSC(t *testing.T) {
	f := openImage(t)
	pvh, err := pvhEntry(f)
	if err != nil {
		t.Fatal(err)
	}
	multiboot := binary.LittleEndian.Uint32(image[multibootHeader(t)+7*4:])
	for name, entry := range map[string]uint32{"pvh": pvh, "multiboot": multiboot, "linux64": uint32(f.Entry)} {
		if at := image[entry-1<<20:]; !bytes.HasPrefix(at, []byte{0x0f, 0x31}) {
			t.Errorf("%s entry begins with % x, want rdtsc", name, at[:2])
		}
	}
}
