/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The few kernel types that the programs look into, for CO-RE.
 *
 * Only the members that are read are listed; offsets come from the running
 * kernel's BTF (vmlinux, kvm, kvm_amd, kvm_intel, tun). A type that the
 * running kernel does not have (vcpu_svm on an Intel host) is guarded by
 * bpf_core_type_exists() where it is used.
 */
#ifndef UKPROBE_KERNEL_H
#define UKPROBE_KERNEL_H

#include <linux/types.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s32 s32;
typedef __s64 s64;
typedef _Bool bool;
#define true 1
#define false 0
#define NULL ((void *)0)

/* From include/uapi/linux/bpf.h, by way of the system's headers. */
#include <linux/bpf.h>

/* bpf_tracing.h then uses the kernel's register names. */
#define __VMLINUX_H__

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct pt_regs {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8;
	unsigned long ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};

typedef struct {
	int counter;
} atomic_t;

struct signal_struct {
	atomic_t live; /* threads that have not exited */
};

struct pid {
	unsigned int level; /* of its pid namespace: 0 is the host's */
};

struct task_struct {
	int pid;
	int tgid;
	u64 start_time; /* CLOCK_MONOTONIC, ns */
	struct task_struct *real_parent;
	struct pid *thread_pid;
	struct signal_struct *signal;
	unsigned int __state;
};

/* Until 5.13 (kernel commit 2f064a59a11f). */
struct task_struct___v513 {
	long state;
};

struct linux_binprm;

struct kvm_run {
	u32 exit_reason;
};

struct x86_emulate_ctxt {
	unsigned long eip;
};

struct kvm_vcpu_arch {
	unsigned long regs[17]; /* enum kvm_reg: 16 is RIP */
	struct x86_emulate_ctxt *emulate_ctxt;
};

struct kvm_vcpu {
	int vcpu_id;
	struct kvm_run *run;
	struct kvm_vcpu_arch arch;
};

struct vmcb_control_area {
	u32 exit_code;
};

struct vmcb_seg {
	u64 base;
};

struct vmcb_save_area {
	struct vmcb_seg cs;
};

struct vmcb {
	struct vmcb_control_area control;
	struct vmcb_save_area save;
};

/* struct vcpu_svm begins with its struct kvm_vcpu (kernel: a static assertion). */
struct vcpu_svm {
	struct vmcb *vmcb;
};

union vmx_exit_reason {
	u32 full;
};

/* Since 5.11 (kernel commit 8e53324021645): a union. */
struct vcpu_vmx {
	union vmx_exit_reason exit_reason;
};

/* Until 5.10: a plain integer. */
struct vcpu_vmx___v510 {
	u32 exit_reason;
};

/* Since 6.16 (kernel commit 7172c753c26a): shared with TDX in struct vcpu_vt. */
struct vcpu_vt {
	union vmx_exit_reason exit_reason;
};

struct vcpu_vmx___vt {
	struct vcpu_vt vt;
};

struct ns_common {
	unsigned int inum;
};

struct net {
	struct ns_common ns;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct net_device {
	int ifindex;
	possible_net_t nd_net;
};

struct sk_buff {
	struct net_device *dev;
	unsigned int len;
};

struct tun_struct {
	struct net_device *dev;
};

struct iov_iter {
	u64 count;
};

#pragma clang attribute pop

#endif
