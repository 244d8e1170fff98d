// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"github.com/ukprobe/ukprobe/bpf"
)

// testRow is one program run by BPF_PROG_TEST_RUN, one value per batch.
type testRow struct {
	Program string    `json:"program"`
	Case    string    `json:"case"`
	NS      []float64 `json:"ns_per_run"`
	Refused string    `json:"refused,omitempty"`
}

const (
	batches   = 15
	batchRuns = 2000
)

// bed is where programs are run without being attached: own copies of the maps,
// in which this very process stands for a watched guest or does not.
type bed struct {
	maps    map[string]*ebpf.Map
	modules []*btf.Spec
	cgroup  uint64
}

// testCase is one program in one state of the maps.
type testCase struct {
	program, what string
	ctx           []uint64 // of a raw tracepoint; nil for tc
	packet        []byte
	watched       bool
	prepare       func(*bed) error
}

// port of a TCP service, for the tc programs.
const servicePort = 80

func testCases() []testCase {
	pio := []uint64{1, 0x5f0, 1, 1, 0} // an OUT to the reference guest's port
	return []testCase{
		{program: "raw_tp_pio", what: "port write, watched", ctx: pio, watched: true},
		{program: "raw_tp_pio", what: "port write of another guest", ctx: pio},
		{program: "raw_tp_cpuid", what: "CPUID, watched", ctx: []uint64{0, 0, 0}, watched: true},
		{program: "raw_tp_cpuid", what: "CPUID of another guest", ctx: []uint64{0, 0, 0}},
		{program: "raw_tp_entry", what: "entry, watched", ctx: []uint64{0, 0}, watched: true},
		{program: "raw_tp_user_exit", what: "exit to the VMM, watched", ctx: []uint64{2, 0}, watched: true},
		{program: "raw_tp_insn", what: "instruction in the firmware, watched", ctx: []uint64{0, 0}, watched: true},
		{program: "raw_tp_insn", what: "instruction after the firmware, watched", ctx: []uint64{0, 0}, watched: true, prepare: firmwareEnded},
		{program: "raw_tp_insn", what: "instruction of another guest", ctx: []uint64{0, 0}},
		{program: "raw_tp_sys_enter", what: "a system call that is not looked at", ctx: []uint64{0, unix.SYS_GETPID}},
		{program: "raw_tp_sys_exit", what: "the same, its return", ctx: []uint64{0, 0}},
		{program: "raw_tp_tap_out", what: "frame of a device that is not watched", ctx: []uint64{0}},
		{program: "tc_out", what: "TCP frame out of the guest", packet: tcpFrame(), watched: true},
		{program: "tc_in", what: "TCP frame into the guest", packet: tcpFrame(), watched: true},
		{program: "test_hist_index", what: "index of a histogram's bucket", packet: numberFrame()},
		{program: "test_hist_observe", what: "one observation in a histogram", packet: numberFrame()},
	}
}

