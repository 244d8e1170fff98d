// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"fmt"
	"os"
	"slices"
	"sync"
)

// ISA is the instruction set that KVM runs guests with.
type ISA string

// The two ISAs of x86 (kvm_exit's isa argument: 1 and 2).
const (
	VMX ISA = "vmx"
	SVM ISA = "svm"
)

// HostISA tells which exit codes this host's KVM uses. A host with neither (KVM
// that only emulates) reports no exits.
func HostISA() ISA {
	if slices.Contains(hostFlags(), "svm") {
		return SVM
	}
	return VMX
}

// HasVirtualisation reports whether KVM has hardware behind it. Without, it
// emulates each instruction, and there are no entries and exits.
func HasVirtualisation() bool { return virtualised(hostFlags()) }

func virtualised(flags []string) bool {
	return slices.Contains(flags, "svm") || slices.Contains(flags, "vmx")
}

// hostFlags are the CPU's flags; none if they cannot be read.
var hostFlags = sync.OnceValue(func() []string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return nil
	}
	return flagsOf(string(info))
})

// number is what kvm_exit calls the ISA (arch/x86/kvm/trace.h: KVM_ISA_VMX, KVM_ISA_SVM).
func (i ISA) number() uint32 {
	if i == SVM {
		return 2
	}
	return 1
}

// exitCodes is EXIT_CODES, exitClasses EXIT_CLASSES, exitRows EXIT_ROWS of
// bpf/event.h.
const (
	exitCodes   = 256
	exitClasses = 64
	exitRows    = 32
)

// exitReason is an exit reason that is told apart. Its place in its table is its
// class, from 1 on: those in the first 31 places have histograms of their own, so
// the ones that cost time come first. Where VMX and SVM mean the same the name is
// the same: nested_page_fault is VMX's EPT violation and SVM's NPF.
type exitReason struct {
	code uint32 // as the CPU gives it
	name string
}

// vmxReasons: arch/x86/include/uapi/asm/vmx.h, without the VMX instructions,
// which only a nested hypervisor uses.
var vmxReasons = []exitReason{
	// with histograms of their own
	{0, "exception_nmi"}, {1, "external_interrupt"}, {2, "triple_fault"}, {7, "interrupt_window"}, {8, "nmi_window"},
	{9, "task_switch"}, {10, "cpuid"}, {12, "hlt"}, {14, "invlpg"}, {15, "rdpmc"}, {16, "rdtsc"}, {18, "vmcall"},
	{28, "cr_access"}, {29, "dr_access"}, {30, "io"}, {31, "msr_read"}, {32, "msr_write"}, {36, "mwait"},
	{39, "monitor"}, {40, "pause"}, {43, "tpr_below_threshold"}, {44, "apic_access"}, {45, "eoi_induced"},
	{48, "nested_page_fault"}, {49, "ept_misconfig"}, {51, "rdtscp"}, {52, "preemption_timer"}, {54, "wbinvd"},
	{56, "apic_write"}, {74, "bus_lock"}, {62, "pml_full"},
	// only counted
	{3, "init_signal"}, {4, "sipi_signal"}, {13, "invd"}, {33, "invalid_state"}, {34, "msr_load_fail"},
	{37, "monitor_trap_flag"}, {41, "mce_during_vmentry"}, {46, "gdtr_idtr"}, {47, "ldtr_tr"}, {55, "xsetbv"},
	{57, "rdrand"}, {58, "invpcid"}, {60, "encls"}, {61, "rdseed"}, {63, "xsaves"}, {64, "xrstors"}, {67, "umwait"},
	{68, "tpause"}, {75, "notify"}, {77, "tdcall"}, {84, "msr_read_imm"}, {85, "msr_write_imm"},
}

