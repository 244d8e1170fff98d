//go:build ignore
/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Where guests were: the instruction pointers of the last halts, writes to the
 * console, writes to other ports, and other exits, of each cgroup whose threads run
 * a vCPU. Classic tracepoints only: their records have the instruction pointer with
 * both vendors.
 *
 * These programs share no map with the others: they work with or without a watch.
 */
#include "tracepoints.h"
#include <bpf/bpf_helpers.h>

#define MAX_GROUPS 1024
#define MAX_ADDRESSES 32 /* the last ones, of each kind */

#define VMX_EXIT_HLT 12 /* arch/x86/include/uapi/asm/vmx.h */
#define SVM_EXIT_HLT 0x78 /* arch/x86/include/uapi/asm/svm.h */
#define VMX_EXIT_IO 30
#define SVM_EXIT_IO 0x7b
#define VMX_BASIC_REASON 0xffff

#define CONSOLE_PORT 0x3f8 /* the first serial port of a PC */
#define OPCODE_HLT 0xf4

/* Order and values: probe/addresses.go. */
enum address_kind {
	ADDRESS_HALT,
	ADDRESS_CONSOLE, /* OUT to the first serial port */
	ADDRESS_PORT, /* OUT to any other */
	ADDRESS_OTHER, /* any other exit */
	ADDRESS_KINDS,
};

struct addresses {
	u64 seen[ADDRESS_KINDS]; /* ever; the last ones are in last[], at their number modulo MAX_ADDRESSES */
	u64 last[ADDRESS_KINDS][MAX_ADDRESSES];
};

/* The least recently used goes: cgroups end without a word. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_GROUPS);
	__type(key, u64); /* cgroup id */
	__type(value, struct addresses);
} groups SEC(".maps");

/* What is too large for a program's stack. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct addresses);
} nothing SEC(".maps");

/* The instruction that a CPU's vCPU thread was last stopped at. */
struct at {
	u64 rip;
	u32 tid;
	u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct at);
} stopped SEC(".maps");

static __always_inline void note(u32 kind, u64 rip)
{
	u64 group = bpf_get_current_cgroup_id(), n;
	struct addresses *a = bpf_map_lookup_elem(&groups, &group), *none;
	u32 zero = 0;

	if (!a) {
		none = bpf_map_lookup_elem(&nothing, &zero);
		if (!none)
			return;
		bpf_map_update_elem(&groups, &group, none, BPF_NOEXIST);
		a = bpf_map_lookup_elem(&groups, &group);
		if (!a)
			return;
	}
	if (kind >= ADDRESS_KINDS)
		return;
	/* Without the old value: Linux before 5.12 has no BPF_FETCH. Two vCPUs that meet
	 * here only share a place. */
	n = a->seen[kind];
	__sync_fetch_and_add(&a->seen[kind], 1);
	a->last[kind][n % MAX_ADDRESSES] = rip;
}

static __always_inline void stop_at(u64 rip)
{
	u32 zero = 0;
	struct at *s = bpf_map_lookup_elem(&stopped, &zero);

	if (!s)
		return;
	s->rip = rip;
	s->tid = (u32)bpf_get_current_pid_tgid();
}

SEC("tp/kvm/kvm_exit")
int address_exit(struct tp_kvm_exit *ctx)
{
	u32 reason = ctx->reason, halt = SVM_EXIT_HLT, io = SVM_EXIT_IO;
	u64 rip = ctx->guest_rip;

	if (ctx->isa == KVM_ISA_VMX) {
		reason &= VMX_BASIC_REASON;
		halt = VMX_EXIT_HLT;
		io = VMX_EXIT_IO;
	}
	if (reason == io)
		stop_at(rip); /* which port, kvm_pio says */
	else
		note(reason == halt ? ADDRESS_HALT : ADDRESS_OTHER, rip);
	return PERF_KEEP;
}

/* The only sight of a guest without hardware support: each of its instructions. */
SEC("tp/kvm/kvm_emulate_insn")
int address_insn(struct tp_insn *ctx)
{
	u64 rip = ctx->csbase + ctx->rip;

	if (ctx->insn[0] == OPCODE_HLT)
		note(ADDRESS_HALT, rip);
	else
		stop_at(rip);
	return PERF_KEEP;
}

SEC("tp/kvm/kvm_pio")
int address_pio(struct tp_pio *ctx)
{
	u32 zero = 0;
	struct at *s = bpf_map_lookup_elem(&stopped, &zero);

	if (!s || ctx->rw != KVM_PIO_OUT || s->tid != (u32)bpf_get_current_pid_tgid())
		return PERF_KEEP;
	note(ctx->port == CONSOLE_PORT ? ADDRESS_CONSOLE : ADDRESS_PORT, s->rip);
	return PERF_KEEP;
}

/* For bpf2go, which exports only types that something refers to. */
const enum address_kind *unused_address_kind __attribute__((unused));
const struct addresses *unused_addresses __attribute__((unused));

char LICENSE[] SEC("license") = "Dual BSD/GPL";
