// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"maps"
	"slices"

	"github.com/ukprobe/ukprobe/bpf"
)

// The hooks. Each is a place in the kernel that tells one kind of thing; on
// which rung it is attached is found out at start.
const (
	HookExec     = "sched_exec"
	HookExit     = "sched_exit"
	HookVMIoctl  = "kvm_dev_ioctl"
	HookVCPU     = "kvm_vcpu_create"
	HookRun      = "kvm_run"
	HookEntry    = "kvm_entry"
	HookKVMExit  = "kvm_exit"
	HookUserExit = "kvm_userspace_exit"
	HookPIO      = "kvm_pio"
	HookCPUID    = "kvm_cpuid"
	HookHalt     = "kvm_halt"
	HookWakeup   = "kvm_vcpu_wakeup"
	HookInsn     = "kvm_emulate_insn"
	HookFault    = "kvm_page_fault"
	HookSched    = "sched_switch"
	HookTapOut   = "tap_out"
	HookTapIn    = "tap_in"
	HookTCOut    = "tc_out"
	HookTCIn     = "tc_in"
	HookSyscall  = "syscall"
	HookRIP      = "kvm_exit_rip"
	HookTSC      = "kvm_write_tsc_offset"
	HookTSCRatio = "kvm_tsc_ratio"
	HookMMIO     = "kvm_mmio"
)

// object says which of the object files a program is in.
type object int

const (
	objProc object = iota
	objKVM
	objNet
	objClock
)

// program is one BPF program and where it goes.
type program struct {
	name string
	// targets are the kernel functions or tracepoints to try, in this order;
	// nil means the one that stands in the object file. Tracepoints of the
	// classic kind are written group/name.
	targets []string
}

// hook is one row of the hook table.
type hook struct {
	name  string
	id    bpf.KVMHook
	obj   object
	tells string // for people: what is lost without it
	// rungs lists, per rung, all the programs that make the hook up; they are
	// attached together or not at all.
	rungs map[Rung][]program
	// first is the rung to begin with unless another is asked for, where it tells
	// more than the ladder's first.
	first Rung
	// isa is the only one on which the hook is of use; "" for both.
	isa ISA
	// onDemand hooks cost something on every process of the host, or are of use
	// only now and then. They are attached only while a watch needs them.
	onDemand bool
}

func (h *hook) have() []Rung { return slices.Collect(maps.Keys(h.rungs)) }

// vcpuRun are the vendors' functions that enter the guest and return at its
// exit: kvm_amd's, kvm_intel's.
var vcpuRun = []string{"svm_vcpu_run", "vmx_vcpu_run"}

// tracepoints returns the three tracepoint rungs of a hook whose programs are
// called tp_btf_X, raw_tp_X and tracepoint_X.
func tracepoints(suffix string) map[Rung][]program {
	return map[Rung][]program{
		TPBTF:      {{name: "tp_btf_" + suffix}},
		RawTP:      {{name: "raw_tp_" + suffix}},
		Tracepoint: {{name: "tracepoint_" + suffix}},
	}
}

// with adds the function rungs to a hook's rungs.
func with(rungs map[Rung][]program, kprobe, fentry []program) map[Rung][]program {
	rungs[Kprobe] = kprobe
	rungs[Fentry] = fentry
	return rungs
}

