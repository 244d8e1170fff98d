// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"

	"github.com/ukprobe/ukprobe/guests/reference"
	"github.com/ukprobe/ukprobe/probe"
)

// nativeEvents tell the known answers where kvm_entry and kvm_exit never fire.
var nativeEvents = []string{"kvm_pio", "kvm_userspace_exit", "kvm_cpuid", "kvm_vcpu_wakeup"}

// tools are the other tools, for a host whose KVM has these exits; "" if it has none.
func tools(isa probe.ISA) []tool {
	script, read := portExit, readPortExit
	switch isa {
	case probe.VMX:
		script, read = entryExit, readEntryExit(30, 10, 12)
	case probe.SVM:
		script, read = entryExit, readEntryExit(0x7b, 0x72, 0x78)
	}
	out := []tool{
		{name: "perf kvm stat record", what: "every entry, exit, port and MMIO access, into a file", program: "perf", pack: "linux-perf", start: perfStat},
		{name: "perf kvm stat live", what: "exits by reason with their times, printed each second", program: "perf", pack: "linux-perf", start: startPerfLive},
	}
	if isa == "" {
		out = append(out, tool{name: "perf record", what: "every port access, exit to the VMM, CPUID and wake-up, into a file",
			program: "perf", pack: "linux-perf", start: perfEvents(nativeEvents)})
	}
	return append(out,
		tool{name: "bpftrace", what: "histograms by power of two, the one-liner for exits by reason (without exits: for port accesses by port)",
			program: "bpftrace", pack: "bpftrace", start: startBpftrace(script, read)},
		tool{name: "trace-cmd", what: "every event of kvm, into a file", program: "trace-cmd", pack: "trace-cmd", start: startTraceCmd},
		tool{name: "kvmexit", what: "bcc's: exits by reason, counted", program: "/usr/sbin/kvmexit-bpfcc", pack: "bpfcc-tools", start: startKvmexit},
	)
}

// haltsAsked is how many HLTs the guest of the comparison does.
const haltsAsked = 20

// toolWorkloads are the comparison's: two that are timed, and halts, which are only
// counted.
func (b *bench) toolWorkloads() []workload {
	return []workload{
		{name: "port write", task: reference.Cmdline{PIO: b.toolPIO}, ops: b.toolPIO},
		{name: "CPUID", task: reference.Cmdline{CPUID: b.toolCPUID}, ops: b.toolCPUID},
		{name: "HLT", task: reference.Cmdline{HLT: haltsAsked}, untimed: true},
	}
}

// known is what all guests of one condition in one round did.
func known(ws []workload) map[answer]uint64 {
	out := map[answer]uint64{}
	for _, w := range ws {
		out[portWrites] += uint64(w.task.PIO)
		out[cpuids] += uint64(w.task.CPUID)
		out[halts] += uint64(w.task.HLT)
	}
	return out
}

// compareTools is the slowdown once more, with the other tools beside ukprobe.
func (b *bench) compareTools(ctx context.Context) (slowdown, error) {
	return b.rounds(ctx, b.allConditions(), b.toolWorkloads(), b.toolRounds)
}
