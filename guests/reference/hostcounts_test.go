// SPDX-License-Identifier: Apache-2.0

package reference

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// hostCounts is what the host's KVM saw of one run, counted by perf and not by
// anything of ours.
type hostCounts struct {
	PIO              [hostCPUs]int // by CPU
	UART, CPUID, HLT int
}

const hostCPUs = 4

var hostEvents = []string{
	"-e", "kvm:kvm_pio", "--filter", "port==" + strconv.Itoa(PIOPort),
	"-e", "kvm:kvm_pio", "--filter", "port==" + strconv.Itoa(PIOPort+1),
	"-e", "kvm:kvm_pio", "--filter", "port==" + strconv.Itoa(PIOPort+2),
	"-e", "kvm:kvm_pio", "--filter", "port==" + strconv.Itoa(PIOPort+3),
	"-e", "kvm:kvm_pio", "--filter", "port>=" + strconv.Itoa(COM1) + " && port<=" + strconv.Itoa(COM1+7),
	"-e", "kvm:kvm_cpuid",
	"-e", "kvm:kvm_vcpu_wakeup",
	"-e", "kvm:kvm_exit",
	// HLT is 12 on Intel and 0x78 on AMD; neither means a thing on the other
	"-e", "kvm:kvm_exit", "--filter", "exit_reason==12 || exit_reason==120",
}

func needPerf(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("perf"); err != nil {
		t.Skip("perf is missing: install the package linux-perf")
	}
	args := append(append([]string{"stat"}, hostEvents...), "true")
	if out, err := exec.Command("perf", args...).CombinedOutput(); err != nil {
		t.Skipf("perf cannot count KVM's tracepoints here: %v: %s", err, out)
	}
}

// countOnHost runs a guest under perf and returns the host's counts and the
// console.
func countOnHost(t *testing.T, kernel string, c Cmdline) (hostCounts, []string) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "perf")
	perf := append([]string{"perf", "stat", "-x", ",", "-o", out}, hostEvents...)
	lines, _ := run(t, append(perf, qemuArgs("microvm", "kvm", kernel, c.String(), "-smp", strconv.Itoa(max(c.CPUs, 1)))...))
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var n []int
	for line := range strings.Lines(string(data)) {
		fields := strings.Split(line, ",")
		if len(fields) < 3 || !strings.HasPrefix(fields[2], "kvm:") {
			continue
		}
		value, err := strconv.Atoi(fields[0])
		if err != nil {
			t.Fatalf("perf says %q: %v", line, err)
		}
		n = append(n, value)
	}
	if len(n) != hostCPUs+5 {
		t.Fatalf("perf gave %d counts, want %d:\n%s", len(n), hostCPUs+5, data)
	}
	if n[hostCPUs] == 0 {
		t.Fatal("perf saw not one byte on its way to the UART: a BPF program on the tracepoint, of whoever watches KVM now, hides events from perf if it returns 0")
	}
	counts := hostCounts{PIO: [hostCPUs]int(n), UART: n[hostCPUs], CPUID: n[hostCPUs+1]}
	counts.HLT = n[hostCPUs+2] // a KVM that only emulates has no exits, but wake-ups
	if exits := n[hostCPUs+3]; exits > 0 {
		counts.HLT = n[hostCPUs+4]
	}
	return counts, lines
}

// KVM counts what the guest was told to do: port writes, bytes and HLTs
// exactly, CPUIDs exactly beyond the firmware's own.
func TestHostCountsTheSame(t *testing.T) {
	needAccel(t, "kvm")
	needPerf(t)
	kernel := writeImage(t, Image())
	uart := func(lines []string) int {
		return ConsoleSetupOuts + len(strings.Join(lines, "\n")) + 1
	}
	idle, lines := countOnHost(t, kernel, Cmdline{End: EndExit})
	want := hostCounts{UART: uart(lines), CPUID: idle.CPUID}
	if diff := cmp.Diff(want, idle); diff != "" {
		t.Errorf("a guest that does nothing (-want +got):\n%s", diff)
	}
	busy, lines := countOnHost(t, kernel, Cmdline{PIO: 1234, CPUID: 567, HLT: 31, End: EndExit})
	want = hostCounts{PIO: [hostCPUs]int{1234}, UART: uart(lines), CPUID: idle.CPUID + 567, HLT: 31}
	if diff := cmp.Diff(want, busy); diff != "" {
		t.Errorf("a busy guest (-want +got):\n%s", diff)
	}
}

// So it does on every vCPU of a guest with several. The HLT that each of the
// others ends with is one exit more; a wake-up it is when QEMU, at its own end,
// takes the thread out of KVM.
func TestHostCountsTheSameOnSeveralCPUs(t *testing.T) {
	needAccel(t, "kvm")
	needPerf(t)
	kernel := writeImage(t, Image())
	idle, _ := countOnHost(t, kernel, Cmdline{CPUs: hostCPUs, End: EndExit})
	busy, _ := countOnHost(t, kernel, Cmdline{CPUs: hostCPUs, PIO: 1234, CPUID: 567, HLT: 31, End: EndExit})
	t.Logf("idle %+v, busy %+v", idle, busy)
	if diff := cmp.Diff([hostCPUs]int{1234, 1234, 1234, 1234}, busy.PIO); diff != "" {
		t.Errorf("port writes by CPU (-want +got):\n%s", diff)
	}
	if got := busy.CPUID - idle.CPUID; got != hostCPUs*567 {
		t.Errorf("%d CPUIDs, want %d", got, hostCPUs*567)
	}
	if most := 31 + APHLTs*(hostCPUs-1); busy.HLT < 31 || busy.HLT > most {
		t.Errorf("%d HLTs, want 31 to %d", busy.HLT, most)
	}
}
