// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// loadTest loads a program that only returns, until the test ends.
func loadTest(t *testing.T, typ ebpf.ProgramType, name string) ebpf.ProgramID {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to load BPF programs")
	}
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

// TestTracingPrograms: a tracing program is listed while it is loaded, one that
// cannot slow a guest down is not.
func TestTracingPrograms(t *testing.T) {
	raw, tc := loadTest(t, ebpf.RawTracepoint, "ukprobe_test_rt"), loadTest(t, ebpf.SchedCLS, "ukprobe_test_tc")
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

// TestUndisturbed: a program of somebody else's that comes or goes is noticed, ours
// is not.
func TestUndisturbed(t *testing.T) {
	raw := loadTest(t, ebpf.RawTracepoint, "ukprobe_test_ud")
	if clean, err := (Programs{}).Undisturbed(nil); err != nil || clean {
		t.Errorf("one has come: undisturbed %v, %v", clean, err)
	}
	gone := Programs{1<<32 - 1: "gone"}
	if clean, err := gone.Undisturbed(nil); err != nil || clean {
		t.Errorf("one has gone: undisturbed %v, %v", clean, err)
	}
	// Another test's may come or go at any time, but not each time.
	for tries := 1; ; tries++ {
		before, err := TracingPrograms()
		if err != nil {
			t.Fatal(err)
		}
		name := before[raw]
		delete(before, raw)
		clean, err := before.Undisturbed(Programs{raw: name})
		if err != nil {
			t.Fatal(err)
		}
		if clean {
			break
		}
		if tries == 100 {
			t.Fatalf("only ours has come: disturbed %d times", tries)
		}
	}
}

// TestAwait: it waits for the list to be right, for so long, or until the context's
// end.
func TestAwait(t *testing.T) {
	loadTest(t, ebpf.RawTracepoint, "ukprobe_test_aw")
	if alone, err := (Programs{}).Await(t.Context(), 0); err != nil || alone {
		t.Errorf("with a program: alone %v, %v", alone, err)
	}
	why := errors.New("enough")
	ctx, stop := context.WithCancelCause(t.Context())
	stop(why)
	if alone, err := (Programs{}).Await(ctx, time.Hour); !errors.Is(err, why) || alone {
		t.Errorf("interrupted: alone %v, %v", alone, err)
	}
	for tries := 1; ; tries++ {
		now, err := TracingPrograms()
		if err != nil {
			t.Fatal(err)
		}
		alone, err := now.Await(t.Context(), 100*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		if alone {
			break
		}
		if tries == 100 {
			t.Fatalf("the list that was read is never right, %d times", tries)
		}
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
