// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// Errors as cilium/ebpf 0.22 words them.
func TestExplain(t *testing.T) {
	load := func(name string, err error) error { return fmt.Errorf("program %s: load program: %w", name, err) }
	kprobe := func(symbol, how string, err error) error {
		return fmt.Errorf("%s: creating %s (arch-specific fallback for %q): %w", symbol, how, symbol, err)
	}
	noKprobes := kprobe("kvm_arch_vcpu_ioctl_run", "tracefs event", fmt.Errorf("creating probe entry on tracefs: %w",
		&os.PathError{Op: "open", Path: "/sys/kernel/tracing/kprobe_events", Err: unix.ENOENT}))
	noSymbol := func(s string) error {
		return kprobe(s, "perf_kprobe PMU", fmt.Errorf("token __x64_%s: not found: %w", s, unix.ENOENT))
	}
	noBTF := func(prog, s string) error {
		return errors.New("program " + prog + ": attach Tracing/TraceFEntry: fentry " + s + " not supported")
	}
	eperm := load("fentry_run", fmt.Errorf("%w (MEMLOCK may be too low, consider rlimit.RemoveMemlock)", unix.EPERM))
	for name, tc := range map[string]struct {
		err  error
		rung Rung
		want string
	}{
		"no kprobes": {errors.Join(noKprobes), Kprobe, "the kernel has no kprobes (CONFIG_KPROBES)"},
		"no kprobes, both vendors": {errors.Join(errors.Join(noKprobes, noKprobes)), Kprobe,
			"the kernel has no kprobes (CONFIG_KPROBES)"},
		"no such function": {errors.Join(noSymbol("tun_get_user")), Kprobe, "no function tun_get_user in this kernel (tun not loaded?)"},
		"neither vendor's function": {errors.Join(errors.Join(noSymbol("svm_vcpu_run"), noSymbol("vmx_vcpu_run"))), Kprobe,
			"no function svm_vcpu_run or vmx_vcpu_run in this kernel (kvm_amd or kvm_intel not loaded?)"},
		"not in BTF": {errors.Join(noBTF("fentry_entry", "svm_vcpu_run"), noBTF("fentry_entry", "vmx_vcpu_run")), Fentry,
			"no function svm_vcpu_run or vmx_vcpu_run in this kernel (kvm_amd or kvm_intel not loaded?)"},
		"one vendor's is refused, the other's absent": {errors.Join(noBTF("fentry_entry", "svm_vcpu_run"), eperm), Fentry,
			"the kernel forbids BPF trampolines on functions (EPERM: a security policy, or no CAP_BPF and CAP_PERFMON)"},
		"no trampolines": {fmt.Errorf("kvm_vm_ioctl: create raw tracepoint: %w", ebpf.ErrNotSupported), Fentry,
			"the kernel has no BPF trampolines on functions (CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS)"},
		"not allowed":       {load("raw_tp_pio", unix.EPERM), RawTP, "the kernel forbids it (EPERM: a security policy, or no CAP_BPF and CAP_PERFMON)"},
		"no raw tracepoint": {fmt.Errorf("kvm_pio: %w", unix.ENOENT), RawTP, "no tracepoint kvm_pio in this kernel (kvm not loaded?)"},
		"no tracepoint of that BTF type": {errors.New("program tp_btf_pio: attach Tracing/TraceRawTp: raw_tp kvm_pio not supported"), TPBTF,
			"no tracepoint kvm_pio in this kernel (kvm not loaded?)"},
		"no classic tracepoint": {fmt.Errorf("kvm/kvm_pio: %w", &os.PathError{Op: "open", Path: "/sys/kernel/tracing/events/kvm/kvm_pio/id", Err: unix.ENOENT}), Tracepoint,
			"no tracepoint kvm/kvm_pio in this kernel (kvm not loaded?)"},
		"no tracefs": {errors.New("kvm/kvm_pio: neither debugfs nor tracefs are mounted"), Tracepoint,
			"tracefs is not mounted (mount -t tracefs none /sys/kernel/tracing)"},
		"no tcx":             {fmt.Errorf("tcx %w (requires >= v6.6)", ebpf.ErrNotSupported), TCX, "the kernel has no tcx (Linux 6.6)"},
		"an old kvm_exit":    {errors.New("this kernel's kvm_exit does not begin with the vCPU (Linux before 5.13)"), TPBTF, "this kernel's kvm_exit does not begin with the vCPU (Linux before 5.13)"},
		"something else":     {load("tp_btf_pio", errors.New("invalid argument: R1 type=scalar\nline two")), TPBTF, "program tp_btf_pio: load program: invalid argument: R1 type=scalar"},
		"two other reasons":  {errors.Join(errors.New("b"), errors.New("a"), errors.New("b")), TPBTF, "a; b"},
		"two wrapped in one": {fmt.Errorf("find: %w (%w)", errors.New("a"), errors.New("b")), TPBTF, "find: a (b)"},
	} {
		if got := explain(tc.err, tc.rung); got != tc.want {
			t.Errorf("%s:\n got %q\nwant %q", name, got, tc.want)
		}
	}
}

