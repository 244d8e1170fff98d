// SPDX-License-Identifier: Apache-2.0

package hostvm

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// The tests in this file are run by TestRun inside the hostvm: they check the
// promises of docs/hostvm.md.

func needInside(t *testing.T) {
	t.Helper()
	if Inside() == "" {
		t.Skip("not inside a hostvm: TestRun runs this there")
	}
}

func TestInsideMachine(t *testing.T) {
	needInside(t)
	for _, path := range []string{"/dev/kvm", "/dev/net/tun", "/dev/vhost-net"} {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Error(err)
			continue
		}
		_ = f.Close()
	}
	for path, want := range map[string]string{
		"/sys/module/kvm_amd/parameters/npt":    "Y1", // Y or 1, by kernel version
		"/sys/kernel/tracing/events/kvm/enable": "0",
		"/proc/self/mountinfo":                  " - cgroup2 ",
		"/sys/fs/cgroup/cgroup.subtree_control": "cpuset",
	} {
		text, err := os.ReadFile(path)
		got := strings.TrimSpace(string(text))
		oneOf := len(got) == 1 && strings.Contains(want, got)
		if err != nil || !strings.Contains(got, want) && !oneOf {
			t.Errorf("%s holds %q (%v), not %q", path, got, err, want)
		}
	}
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &lim); err != nil || lim.Cur != unix.RLIM_INFINITY {
		t.Errorf("memlock limit %d, %v: not unlimited", lim.Cur, err)
	}
}

func TestInsideWriting(t *testing.T) {
	needInside(t)
	for _, dir := range []string{"/", "/tmp", "/run", "/var", "/root", "/etc", OutDir} {
		f, err := os.CreateTemp(dir, "hostvm-test-")
		if err != nil {
			t.Error(err)
			continue
		}
		_ = f.Close()
		_ = os.Remove(f.Name())
	}
	if f, err := os.CreateTemp(".", "hostvm-test-"); !errors.Is(err, unix.EROFS) {
		_ = f.Close()
		t.Errorf("writing in the project: %v, not %v", err, unix.EROFS)
	}
}

// TestInsideHooks counts the calls of one function of the kvm module with a
// kprobe and with fentry: both must see each call.
func TestInsideHooks(t *testing.T) {
	needInside(t)
	const function, calls = "kvm_dev_ioctl", 1000
	kprobe, kprobeCount := counter(t, &ebpf.ProgramSpec{Type: ebpf.Kprobe})
	l, err := link.Kprobe(function, kprobe, nil)
	if err != nil {
		t.Fatalf("kprobe %s: %v", function, err)
	}
	defer func() { _ = l.Close() }()
	counts := map[string]*ebpf.Map{"kprobe": kprobeCount}

	if _, err := os.Stat("/sys/kernel/btf/kvm"); err == nil {
		fentry, fentryCount := counter(t, &ebpf.ProgramSpec{
			Type: ebpf.Tracing, AttachType: ebpf.AttachTraceFEntry, AttachTo: function,
		})
		l, err := link.AttachTracing(link.TracingOptions{Program: fentry})
		if err != nil {
			t.Fatalf("fentry %s: %v", function, err)
		}
		defer func() { _ = l.Close() }()
		counts["fentry"] = fentryCount
	} else if _, err := btf.LoadKernelSpec(); err != nil || Inside() != "bullseye" {
		t.Error("no BTF of the kvm module") // modules have BTF since Linux 5.11
	}

	kvm, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = kvm.Close() }()
	const kvmGetAPIVersion = 0xae00
	for range calls {
		if v, err := unix.IoctlRetInt(int(kvm.Fd()), kvmGetAPIVersion); err != nil || v != 12 {
			t.Fatalf("KVM_GET_API_VERSION: %d, %v", v, err)
		}
	}
	for hook, m := range counts {
		var n uint64
		if err := m.Lookup(uint32(0), &n); err != nil {
			t.Fatal(err)
		}
		if n != calls {
			t.Errorf("%s on %s counted %d calls of %d", hook, function, n, calls)
		}
	}
}

// counter loads a program of the given kind that counts its runs in a map.
func counter(t *testing.T, spec *ebpf.ProgramSpec) (*ebpf.Program, *ebpf.Map) {
	t.Helper()
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	spec.Instructions = asm.Instructions{
		asm.StoreImm(asm.RFP, -4, 0, asm.Word),
		asm.LoadMapPtr(asm.R1, m.FD()),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -4),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "end"),
		asm.Mov.Imm(asm.R1, 1),
		asm.AddAtomic.Mem(asm.R0, asm.R1, asm.DWord, 0),
		asm.Mov.Imm(asm.R0, 0).WithSymbol("end"),
		asm.Return(),
	}
	p, err := ebpf.NewProgram(spec)
	if err != nil {
		t.Fatalf("load a %s program: %v", spec.Type, err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p, m
}
