/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Classic tracepoints: what their programs return, and KVM's records, with the
 * constants that stand in them.
 */
#ifndef UKPROBE_TRACEPOINTS_H
#define UKPROBE_TRACEPOINTS_H

#include "kernel.h"

/*
 * With 0 the kernel would drop the event for everybody else who has it open by perf
 * (perf_trace_run_bpf_submit).
 */
#define PERF_KEEP 1

#define KVM_ISA_VMX 1
#define KVM_ISA_SVM 2

#define KVM_PIO_OUT 1

/* events/kvm/kvm_exit/format; the first three fields since 2.6.36 */
struct tp_kvm_exit {
	u64 common;
	u32 reason;
	u32 pad;
	u64 guest_rip;
	u32 isa;
};

/* events/kvm/kvm_pio/format; with val since 3.17 */
struct tp_pio {
	u64 common;
	u32 rw;
	u32 port;
	u32 size;
	u32 times;
	u32 val;
};

/* events/kvm/kvm_emulate_insn/format */
struct tp_insn {
	u64 common;
	u64 rip;
	u32 csbase;
	u8 len;
	u8 insn[15];
};

#endif
