// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"

	"github.com/ukprobe/ukprobe/probe"
)

// testRow is one case run by BPF_PROG_TEST_RUN, one value per batch.
type testRow struct {
	Program string    `json:"program"`
	Case    string    `json:"case"`
	Floor   string    `json:"floor,omitempty"` // the row that is taken off
	NS      []float64 `json:"ns_per_run"`
	Refused string    `json:"refused,omitempty"`
}

const (
	batches   = 15
	batchRuns = 2000
	// repeats is how often the kernel runs a tc program per batch by itself.
	repeats = 100_000
)

// testCase is one program, or several in turn, in one state of the maps.
type testCase struct {
	programs []run
	what     string
	watched  bool
	firmware bool // it is still in its firmware
	floor    string
}

// run is one program with what it is run on: a raw tracepoint's arguments, a classic
// tracepoint's record, or a frame, which the kernel repeats and times by itself.
type run struct {
	name   string
	args   []uint64
	record bool
	packet []byte
}

// port of a TCP service, for the tc programs.
const servicePort = 80

// The floors: the same with a program that only returns.
const (
	emptyRaw = "(empty)"
	emptyTC  = "test_nothing"
)

func testCases(vcpu uint64) []testCase {
	raw := func(name string, args ...uint64) []run { return []run{{name: name, args: args}} }
	tc := func(name string, packet []byte) []run { return []run{{name: name, packet: packet}} }
	frame := make([]byte, 64)
	pio := []uint64{1, 0x5f0, 1, 1, 0} // an OUT to the reference guest's port
	rawPair := []run{{name: "raw_tp_kvm_exit", args: []uint64{vcpu, 2}}, {name: "raw_tp_entry", args: []uint64{vcpu, 0}}}
	// struct tp_kvm_exit of bpf/kvm.bpf.c: common, reason, guest_rip, isa.
	tpPair := []run{{name: "tracepoint_kvm_exit", args: []uint64{0, ioReason, 0x100000, 2}, record: true},
		{name: "tracepoint_entry", args: []uint64{0, 0}, record: true}}
	return []testCase{
		{programs: []run{{name: emptyRaw, args: []uint64{0}}}, what: "a raw tracepoint program that only returns: the statistics' own cost"},
		{programs: tc(emptyTC, frame), what: "a tc program that only returns"},
		{programs: tc("test_two_clocks", frame), what: "two readings of the clock, as an exit and its entry need", floor: emptyTC},
		{programs: tc("test_exit_pair", frame), what: "exit and entry, watched: all but their arguments", watched: true, floor: emptyTC},
		{programs: tc("test_exit_pair", frame), what: "exit and entry of another guest", floor: emptyTC},
		{programs: rawPair, what: "exit and entry, watched", watched: true, floor: emptyRaw},
		{programs: rawPair, what: "exit and entry of another guest", floor: emptyRaw},
		{programs: tpPair, what: "exit and entry, watched", watched: true, floor: emptyRaw},
		{programs: tpPair, what: "exit and entry of another guest", floor: emptyRaw},
		{programs: raw("raw_tp_pio", pio...), what: "port write, watched", watched: true, floor: emptyRaw},
		{programs: raw("raw_tp_pio", pio...), what: "port write of another guest", floor: emptyRaw},
		{programs: raw("raw_tp_cpuid", 0, 0, 0), what: "CPUID, watched", watched: true, floor: emptyRaw},
		{programs: raw("raw_tp_cpuid", 0, 0, 0), what: "CPUID of another guest", floor: emptyRaw},
		{programs: raw("raw_tp_user_exit", 2, 0), what: "exit to the VMM, watched", watched: true, floor: emptyRaw},
		{programs: raw("raw_tp_insn", vcpu, 0), what: "instruction in the firmware, watched", watched: true, firmware: true, floor: emptyRaw},
		{programs: raw("raw_tp_insn", vcpu, 0), what: "instruction after the firmware, watched", watched: true, floor: emptyRaw},
		{programs: raw("raw_tp_insn", vcpu, 0), what: "instruction of another guest", floor: emptyRaw},
		{programs: raw("raw_tp_sys_enter", 0, unix.SYS_GETPID), what: "a system call that is not looked at", floor: emptyRaw},
		{programs: raw("raw_tp_sys_exit", 0, 0), what: "the same, its return", floor: emptyRaw},
		{programs: raw("raw_tp_tap_out", 0), what: "frame of a device that is not watched", floor: emptyRaw},
		{programs: tc("tc_out", tcpFrame()), what: "TCP frame out of the guest", watched: true, floor: emptyTC},
		{programs: tc("tc_in", tcpFrame()), what: "TCP frame into the guest", watched: true, floor: emptyTC},
		{programs: tc("test_hist_index", numberFrame()), what: "index of a histogram's bucket", floor: emptyTC},
		{programs: tc("test_hist_observe", numberFrame()), what: "one observation in a histogram", floor: emptyTC},
	}
}