// svmReasons: arch/x86/include/uapi/asm/svm.h; control and debug registers and
// exceptions as far as KVM intercepts them.
var svmReasons = []exitReason{
	// with histograms of their own
	{0x060, "external_interrupt"}, {0x061, "nmi"}, {0x064, "interrupt_window"}, {0x072, "cpuid"}, {0x078, "hlt"},
	{0x07b, "io"}, {0x07c, "msr"}, {0x400, "nested_page_fault"}, {0x000, "read_cr0"}, {0x004, "read_cr4"},
	{0x008, "read_cr8"}, {0x010, "write_cr0"}, {0x013, "write_cr3"}, {0x014, "write_cr4"}, {0x018, "write_cr8"},
	{0x065, "cr0_sel_write"}, {0x04e, "pf_excp"}, {0x046, "ud_excp"}, {0x041, "db_excp"}, {0x06e, "rdtsc"},
	{0x087, "rdtscp"}, {0x06f, "rdpmc"}, {0x077, "pause"}, {0x079, "invlpg"}, {0x081, "vmcall"}, {0x089, "wbinvd"},
	{0x08b, "mwait"}, {0x08d, "xsetbv"}, {0x401, "avic_incomplete_ipi"}, {0x402, "avic_unaccelerated_access"},
	{0x074, "iret"},
	// only counted
	{0x003, "read_cr3"}, {0x043, "bp_excp"}, {0x047, "nm_excp"}, {0x04d, "gp_excp"}, {0x051, "ac_excp"},
	{0x052, "mc_excp"}, {0x062, "smi"}, {0x063, "init_signal"}, {0x066, "read_idtr"}, {0x067, "read_gdtr"},
	{0x068, "read_ldtr"}, {0x069, "read_tr"}, {0x070, "pushf"}, {0x073, "rsm"}, {0x076, "invd"}, {0x07d, "task_switch"},
	{0x07e, "ferr_freeze"}, {0x07f, "triple_fault"}, {0x088, "icebp"}, {0x08a, "monitor"}, {0x08f, "write_efer_trap"},
	{0x0a2, "invpcid"}, {0x0a5, "bus_lock"}, {0x0a6, "idle_hlt"}, {0x403, "vmgexit"},
}

func reasonsOf(isa ISA) []exitReason {
	if isa == SVM {
		return svmReasons
	}
	return vmxReasons
}

// exitCode folds a vendor's reason as exit_class() of bpf/kvm.bpf.c does.
func exitCode(isa ISA, r uint32) uint32 {
	if isa == VMX {
		r &= 0xffff
	}
	switch {
	case r < 0xb0:
		return r
	case isa == SVM && r >= 0x400 && r < 0x40f:
		return r - 0x400 + 0xb0
	}
	return exitCodes - 1
}

// exitClassTable gives each of an ISA's exit reasons its class; class 0 is
// "other".
func exitClassTable(isa ISA) [exitCodes]uint8 {
	var table [exitCodes]uint8
	for i, r := range reasonsOf(isa) {
		table[exitCode(isa, r.code)] = uint8(i + 1)
	}
	return table
}

// exitReasonName names a class.
func exitReasonName(isa ISA, class int) string {
	rs := reasonsOf(isa)
	if class < 1 || class > len(rs) {
		return "other"
	}
	return rs[class-1].name
}

// userExitNames are KVM_EXIT_* of include/uapi/linux/kvm.h.
var userExitNames = []string{
	"unknown", "exception", "io", "hypercall", "debug", "hlt", "mmio", "irq_window_open", "shutdown", "fail_entry",
	"intr", "set_tpr", "tpr_access", "s390_sieic", "s390_reset", "dcr", "nmi", "internal_error", "osi", "papr_hcall",
	"s390_ucontrol", "watchdog", "s390_tsch", "epr", "system_event", "s390_stsi", "ioapic_eoi", "hyperv", "arm_nisv",
	"x86_rdmsr", "x86_wrmsr", "dirty_ring_full", "ap_reset_hold", "x86_bus_lock", "xen", "riscv_sbi", "riscv_csr",
	"notify", "loongarch_iocsr", "memory_fault", "tdx", "arm_sea",
}

// userExitClasses is USER_EXIT_CLASSES, userExitRows USER_EXIT_ROWS of bpf/event.h.
const (
	userExitClasses = 64
	userExitRows    = 16
)

// userExitsWithRow have a histogram of their own, from row 1 on: those that x86
// guests exit with and live on. The rest share row 0.
var userExitsWithRow = []int{2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 24, 26, 27, 29, 30}

// userExitRowTable gives each KVM_EXIT_* its row.
func userExitRowTable() [userExitClasses]uint8 {
	var table [userExitClasses]uint8
	for i, reason := range userExitsWithRow {
		table[reason] = uint8(i + 1)
	}
	return table
}

// userExitRowName names a row.
func userExitRowName(row int) string {
	if row < 1 || row > len(userExitsWithRow) {
		return "other"
	}
	return UserExitName(userExitsWithRow[row-1])
}

// UserExitName names a KVM_EXIT_* reason.
func UserExitName(r int) string {
	if r >= 0 && r < len(userExitNames) {
		return userExitNames[r]
	}
	return fmt.Sprintf("exit_%d", r)
}