// hooks is the hook table. docs/hooks.md explains each.
var hooks = []hook{
	{name: HookExec, id: bpf.KVMHookHOOK_EXEC, obj: objProc, tells: "vmm_exec, where every timeline begins",
		rungs: tracepoints("exec")},
	{name: HookExit, id: bpf.KVMHookHOOK_EXIT, obj: objProc, tells: "vmm_exit",
		rungs: tracepoints("exit")},
	{name: HookVMIoctl, id: bpf.KVMHookHOOK_VM_IOCTL, obj: objKVM, tells: "vm_created and how long KVM_CREATE_VM took",
		rungs: with(map[Rung][]program{},
			[]program{{name: "kprobe_vm_ioctl"}, {name: "kretprobe_vm_ioctl"}},
			[]program{{name: "fentry_vm_ioctl"}, {name: "fexit_vm_ioctl"}})},
	{name: HookVCPU, id: bpf.KVMHookHOOK_VCPU, obj: objKVM, tells: "vcpu_created",
		rungs: with(map[Rung][]program{},
			[]program{{name: "kprobe_vcpu"}},
			[]program{{name: "fentry_vcpu"}})},
	{name: HookRun, id: bpf.KVMHookHOOK_RUN, obj: objKVM, tells: "first_run and the VMM's share of each userspace exit",
		rungs: with(map[Rung][]program{},
			[]program{{name: "kprobe_run"}},
			[]program{{name: "fentry_run"}})},
	{name: HookEntry, id: bpf.KVMHookHOOK_ENTRY, obj: objKVM, tells: "guest_entry and the handling time of exits",
		rungs: with(tracepoints("entry"),
			[]program{{name: "kprobe_entry", targets: vcpuRun}},
			[]program{{name: "fentry_entry", targets: vcpuRun}})},
	{name: HookKVMExit, id: bpf.KVMHookHOOK_KVM_EXIT, obj: objKVM, tells: "exits by reason, firmware_end",
		rungs: with(tracepoints("kvm_exit"),
			[]program{{name: "kretprobe_kvm_exit", targets: vcpuRun}},
			[]program{{name: "fexit_kvm_exit", targets: vcpuRun}})},
	{name: HookUserExit, id: bpf.KVMHookHOOK_USER_EXIT, obj: objKVM, tells: "exits to the VMM by reason, KVM internal errors",
		rungs: with(tracepoints("user_exit"),
			[]program{{name: "kretprobe_user_exit"}},
			[]program{{name: "fexit_user_exit"}})},
	{name: HookPIO, id: bpf.KVMHookHOOK_PIO, obj: objKVM, tells: "the console of a guest under KVM, port accesses",
		rungs: with(tracepoints("pio"),
			[]program{{name: "kprobe_pio"}, {name: "kprobe_pio_in"}},
			[]program{{name: "fentry_pio"}, {name: "fentry_pio_in"}})},
	{name: HookCPUID, id: bpf.KVMHookHOOK_CPUID, obj: objKVM, tells: "the number of CPUID instructions",
		rungs: with(tracepoints("cpuid"),
			[]program{{name: "kprobe_cpuid"}},
			[]program{{name: "fentry_cpuid"}})},
	{name: HookHalt, id: bpf.KVMHookHOOK_HALT, obj: objKVM, tells: "idle, the number of halts",
		rungs: with(tracepoints("halt"),
			[]program{{name: "kprobe_halt"}},
			[]program{{name: "fentry_halt"}})},
	{name: HookWakeup, id: bpf.KVMHookHOOK_WAKEUP, obj: objKVM, onDemand: true, tells: "how long vCPUs were halted",
		rungs: tracepoints("wakeup")},
	// The tracepoint's record alone has the code segment's base, which tells option
	// ROMs from firmware.
	{name: HookInsn, id: bpf.KVMHookHOOK_INSN, obj: objKVM, onDemand: true, first: Tracepoint, tells: "guest_entry and firmware_end where KVM only emulates",
		rungs: tracepoints("insn")},
	{name: HookFault, id: bpf.KVMHookHOOK_PAGE_FAULT, obj: objKVM, onDemand: true, tells: "page faults that give the guest memory, over time",
		rungs: map[Rung][]program{TPBTF: {{name: "tp_btf_page_fault"}}, RawTP: {{name: "raw_tp_page_fault"}}}},
	{name: HookSched, id: bpf.KVMHookHOOK_SCHED, obj: objProc, onDemand: true, tells: "how long vCPU threads that could run waited for a CPU",
		rungs: map[Rung][]program{
			TPBTF: {{name: "tp_btf_sched_wakeup"}, {name: "tp_btf_sched_switch"}},
			RawTP: {{name: "raw_tp_sched_wakeup"}, {name: "raw_tp_sched_switch"}}}},
	{name: HookTapOut, id: bpf.KVMHookHOOK_TAP_OUT, obj: objNet, tells: "frames out of the guest, at the tun driver",
		rungs: map[Rung][]program{
			Kprobe: {{name: "kprobe_tap_out"}}, Fentry: {{name: "fentry_tap_out"}},
			TPBTF: {{name: "tp_btf_tap_out"}}, RawTP: {{name: "raw_tp_tap_out"}}}},
	{name: HookTapIn, id: bpf.KVMHookHOOK_TAP_IN, obj: objNet, tells: "frames into the guest, at the tun driver",
		rungs: map[Rung][]program{
			Kprobe: {{name: "kprobe_tap_in"}}, Fentry: {{name: "fentry_tap_in"}},
			TPBTF: {{name: "tp_btf_tap_in"}}, RawTP: {{name: "raw_tp_tap_in"}}}},
	{name: HookRIP, id: bpf.KVMHookHOOK_RIP, obj: objKVM, isa: VMX, onDemand: true,
		tells: "firmware_end where the other rungs of kvm_exit do not have the instruction pointer",
		rungs: map[Rung][]program{Tracepoint: {{name: "tracepoint_rip"}}}},
	{name: HookTSC, id: bpf.KVMHookHOOK_TSC_OFFSET, obj: objClock, tells: "the offset of the guest's TSC, by which its own times are the host's",
		rungs: tracepoints("tsc_offset")},
	{name: HookTSCRatio, id: bpf.KVMHookHOOK_TSC_RATIO, obj: objClock, onDemand: true, tells: "the scaling of the guest's TSC",
		rungs: map[Rung][]program{
			Kprobe: {{name: "kprobe_tsc_ratio"}}, Fentry: {{name: "fentry_tsc_ratio"}},
			TPBTF: {{name: "tp_btf_tsc_ratio"}}, RawTP: {{name: "raw_tp_tsc_ratio"}}}},
	{name: HookMMIO, id: bpf.KVMHookHOOK_MMIO, obj: objClock, onDemand: true, tells: "Firecracker's boot timer, where the guest writes it by MMIO",
		rungs: tracepoints("mmio")},
	{name: HookSyscall, id: bpf.KVMHookHOOK_SYSCALL, obj: objProc, onDemand: true,
		tells: "consoles that are not a port (TCG, processes); KVM's ioctls and the VMM's share of exits where there are neither kprobes nor fentry",
		rungs: map[Rung][]program{
			TPBTF: {{name: "tp_btf_sys_enter"}, {name: "tp_btf_sys_exit"}},
			RawTP: {{name: "raw_tp_sys_enter"}, {name: "raw_tp_sys_exit"}}}},
}

// hooksFor returns the hooks that are of use on an ISA.
func hooksFor(isa ISA) []*hook {
	var out []*hook
	for i := range hooks {
		if hooks[i].isa == "" || hooks[i].isa == isa {
			out = append(out, &hooks[i])
		}
	}
	return out
}

// hookName returns the name of the hook that the kernel side calls id.
func hookName(id bpf.KVMHook) string {
	switch id {
	case bpf.KVMHookHOOK_TC_OUT:
		return HookTCOut
	case bpf.KVMHookHOOK_TC_IN:
		return HookTCIn
	}
	for i := range hooks {
		if hooks[i].id == id {
			return hooks[i].name
		}
	}
	return ""
}
