/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * An exit and the entry after it: what happens a million times a second. No hash,
 * one clock each, and two array lookups besides the vCPU's own.
 */
#ifndef UKPROBE_EXIT_H
#define UKPROBE_EXIT_H

#include "vcpu.h"

/* KVM_ISA_VMX or KVM_ISA_SVM: what the host's CPU has. Filled in by probe/exitreason.go. */
volatile const u32 host_isa = 0;

/* Filled in by probe/exitreason.go for the host's vendor. */
volatile const u8 exit_class_of[EXIT_CODES] = {};

/*
 * exit_class folds a reason into a class. VMX: the basic reason (bits 0 to 15;
 * below 128 so far). SVM: 0x000 to 0x0af as they are, 0x400 to 0x40e from 0xb0
 * on. What has no class of its own is class 0.
 */
static __always_inline u32 exit_class(u32 isa, u32 reason)
{
	u32 code = EXIT_CODES - 1;

	if (isa == KVM_ISA_VMX)
		reason &= 0xffff;
	if (reason < 0xb0)
		code = reason;
	else if (isa == KVM_ISA_SVM && reason >= 0x400 && reason < 0x40f)
		code = reason - 0x400 + 0xb0;
	asm volatile("" : "+r"(code)); /* or clang drops the bound that the verifier needs */
	return exit_class_of[code % EXIT_CODES] % EXIT_CLASSES;
}

static __always_inline bool wanted(struct vcpu_state *v)
{
	struct slot *s;

	if (v->seen & SEEN_ALL_RIP)
		return false;
	s = bpf_map_lookup_elem(&slots, &v->slot);
	if (s && s->wanted)
		return true;
	v->seen |= SEEN_ALL_RIP;
	return false;
}

/* What the time since the exit consisted of, where it was not all KVM's. */
static __always_inline void add_parts(struct vcpu_state *v, u32 key)
{
	struct parts *p;

	if (!(v->parts.vmm | v->parts.halted | v->parts.waited))
		return;
	p = bpf_map_lookup_elem(&exit_parts, &key);
	if (p) {
		p->vmm += v->parts.vmm;
		p->halted += v->parts.halted;
		p->waited += v->parts.waited;
	}
	__builtin_memset(&v->parts, 0, sizeof(v->parts));
}

static __always_inline u32 exit_row(u32 class)
{
	return class < EXIT_ROWS ? class : 0;
}

static __always_inline int guest_entry(u64 vcpu)
{
	struct vcpu_state *v = current_vcpu(HOOK_ENTRY);
	u64 now;
	u32 key;

	if (!v)
		return 0;
	now = bpf_ktime_get_ns();
	if (vcpu)
		v->vcpu = vcpu;
	mark_vcpu(v, MARK_GUEST_ENTRY, HOOK_ENTRY, now);
	if (v->exit_ns) {
		key = v->slot * EXIT_ROWS + exit_row(v->exit_class);
		observe(&exit_hist, key, now - v->exit_ns);
		add_parts(v, key);
		v->exit_ns = 0;
	} else {
		count(v->slot, COUNT_ENTRY, 1);
	}
	v->entry_ns = now;
	return 0;
}

/* The exit itself; where the guest was is asked for by the caller, if wanted. */
static __always_inline void guest_exit(struct vcpu_state *v, u64 now, u32 isa, u32 reason)
{
	u32 class = exit_class(isa, reason);
	u32 key = v->slot * EXIT_ROWS + exit_row(class);
	struct hist *h = bpf_map_lookup_elem(&guest_hist, &key);

	if (v->exit_ns) /* the entry in between was not seen: its parts are nobody's */
		__builtin_memset(&v->parts, 0, sizeof(v->parts));
	v->exit_ns = now;
	v->exit_class = class;
	v->waited_asleep = 0;
	if (h) {
		h->count++;
		if (v->entry_ns)
			hist_bucket(h, now - v->entry_ns);
	}
	v->entry_ns = 0;
	if (class >= EXIT_ROWS)
		add_one(&exits, v->slot * EXIT_CLASSES + class);
}

#endif
