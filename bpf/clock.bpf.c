//go:build ignore
/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The guest's clock: the offset and the scaling of its TSC, by which a time that
 * it read itself becomes a time of the host; and the write by which a guest
 * tells Firecracker that it has booted, in its two forms by MMIO.
 */
#include "maps.h"

/* How much of a guest's TSC is kept: vCPUs by their id, and changes of each. */
#define TSC_VCPUS 16
#define TSC_CHANGES 8
#define TSC_ROWS (MAX_SLOTS * TSC_VCPUS)

/* enum of include/trace/events/kvm.h, KVM_TRACE_MMIO_WRITE */
#define MMIO_WRITE 2

/*
 * Firecracker's boot timer, firecracker-microvm/firecracker src/vmm/src/devices/
 * pseudo/boot_timer.rs: one byte of this value. The address moved from the first
 * MMIO slot at 0xd0000000 to 0xc0000000; before both it was a port: bpf/kvm.bpf.c.
 */
#define BOOT_TIMER_VALUE 123
#define BOOT_TIMER_OLD 0xd0000000ULL
#define BOOT_TIMER_NEW 0xc0000000ULL

/* From ns on the guest's TSC was the host's, scaled, plus offset. */
struct tsc_change {
	u64 ns;
	u64 offset;
};

struct tsc_state {
	u64 changes; /* ever; the last ones are in change[], at their number modulo TSC_CHANGES */
	u64 ratio; /* fixed point, see probe/clock.go; 0 while unknown */
	u64 ratio_ns; /* when it was read */
	struct tsc_change change[TSC_CHANGES];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TSC_ROWS);
	__type(key, u32); /* slot * TSC_VCPUS + vCPU id */
	__type(value, struct tsc_state);
} tsc SEC(".maps");

static __always_inline struct tsc_state *tsc_of(u32 slot, u32 vcpu_id)
{
	u32 key = slot * TSC_VCPUS + vcpu_id;

	return vcpu_id < TSC_VCPUS ? bpf_map_lookup_elem(&tsc, &key) : NULL;
}

/* ---- The offset ---- */

/*
 * Fires in the VMM's thread that creates or resets a vCPU, and in the vCPU's own
 * when the guest writes its TSC: one vCPU's changes come one after the other.
 * The arguments are the same in 5.10, 6.1, 6.12 and 6.18; the last one is the
 * offset of the VM's own TSC, not of a guest nested in it.
 */
static __always_inline int tsc_offset(u32 vcpu_id, u64 offset)
{
	u64 now = bpf_ktime_get_ns();
	struct tsc_change *c;
	struct tsc_state *s;
	struct target *t;

	hit(HOOK_TSC_OFFSET);
	t = current_target();
	if (!t)
		return 0;
	s = tsc_of(t->slot, vcpu_id);
	if (!s)
		return 0;
	c = &s->change[s->changes % TSC_CHANGES];
	c->ns = now;
	c->offset = offset;
	s->changes++;
	return 0;
}

SEC("tp_btf/kvm_write_tsc_offset")
int BPF_PROG(tp_btf_tsc_offset, unsigned int vcpu_id, u64 previous, u64 next)
{
	return tsc_offset(vcpu_id, next);
}

SEC("raw_tp/kvm_write_tsc_offset")
int raw_tp_tsc_offset(struct bpf_raw_tracepoint_args *ctx)
{
	return tsc_offset((u32)ctx->args[0], ctx->args[2]);
}

/* events/kvm/kvm_write_tsc_offset/format */
struct tp_tsc_offset {
	u64 common;
	u32 vcpu_id;
	u32 pad;
	u64 previous;
	u64 next;
};

SEC("tp/kvm/kvm_write_tsc_offset")
int tracepoint_tsc_offset(struct tp_tsc_offset *ctx)
{
	tsc_offset(ctx->vcpu_id, ctx->next);
	return PERF_KEEP;
}

/* ---- The scaling ---- */

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

/* Since 5.14: the VM's own ratio, apart from a nested guest's. */
struct kvm_vcpu_arch___l1 {
	u64 l1_tsc_scaling_ratio;
};

struct kvm_vcpu___l1 {
	struct kvm_vcpu_arch___l1 arch;
};

struct kvm_vcpu_arch___scaling {
	u64 tsc_scaling_ratio;
};

