// SPDX-License-Identifier: Apache-2.0

package reference

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// portLogs puts a device on each CPU's port that writes down every byte, and
// returns the files and QEMU's arguments.
func portLogs(t *testing.T, cpus int) (files, args []string) {
	t.Helper()
	dir := t.TempDir()
	for i := range cpus {
		file := filepath.Join(dir, strconv.Itoa(i))
		files = append(files, file)
		args = append(args, "-chardev", fmt.Sprintf("file,id=log%d,path=%s", i, file),
			"-device", fmt.Sprintf("isa-debugcon,iobase=%#x,chardev=log%d", PIOPort+i, i))
	}
	return files, args
}

// Each CPU writes to its own port what it was told to, seen by a device of
// QEMU's; and the counts line adds all of them up.
func TestCPUs(t *testing.T) {
	kernel := writeImage(t, Image())
	var want []byte
	for i := range 1000 {
		want = append(want, byte(i))
	}
	for machine := range machines {
		for accel := range accelerators {
			for _, cpus := range []int{1, 4, MaxCPUs} {
				if machine == "pc" && accel == "kvm" && cpus != 4 {
					continue // ten seconds of SeaBIOS where KVM only emulates
				}
				t.Run(fmt.Sprintf("%s/%s/%d", machine, accel, cpus), func(t *testing.T) {
					needAccel(t, accel)
					c := Cmdline{CPUs: cpus, PIO: len(want), CPUID: 500, HLT: 3, MemMiB: 3, End: EndExit}
					files, args := portLogs(t, MaxCPUs)
					args = append(args, "-smp", strconv.Itoa(max(cpus, 4)))
					lines, _ := run(t, qemuArgs(machine, accel, kernel, c.String(), args...))
					checkBoot(t, c, "multiboot", lines)
					checkPortLogs(t, files, cpus, want)
				})
			}
		}
	}
}

func checkPortLogs(t *testing.T, files []string, cpus int, want []byte) {
	t.Helper()
	for i, file := range files {
		got, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if i >= cpus {
			want = nil
		}
		if !bytes.Equal(want, got) {
			t.Errorf("port %#x got %d bytes, or others than 0, 1, 2 ...: want %d", PIOPort+i, len(got), len(want))
		}
	}
}

// CPUs with nothing to do are started and waited for all the same.
func TestIdleCPUs(t *testing.T) {
	needAccel(t, "tcg")
	c := Cmdline{CPUs: 2, End: EndExit}
	lines, _ := run(t, qemuArgs("microvm", "tcg", writeImage(t, withoutMultiboot(t)), c.String(), "-smp", "2"))
	checkBoot(t, c, "pvh", lines)
}

// A CPU that the VM does not have is named, after a while.
func TestMissingCPU(t *testing.T) {
	kernel := writeImage(t, Image())
	const complaint = "ukprobe-reference: error: give the VM as many CPUs as cpus= says: no answer to INIT and SIPI from CPU "
	for _, smp := range []int{1, 3} {
		for _, on := range []struct{ machine, accel string }{{"pc", "tcg"}, {"microvm", "tcg"}, {"microvm", "kvm"}} {
			t.Run(fmt.Sprintf("%s/%s/%d", on.machine, on.accel, smp), func(t *testing.T) {
				needAccel(t, on.accel)
				t.Parallel()
				lines, _ := run(t, qemuArgs(on.machine, on.accel, kernel, "cpus=4", "-smp", strconv.Itoa(smp)))
				if got, want := find(t, lines, ErrorPattern), complaint+strconv.Itoa(smp); got != want {
					t.Errorf("the guest says %q, want %q", got, want)
				}
				if has(lines, ReadyPattern) {
					t.Error("the guest says that it is ready")
				}
			})
		}
	}
}