// testRuns measures every case, cases in random order within each batch.
func (b *bench) testRuns(ctx context.Context) ([]testRow, error) {
	bd, err := b.newBed()
	if err != nil {
		return nil, err
	}
	defer bd.close()
	cases := testCases()
	rows, progs := make([]testRow, len(cases)+1), make([]*ebpf.Program, len(cases)+1)
	rows[0] = testRow{Program: "(empty)", Case: "a raw tracepoint program that only returns: the statistics' own cost"}
	if progs[0], err = emptyProgram(); err != nil {
		return nil, err
	}
	for i, c := range cases {
		rows[i+1] = testRow{Program: c.program, Case: c.what}
		if progs[i+1], err = bd.load(c.program); err != nil {
			rows[i+1].Refused = strings.SplitN(err.Error(), "\n", 2)[0]
		}
	}
	defer func() {
		for _, p := range progs {
			_ = p.Close() // a nil program closes too
		}
	}()
	on, err := ebpf.EnableStats(uint32(unix.BPF_STATS_RUN_TIME))
	if err != nil {
		return nil, fmt.Errorf("switch the kernel's BPF statistics on (Linux 5.8): %w", err)
	}
	defer func() { _ = on.Close() }()
	runtime.LockOSThread() // the programs look the thread up
	defer runtime.UnlockOSThread()
	for range batches {
		for _, i := range b.rand.Perm(len(rows)) {
			if progs[i] == nil {
				continue
			}
			c := testCase{ctx: []uint64{0}}
			if i > 0 {
				c = cases[i-1]
			}
			ns, err := bd.batch(progs[i], c)
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

// batch sets the maps up, runs a program a number of times, and returns the
// nanoseconds of one run.
func (bd *bed) batch(prog *ebpf.Program, c testCase) (float64, error) {
	if err := bd.reset(c); err != nil {
		return 0, err
	}
	if c.packet != nil { // the kernel repeats and times by itself
		_, d, err := prog.Benchmark(c.packet, batchRuns*10, nil)
		return float64(d), err
	}
	before, err := prog.Stats()
	if err != nil {
		return 0, err
	}
	for range batchRuns {
		if _, err := prog.Run(&ebpf.RunOptions{Context: c.ctx}); err != nil {
			return 0, err
		}
	}
	after, err := prog.Stats()
	if err != nil {
		return 0, err
	}
	runs := after.RunCount - before.RunCount
	if runs == 0 {
		return 0, errors.New("the kernel counted no run")
	}
	return float64(after.Runtime-before.Runtime) / float64(runs), nil
}

// reset makes this process the watched guest, or nobody.
func (bd *bed) reset(c testCase) error {
	tid, slot, lo := uint32(unix.Gettid()), uint32(0), uint32(1)
	for name, key := range map[string]any{bpf.KVMMapVcpus: tid, bpf.KVMMapTargets: bd.cgroup, bpf.KVMMapDevices: lo} {
		if err := bd.maps[name].Delete(key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("delete from BPF map %s: %w", name, err)
		}
	}
	if err := bd.maps[bpf.KVMMapSlots].Put(slot, &bpf.KVMSlot{}); err != nil {
		return err
	}
	if c.watched {
		err := errors.Join(bd.maps[bpf.KVMMapTargets].Put(bd.cgroup, &bpf.KVMTarget{Slot: slot}),
			bd.maps[bpf.KVMMapDevices].Put(lo, &bpf.KVMDevice{Slot: slot, ServicePort: servicePort}))
		if err != nil {
			return fmt.Errorf("arm the programs: %w", err)
		}
	}
	if c.prepare != nil {
		return c.prepare(bd)
	}
	return nil
}

// firmwareEnded marks the firmware's end in the slot.
func firmwareEnded(bd *bed) error {
	var s bpf.KVMSlot
	for _, kind := range []bpf.KVMMarkKind{bpf.KVMMarkKindMARK_GUEST_ENTRY, bpf.KVMMarkKindMARK_FIRMWARE_END} {
		s.Marks[kind] = bpf.KVMMark{Ns: 1}
	}
	return bd.maps[bpf.KVMMapSlots].Put(uint32(0), &s)
}

// newBed makes the maps, once for all objects.
func (b *bench) newBed() (_ *bed, err error) {
	bd := &bed{maps: map[string]*ebpf.Map{}}
	for _, name := range []string{"kvm", "kvm_amd", "kvm_intel", "tun"} {
		if spec, err := btf.LoadKernelModuleSpec(name); err == nil { // absent: built in or not loaded
			bd.modules = append(bd.modules, spec)
		}
	}
	dir, err := b.ownCgroup()
	if err != nil {
		return nil, err
	}
	handle, _, err := unix.NameToHandleAt(int(dir.Fd()), "", unix.AT_EMPTY_PATH)
	if err = errors.Join(err, dir.Close()); err != nil {
		return nil, fmt.Errorf("ask for the id of cgroup %s: %w", dir.Name(), err)
	}
	bd.cgroup = binary.NativeEndian.Uint64(handle.Bytes())
	for _, load := range objects {
		spec, err := load()
		if err != nil {
			return nil, errors.Join(err, bd.close())
		}
		for name, m := range spec.Maps {
			if bd.maps[name] != nil || strings.HasPrefix(name, ".") {
				continue
			}
			if bd.maps[name], err = ebpf.NewMap(m); err != nil {
				return nil, errors.Join(fmt.Errorf("create BPF map %s: %w", name, err), bd.close())
			}
		}
	}
	return bd, nil
}

var objects = []func() (*ebpf.CollectionSpec, error){bpf.LoadKVM, bpf.LoadProc, bpf.LoadNet, bpf.LoadHistTest}

// load loads one program by its name, from whichever object has it.
func (bd *bed) load(name string) (*ebpf.Program, error) {
	for _, load := range objects {
		spec, err := load()
		if err != nil {
			return nil, err
		}
		prog := spec.Programs[name]
		if prog == nil {
			continue
		}
		spec.Programs = map[string]*ebpf.ProgramSpec{name: prog}
		replacements := map[string]*ebpf.Map{}
		for name, m := range bd.maps {
			if spec.Maps[name] != nil { // some maps are only one object's
				replacements[name] = m
			}
		}
		coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{
			MapReplacements: replacements, Programs: ebpf.ProgramOptions{ExtraRelocationTargets: bd.modules}})
		if err != nil {
			return nil, err
		}
		defer coll.Close()
		return coll.DetachProgram(name), nil
	}
	return nil, fmt.Errorf("BPF program %s is in no object file", name)
}

func (bd *bed) close() error {
	var errs []error
	for _, m := range bd.maps {
		errs = append(errs, m.Close())
	}
	return errors.Join(errs...)
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