func TestExplainCuts(t *testing.T) {
	got := explain(errors.New(strings.Repeat("é", 1000)), TPBTF)
	if n := utf8.RuneCountInString(got); n != maxReason+1 || !utf8.ValidString(got) {
		t.Errorf("%d characters, valid UTF-8: %v", n, utf8.ValidString(got))
	}
}

// TestExplainKernel asks the running kernel for what is not there, so that a
// library or a kernel that words it differently is noticed.
func TestExplainKernel(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to load BPF programs")
	}
	l, err := newLoader(HostISA(), 2, DefaultSchema, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.createMaps(); err != nil {
		t.Fatal(err)
	}
	pio := findHook(t, HookPIO)
	const absent = "ukprobe_is_not_there"
	for _, tc := range []struct {
		rung          Rung
		prog, target  string
		want, without string // without: where the kernel lacks the rung itself
	}{
		{Fentry, "fentry_pio", absent, "no function " + absent + " in this kernel", ""},
		{TPBTF, "tp_btf_pio", absent, "no tracepoint " + absent + " in this kernel", ""},
		{RawTP, "raw_tp_pio", absent, "no tracepoint " + absent + " in this kernel", ""},
		{Tracepoint, "tracepoint_pio", "kvm/" + absent, "no tracepoint kvm/" + absent + " in this kernel (kvm not loaded?)",
			"tracefs is not mounted (mount -t tracefs none /sys/kernel/tracing)"},
		{Kprobe, "kprobe_pio", absent, "no function " + absent + " in this kernel", "the kernel has no kprobes (CONFIG_KPROBES)"},
	} {
		a, err := l.attachTo(pio, tc.rung, tc.prog, tc.target)
		if err == nil {
			t.Errorf("%s: attached to %s", tc.rung, tc.target)
			_ = a.Close()
			continue
		}
		if got := explain(err, tc.rung); got != tc.want && got != tc.without {
			t.Errorf("%s: %q, want %q\nfrom: %v", tc.rung, got, tc.want, err)
		}
	}
	// A device that is not there is none of the known reasons.
	if _, err := link.AttachTCX(link.TCXOptions{Interface: 1 << 30, Program: mustLoad(t, l), Attach: ebpf.AttachTCXIngress}); err == nil {
		t.Error("attached to device 2^30")
	} else if got := explain(err, TCX); strings.Contains(got, "\n") || got == "" {
		t.Errorf("tcx: %q", got)
	}
}

func findHook(t *testing.T, name string) *hook {
	t.Helper()
	for i := range hooks {
		if hooks[i].name == name {
			return &hooks[i]
		}
	}
	t.Fatalf("no hook %s", name)
	return nil
}

func mustLoad(t *testing.T, l *loader) *ebpf.Program {
	t.Helper()
	p, err := l.load(objNet, "tc_out", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}