// name is that of the row.
func (c testCase) name() string {
	var names []string
	for _, r := range c.programs {
		names = append(names, r.name)
	}
	return strings.Join(names, " + ")
}

// testRuns measures every case, cases in random order within each batch.
func (b *bench) testRuns(ctx context.Context) (_ []testRow, err error) {
	bd, err := b.newBed()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, bd.close()) }()
	cases := testCases(bd.vcpu)
	rows, progs := make([]testRow, len(cases)), make([][]*ebpf.Program, len(cases))
	defer func() {
		for _, ps := range progs {
			for _, p := range ps {
				err = errors.Join(err, p.Close())
			}
		}
	}()
	for i, c := range cases {
		rows[i] = testRow{Program: c.name(), Case: c.what, Floor: c.floor}
		if progs[i], err = bd.loadCase(c); err != nil {
			rows[i].Refused = strings.SplitN(err.Error(), "\n", 2)[0]
		}
	}
	on, err := probe.CountRuns()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, on.Close()) }()
	runtime.LockOSThread() // the programs look the thread up
	defer runtime.UnlockOSThread()
	for range batches {
		for _, i := range b.rand.Perm(len(rows)) {
			if rows[i].Refused != "" {
				continue
			}
			ns, err := bd.batch(progs[i], cases[i])
			if err != nil {
				return nil, fmt.Errorf("run %s (%s): %w", rows[i].Program, rows[i].Case, err)
			}
			rows[i].NS = append(rows[i].NS, ns)
		}
		if err := pause(ctx, 0); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

func (bd *bed) loadCase(c testCase) (progs []*ebpf.Program, err error) {
	for _, r := range c.programs {
		p, err := emptyProgram()
		if r.name != emptyRaw {
			if err == nil {
				err = p.Close()
			}
			if err == nil {
				p, err = bd.load(r.name, r.record)
			}
		}
		if err != nil {
			return progs, err
		}
		progs = append(progs, p)
	}
	return progs, nil
}

// batch sets the maps up, runs a case a number of times, and returns the nanoseconds
// of one time.
func (bd *bed) batch(progs []*ebpf.Program, c testCase) (float64, error) {
	if err := bd.reset(c.watched, c.firmware); err != nil {
		return 0, err
	}
	if packet := c.programs[0].packet; packet != nil {
		_, d, err := progs[0].Benchmark(packet, repeats, nil)
		return float64(d) / float64(time.Nanosecond), err
	}
	before, err := programTime(progs)
	if err != nil {
		return 0, err
	}
	for range batchRuns {
		for i, r := range c.programs {
			if _, err := progs[i].Run(&ebpf.RunOptions{Context: r.args}); err != nil {
				return 0, err
			}
		}
	}
	after, err := programTime(progs)
	return float64(after-before) / batchRuns, err
}

// programTime adds up how long programs have run.
func programTime(progs []*ebpf.Program) (time.Duration, error) {
	var sum time.Duration
	for _, p := range progs {
		stats, err := p.Stats()
		if err != nil {
			return 0, fmt.Errorf("read the kernel's statistics: %w", err)
		}
		sum += stats.Runtime
	}
	return sum, nil
}

// emptyProgram is the floor of what the kernel's statistics can tell.
func emptyProgram() (*ebpf.Program, error) {
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: "empty", Type: ebpf.RawTracepoint, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()}})
	if err != nil {
		return nil, fmt.Errorf("load an empty BPF program: %w", err)
	}
	return p, nil
}

// tcpFrame is a data segment from and to the service's port.
func tcpFrame() []byte {
	p := make([]byte, 64)
	binary.BigEndian.PutUint16(p[12:], 0x0800)
	ip, tcp := p[14:], p[34:]
	ip[0], ip[9] = 0x45, 6
	binary.BigEndian.PutUint16(ip[2:], 50)
	binary.BigEndian.PutUint16(tcp, servicePort)
	binary.BigEndian.PutUint16(tcp[2:], servicePort)
	tcp[12], tcp[13] = 5<<4, 0x18 // PSH, ACK
	return p
}

// numberFrame carries nanoseconds, as bpf/hist_test.bpf.c wants them.
func numberFrame() []byte {
	p := make([]byte, 64)
	binary.NativeEndian.PutUint64(p[14:], 123456)
	return p
}