struct kvm_vcpu___scaling {
	struct kvm_vcpu_arch___scaling arch;
};

#pragma clang attribute pop

static __always_inline u64 read_ratio(struct kvm_vcpu *vcpu)
{
	if (bpf_core_field_exists(struct kvm_vcpu___l1, arch.l1_tsc_scaling_ratio)) {
		struct kvm_vcpu___l1 *v = (void *)vcpu;

		return BPF_CORE_READ(v, arch.l1_tsc_scaling_ratio);
	}
	if (bpf_core_field_exists(struct kvm_vcpu___scaling, arch.tsc_scaling_ratio)) {
		struct kvm_vcpu___scaling *v = (void *)vcpu;

		return BPF_CORE_READ(v, arch.tsc_scaling_ratio);
	}
	return 0;
}

/*
 * The ratio is set after the vCPU is made (KVM_SET_TSC_KHZ), so it is read where
 * the vCPU runs.
 */
static __always_inline int tsc_ratio(struct kvm_vcpu *vcpu)
{
	struct tsc_state *s;
	struct target *t;

	hit(HOOK_TSC_RATIO);
	t = current_target();
	if (!t)
		return 0;
	s = tsc_of(t->slot, BPF_CORE_READ(vcpu, vcpu_id));
	if (!s)
		return 0;
	s->ratio = read_ratio(vcpu);
	s->ratio_ns = bpf_ktime_get_ns();
	return 0;
}

SEC("kprobe/kvm_arch_vcpu_ioctl_run")
int BPF_KPROBE(kprobe_tsc_ratio, struct kvm_vcpu *vcpu)
{
	return tsc_ratio(vcpu);
}

SEC("fentry/kvm_arch_vcpu_ioctl_run")
int BPF_PROG(fentry_tsc_ratio, struct kvm_vcpu *vcpu)
{
	return tsc_ratio(vcpu);
}

/* The first argument is the vCPU since 5.6. */
SEC("tp_btf/kvm_entry")
int BPF_PROG(tp_btf_tsc_ratio, struct kvm_vcpu *vcpu)
{
	return tsc_ratio(vcpu);
}

SEC("raw_tp/kvm_entry")
int raw_tp_tsc_ratio(struct bpf_raw_tracepoint_args *ctx)
{
	return tsc_ratio((struct kvm_vcpu *)ctx->args[0]);
}

/* ---- Firecracker's boot timer, by MMIO ---- */

static __always_inline int mmio(u32 type, u32 len, u64 gpa, u8 value)
{
	struct target *t;

	hit(HOOK_MMIO);
	if (type != MMIO_WRITE || len != 1 || value != BOOT_TIMER_VALUE)
		return 0;
	if (gpa != BOOT_TIMER_OLD && gpa != BOOT_TIMER_NEW)
		return 0;
	t = current_target();
	if (t && t->flags & TARGET_BOOT_TIMER)
		mark(t->slot, MARK_BOOT_TIMER, HOOK_MMIO, bpf_ktime_get_ns());
	return 0;
}

static __always_inline int mmio_data(u32 type, u32 len, u64 gpa, const void *data)
{
	u8 value = 0;

	if (type == MMIO_WRITE && len == 1)
		bpf_probe_read_kernel(&value, sizeof(value), data);
	return mmio(type, len, gpa, value);
}

/* The last argument by helper: before 6.3 the verifier refuses a void *. */
SEC("tp_btf/kvm_mmio")
int BPF_PROG(tp_btf_mmio, int type, int len, u64 gpa)
{
	const void *data = NULL;

	bpf_probe_read_kernel(&data, sizeof(data), ctx + 3);
	return mmio_data(type, len, gpa, data);
}

SEC("raw_tp/kvm_mmio")
int raw_tp_mmio(struct bpf_raw_tracepoint_args *ctx)
{
	return mmio_data(ctx->args[0], ctx->args[1], ctx->args[2], (const void *)ctx->args[3]);
}

/* events/kvm/kvm_mmio/format */
struct tp_mmio {
	u64 common;
	u32 type;
	u32 len;
	u64 gpa;
	u64 val;
};

SEC("tp/kvm/kvm_mmio")
int tracepoint_mmio(struct tp_mmio *ctx)
{
	mmio(ctx->type, ctx->len, ctx->gpa, ctx->val);
	return PERF_KEEP;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
