// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"os"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// TestTracingPrograms: a tracing program is listed while it is loaded, one that
// cannot slow a guest down is not.
func TestTracingPrograms(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to load BPF programs")
	}
	load := func(typ ebpf.ProgramType, name string) ebpf.ProgramID {
		p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: name, Type: typ, License: "GPL",
			Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = p.Close() })
		info, err := p.Info()
		if err != nil {
			t.Fatal(err)
		}
		id, _ := info.ID()
		return id
	}
	raw, tc := load(ebpf.RawTracepoint, "ukprobe_test_rt"), load(ebpf.SchedCLS, "ukprobe_test_tc")
	all, err := TracingPrograms()
	if err != nil {
		t.Fatal(err)
	}
	if all[raw] != "ukprobe_test_rt" {
		t.Errorf("program %d is listed as %q", raw, all[raw])
	}
	if _, listed := all[tc]; listed {
		t.Errorf("tc program %d is listed", tc)
	}
}

// TestRelease: an on-demand hook is given back before the watch is closed, and
// giving it back again is no error.
func TestRelease(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root for BPF")
	}
	p, err := Open(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	s := p.state(HookSyscall)
	if s == nil || s.rung == "" {
		t.Skip("the kernel refuses the hook syscall")
	}
	w, err := p.Watch(Target{CgroupID: 1, ConsoleWrite: true, ConsoleFD: 1})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.attached) == 0 {
		t.Error("a console by write(2) does not demand the hook")
	}
	if err := w.Release(); err != nil || len(s.attached) != 0 {
		t.Errorf("released: %v, %d programs are attached", err, len(s.attached))
	}
	if err := w.Release(); err != nil {
		t.Errorf("again: %v", err)
	}
	if err := w.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}
