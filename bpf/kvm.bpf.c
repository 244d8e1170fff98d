//go:build ignore
// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * KVM: creation of the VM and its vCPUs, entries, exits, port accesses, CPUID,
 * halts, and the instructions that KVM emulates. One inline body per subject;
 * around it a thin wrapper per rung, which only fetches the arguments.
 *
 * Functions that exist per vendor (svm_vcpu_run, vmx_vcpu_run) are named here
 * for AMD; user space puts in the one that the host has.
 */
#include "maps.h"

#define KVM_CREATE_VM 0xae01

#define KVM_ISA_VMX 1
#define KVM_ISA_SVM 2
#define KVM_PIO_BUS 1 /* enum kvm_bus: KVM_MMIO_BUS is 0 */
#define KVM_PIO_OUT 1

/* include/uapi/linux/kvm.h */
#define KVM_EXIT_SHUTDOWN 8
#define KVM_EXIT_INTR 10
#define KVM_EXIT_INTERNAL_ERROR 17

/* include/uapi/linux/serial_reg.h, as offsets from a UART's base port. */
#define UART_TX 0
#define UART_LCR 3
#define UART_LCR_DLAB 0x80

#define VCPU_REGS_RIP 16

/* KVM_ISA_VMX or KVM_ISA_SVM: what the host's CPU has. Filled in by probe/exitreason.go. */
volatile const u32 host_isa = 0;

/* The state of the current thread as a vCPU, if it belongs to a watched VM. */
static __always_inline struct vcpu_state *current_vcpu(void)
{
	u32 tid = (u32)bpf_get_current_pid_tgid();
	struct vcpu_state *v = bpf_map_lookup_elem(&vcpus, &tid);
	struct vcpu_state fresh = {};
	struct target *t;

	if (v)
		return v;
	t = current_target();
	if (!t)
		return NULL;
	fresh.slot = t->slot;
	if (bpf_map_update_elem(&vcpus, &tid, &fresh, BPF_NOEXIST))
		count(t->slot, LOST_VCPUS, 1);
	return bpf_map_lookup_elem(&vcpus, &tid);
}

/* ---- KVM_CREATE_VM ---- */

static __always_inline int vm_ioctl_enter(u64 cmd)
{
	struct target *t = current_target();
	u32 tid = (u32)bpf_get_current_pid_tgid();
	u64 now = bpf_ktime_get_ns();

	if (!t || cmd != KVM_CREATE_VM)
		return 0;
	mark(t->slot, MARK_VM_CREATE, HOOK_VM_IOCTL, now);
	bpf_map_update_elem(&creating, &tid, &now, BPF_ANY);
	return 0;
}

static __always_inline int vm_ioctl_return(long ret)
{
	u32 tid = (u32)bpf_get_current_pid_tgid();
	struct target *t;

	hit(HOOK_VM_IOCTL);
	t = current_target();
	if (!t || !bpf_map_lookup_elem(&creating, &tid))
		return 0;
	if (ret >= 0)
		mark(t->slot, MARK_VM_CREATED, HOOK_VM_IOCTL, bpf_ktime_get_ns());
	bpf_map_delete_elem(&creating, &tid);
	return 0;
}

SEC("kprobe/kvm_dev_ioctl")
int BPF_KPROBE(kprobe_vm_ioctl, void *file, unsigned int cmd)
{
	return vm_ioctl_enter(cmd);
}

SEC("kretprobe/kvm_dev_ioctl")
int BPF_KRETPROBE(kretprobe_vm_ioctl, long ret)
{
	return vm_ioctl_return(ret);
}

SEC("fentry/kvm_dev_ioctl")
int BPF_PROG(fentry_vm_ioctl, void *file, unsigned int cmd)
{
	return vm_ioctl_enter(cmd);
}

SEC("fexit/kvm_dev_ioctl")
int BPF_PROG(fexit_vm_ioctl, void *file, unsigned int cmd, unsigned long arg, long ret)
{
	return vm_ioctl_return(ret);
}

/* ---- KVM_CREATE_VCPU: its last step ---- */

static __always_inline int vcpu_created(void)
{
	u64 now = bpf_ktime_get_ns();
	struct target *t;

	hit(HOOK_VCPU);
	t = current_target();
	if (t)
		mark(t->slot, MARK_VCPU_CREATED, HOOK_VCPU, now);
	return 0;
}

SEC("kprobe/kvm_arch_vcpu_postcreate")
int kprobe_vcpu(void *ctx)
{
	return vcpu_created();
}

SEC("fentry/kvm_arch_vcpu_postcreate")
int BPF_PROG(fentry_vcpu)
{
	return vcpu_created();
}

/* ---- KVM_RUN: into KVM, and out of it to the VMM ---- */

static __always_inline int run_enter(u64 vcpu)
{
	u64 now = bpf_ktime_get_ns();
	struct vcpu_state *v;
	struct hist *h;
	u32 key;

	hit(HOOK_RUN);
	v = current_vcpu();
	if (!v)
		return 0;
	v->vcpu = vcpu;
	mark(v->slot, MARK_FIRST_RUN, HOOK_RUN, now);
	if (!v->user_exit_ns)
		return 0;
	key = v->slot * USER_EXIT_CLASSES + v->user_exit_class;
	h = bpf_map_lookup_elem(&user_exit_hist, &key);
	if (h)
		hist_observe(h, now - v->user_exit_ns);
	v->user_exit_ns = 0;
	return 0;
}

SEC("kprobe/kvm_arch_vcpu_ioctl_run")
int BPF_KPROBE(kprobe_run, struct kvm_vcpu *vcpu)
{
	return run_enter((u64)vcpu);
}

SEC("fentry/kvm_arch_vcpu_ioctl_run")
int BPF_PROG(fentry_run, struct kvm_vcpu *vcpu)
{
	return run_enter((u64)vcpu);
}

/* error: KVM_RUN's result; with one the reason is an earlier exit's. */
static __always_inline int user_exit(struct vcpu_state *v, u32 reason, int error)
{
	u32 class = reason < USER_EXIT_CLASSES ? reason : USER_EXIT_CLASSES - 1;
	u64 now = bpf_ktime_get_ns();

	if (error < 0)
		class = KVM_EXIT_INTR;
	add_one(&user_exits, v->slot * USER_EXIT_CLASSES + class);
	count(v->slot, COUNT_USER_EXIT, 1);
	v->user_exit_ns = now;
	v->user_exit_class = class;
	if (class == KVM_EXIT_INTERNAL_ERROR)
		mark(v->slot, MARK_INTERNAL_ERROR, HOOK_USER_EXIT, now);
	if (class == KVM_EXIT_SHUTDOWN)
		mark(v->slot, MARK_SHUTDOWN, HOOK_USER_EXIT, now);
	return 0;
}

static __always_inline int user_exit_reason(u32 reason, int error)
{
	struct vcpu_state *v;

	hit(HOOK_USER_EXIT);
	v = current_vcpu();
	return v ? user_exit(v, reason, error) : 0;
}

/* Returning from KVM_RUN: the reason stands in the page shared with the VMM. */
static __always_inline int user_exit_return(struct kvm_vcpu *vcpu, int error)
{
	struct vcpu_state *v;

	hit(HOOK_USER_EXIT);
	v = current_vcpu();
	if (!v)
		return 0;
	if (!vcpu)
		vcpu = (struct kvm_vcpu *)v->vcpu;
	if (!vcpu)
		return 0;
	return user_exit(v, BPF_CORE_READ(vcpu, run, exit_reason), error);
}

SEC("kretprobe/kvm_arch_vcpu_ioctl_run")
int BPF_KRETPROBE(kretprobe_user_exit, int ret)
{
	return user_exit_return(NULL, ret);
}

SEC("fexit/kvm_arch_vcpu_ioctl_run")
int BPF_PROG(fexit_user_exit, struct kvm_vcpu *vcpu, int ret)
{
	return user_exit_return(vcpu, ret);
}

SEC("tp_btf/kvm_userspace_exit")
int BPF_PROG(tp_btf_user_exit, u32 reason, int error)
{
	return user_exit_reason(reason, error);
}

SEC("raw_tp/kvm_userspace_exit")
int raw_tp_user_exit(struct bpf_raw_tracepoint_args *ctx)
{
	return user_exit_reason((u32)ctx->args[0], (int)ctx->args[1]);
}

/* events/kvm/kvm_userspace_exit/format; unchanged since 2.6.37 */
struct tp_user_exit {
	u64 common;
	u32 reason;
	int error;
};

SEC("tp/kvm/kvm_userspace_exit")
int tracepoint_user_exit(struct tp_user_exit *ctx)
{
	return user_exit_reason(ctx->reason, ctx->error);
}

/* ---- Guest entry ---- */

static __always_inline int guest_entry(u64 vcpu)
{
	u64 now = bpf_ktime_get_ns();
	struct vcpu_state *v;
	struct hist *h;
	u32 key;

	hit(HOOK_ENTRY);
	v = current_vcpu();
	if (!v)
		return 0;
	if (vcpu)
		v->vcpu = vcpu;
	count(v->slot, COUNT_ENTRY, 1);
	mark(v->slot, MARK_GUEST_ENTRY, HOOK_ENTRY, now);
	if (v->exit_ns) {
		key = v->slot * EXIT_CLASSES + v->exit_class;
		h = bpf_map_lookup_elem(&exit_hist, &key);
		if (h)
			hist_observe(h, now - v->exit_ns);
		v->exit_ns = 0;
	}
	v->entry_ns = now;
	return 0;
}

SEC("kprobe/svm_vcpu_run")
int BPF_KPROBE(kprobe_entry, struct kvm_vcpu *vcpu)
{
	return guest_entry((u64)vcpu);
}

SEC("fentry/svm_vcpu_run")
int BPF_PROG(fentry_entry, struct kvm_vcpu *vcpu)
{
	return guest_entry((u64)vcpu);
}

/* The first argument was the vCPU's number until 5.5, the vCPU since. Not needed. */
SEC("tp_btf/kvm_entry")
int BPF_PROG(tp_btf_entry)
{
	return guest_entry(0);
}

SEC("raw_tp/kvm_entry")
int raw_tp_entry(void *ctx)
{
	return guest_entry(0);
}

SEC("tp/kvm/kvm_entry")
int tracepoint_entry(void *ctx)
{
	return guest_entry(0);
}

/* ---- Guest exit ---- */

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

/*
 * A guest's instruction pointer inside the image ends the firmware. It is the
 * first such address that is *seen*, so an upper bound.
 */
static __always_inline void check_rip(u32 slot, u64 rip, u32 hook, u64 now)
{
	struct slot *s = bpf_map_lookup_elem(&slots, &slot);
	int i;

	if (!s || s->marks[MARK_FIRMWARE_END].ns)
		return;
#pragma unroll
	for (i = 0; i < MAX_SEGMENTS; i++) {
		if (rip >= s->image[i].lo && rip < s->image[i].hi) {
			mark(slot, MARK_FIRMWARE_END, hook, now);
			return;
		}
	}
}

static __always_inline void halted(u32 slot, u64 since)
{
	struct slot *s = bpf_map_lookup_elem(&slots, &slot);
	struct record *r;

	count(slot, COUNT_HALT, 1);
	/* A halt that is told at its end may have begun before the last activity. */
	if (!s || !s->active_ns || since < s->active_ns)
		return;
	s->active_ns = 0;
	r = bpf_ringbuf_reserve(&records, RECORD_HEADER, 0);
	if (!r) {
		count(slot, LOST_RINGBUF, 1);
		return;
	}
	r->ns = since;
	r->last_ns = since;
	r->kind = RECORD_HALT;
	r->slot = slot;
	r->hook = HOOK_HALT;
	r->arg = 0;
	bpf_ringbuf_submit(r, 0);
}

static __always_inline int guest_exit(struct vcpu_state *v, u32 isa, u32 reason, u64 rip)
{
	u64 now = bpf_ktime_get_ns();

	count(v->slot, COUNT_EXIT, 1);
	v->exit_ns = now;
	v->exit_class = exit_class(isa, reason);
	add_one(&exits, v->slot * EXIT_CLASSES + v->exit_class);
	if (rip)
		check_rip(v->slot, rip, HOOK_KVM_EXIT, now);
	return 0;
}

/*
 * The reason from the structure of the host's vendor; a kernel can have both
 * vendors' built in. All ones, so "other", where it does not have the type: user
 * space then prefers the tracepoint, whose record has the reason.
 */
static __always_inline u32 read_reason(void *vcpu)
{
	if (host_isa == KVM_ISA_SVM && bpf_core_type_exists(struct vcpu_svm)) {
		struct vcpu_svm *svm = vcpu;

		return BPF_CORE_READ(svm, vmcb, control.exit_code);
	}
	if (host_isa != KVM_ISA_VMX)
		return ~0U;
	if (bpf_core_field_exists(struct vcpu_vmx, exit_reason.full)) {
		struct vcpu_vmx *vmx = vcpu;

		return BPF_CORE_READ(vmx, exit_reason.full);
	}
	if (bpf_core_field_exists(struct vcpu_vmx___vt, vt.exit_reason.full)) {
		struct vcpu_vmx___vt *vmx = vcpu;

		return BPF_CORE_READ(vmx, vt.exit_reason.full);
	}
	if (bpf_core_field_exists(struct vcpu_vmx___v510, exit_reason)) {
		struct vcpu_vmx___v510 *vmx = vcpu;

		return BPF_CORE_READ(vmx, exit_reason);
	}
	return ~0U;
}

static __always_inline int guest_exit_vcpu(struct kvm_vcpu *vcpu)
{
	struct vcpu_state *v;
	u64 rip = 0;

	hit(HOOK_KVM_EXIT);
	v = current_vcpu();
	if (!v)
		return 0;
	if (!vcpu)
		vcpu = (struct kvm_vcpu *)v->vcpu;
	if (!vcpu) /* an exit that began before anything was known of this vCPU */
		return guest_exit(v, host_isa, ~0U, 0);
	/* SVM keeps it current at every exit; VMX reads it from the VMCS on demand. */
	if (host_isa == KVM_ISA_SVM)
		rip = BPF_CORE_READ(vcpu, arch.regs[VCPU_REGS_RIP]);
	return guest_exit(v, host_isa, read_reason(vcpu), rip);
}

SEC("kretprobe/svm_vcpu_run")
int BPF_KRETPROBE(kretprobe_kvm_exit)
{
	return guest_exit_vcpu(NULL);
}

SEC("fexit/svm_vcpu_run")
int BPF_PROG(fexit_kvm_exit, struct kvm_vcpu *vcpu)
{
	return guest_exit_vcpu(vcpu);
}

/* (vcpu, isa) since 5.13; user space does not load it on an older kernel. */
SEC("tp_btf/kvm_exit")
int BPF_PROG(tp_btf_kvm_exit, struct kvm_vcpu *vcpu)
{
	return guest_exit_vcpu(vcpu);
}

SEC("raw_tp/kvm_exit")
int raw_tp_kvm_exit(struct bpf_raw_tracepoint_args *ctx)
{
	return guest_exit_vcpu((struct kvm_vcpu *)ctx->args[0]);
}

/* events/kvm/kvm_exit/format; the first three fields since 2.6.36 */
struct tp_kvm_exit {
	u64 common;
	u32 reason;
	u32 pad;
	u64 guest_rip;
	u32 isa;
};

SEC("tp/kvm/kvm_exit")
int tracepoint_kvm_exit(struct tp_kvm_exit *ctx)
{
	struct vcpu_state *v;

	hit(HOOK_KVM_EXIT);
	v = current_vcpu();
	return v ? guest_exit(v, ctx->isa, ctx->reason, ctx->guest_rip) : 0;
}

/*
 * Only the instruction pointer, for VMX: there the other rungs do not have it, and
 * the tracepoint fetches it from the VMCS. Taken off once the firmware has ended.
 */
SEC("tp/kvm/kvm_exit")
int tracepoint_rip(struct tp_kvm_exit *ctx)
{
	struct target *t = current_target();

	hit(HOOK_RIP);
	if (t)
		check_rip(t->slot, ctx->guest_rip, HOOK_RIP, bpf_ktime_get_ns());
	return 0;
}

/* ---- Port accesses, and the console among them ---- */

static __always_inline void flush_line(u32 slot, struct line *l)
{
	struct record *r = bpf_ringbuf_reserve(&records, sizeof(*r), 0);

	if (!r) {
		count(slot, LOST_RINGBUF, 1);
		l->len = 0;
		return;
	}
	r->ns = l->first_ns;
	r->last_ns = l->last_ns;
	r->kind = RECORD_LINE;
	r->slot = slot;
	r->hook = HOOK_PIO;
	r->arg = l->len;
	__builtin_memcpy(r->data, l->data, LINE_MAX);
	l->len = 0;
	bpf_ringbuf_submit(r, 0);
}

static __always_inline void console_byte(u32 slot, u8 byte, u64 now)
{
	struct slot *s = bpf_map_lookup_elem(&slots, &slot);
	struct line *l;
	u32 i;

	if (!s)
		return;
	l = &s->line;
	if (l->dlab)
		return;
	s->active_ns = now;
	i = l->len;
	if (!i)
		l->first_ns = now;
	l->last_ns = now;
	if (i < LINE_MAX)
		l->data[i] = byte;
	l->len = i + 1;
	if (byte == '\n' || l->len >= LINE_MAX)
		flush_line(slot, l);
}

static __always_inline void console_port(u32 slot, u16 base, u16 port, u8 byte, u64 now)
{
	struct slot *s;

	if (port == base + UART_TX) {
		console_byte(slot, byte, now);
		return;
	}
	s = bpf_map_lookup_elem(&slots, &slot);
	if (s && port == base + UART_LCR)
		s->line.dlab = byte & UART_LCR_DLAB;
}

static __always_inline void count_port(u32 slot, u16 port, u32 out, u32 n)
{
	struct pio_key key = { .slot = slot, .port = port, .out = out };
	u64 *c = bpf_map_lookup_elem(&ports, &key), one = n;

	if (!c) {
		if (!bpf_map_update_elem(&ports, &key, &one, BPF_NOEXIST))
			return;
		c = bpf_map_lookup_elem(&ports, &key); /* another vCPU was first, or it is full */
	}
	if (c)
		__sync_fetch_and_add(c, n);
	else
		count(slot, LOST_PIO_PORTS, n);
}

/*
 * One port access of `times` elements. data: the elements, where the rung gives
 * them, else NULL and val is the first one.
 */
static __always_inline int port_access(u32 out, u16 port, u32 size, u32 times, const void *data,
				       u32 val)
{
	struct target *t;
	u8 byte = val;
	u32 slot;
	u16 base;

	hit(HOOK_PIO);
	t = current_target();
	if (!t)
		return 0;
	slot = t->slot;
	base = t->console_port;
	count(slot, out ? COUNT_PIO_OUT : COUNT_PIO_IN, times);
	count_port(slot, port, out, times);
	if (!out || !base || port < base || port > base + 7 || size != 1)
		return 0;
	if (data && bpf_probe_read_kernel(&byte, 1, data)) {
		count(slot, LOST_CONSOLE, times);
		return 0;
	}
	console_port(slot, base, port, byte, bpf_ktime_get_ns());
	if (times > 1) /* REP OUTS: the first element is all that every rung shows */
		count(slot, LOST_CONSOLE, times - 1);
	return 0;
}

/*
 * Every port access is first offered to the in-kernel devices, element by
 * element until one is refused. Its caller does not matter: a write on the PIO
 * bus is a guest's OUT.
 */
static __always_inline int bus_access(u32 out, u32 bus, u64 addr, int len, const void *val)
{
	if (bus != KVM_PIO_BUS)
		return 0;
	return port_access(out, addr, len, 1, out ? val : NULL, 0);
}

SEC("kprobe/kvm_io_bus_write")
int BPF_KPROBE(kprobe_pio, void *vcpu, u32 bus, u64 addr, int len, const void *val)
{
	return bus_access(1, bus, addr, len, val);
}

/* The last argument by helper (Linux 5.17): before 6.3 the verifier refuses a const void *. */
SEC("fentry/kvm_io_bus_write")
int BPF_PROG(fentry_pio, void *vcpu, u32 bus, u64 addr, int len)
{
	u64 val = 0;

	bpf_get_func_arg(ctx, 4, &val);
	return bus_access(1, bus, addr, len, (const void *)val);
}

SEC("kprobe/kvm_io_bus_read")
int BPF_KPROBE(kprobe_pio_in, void *vcpu, u32 bus, u64 addr, int len)
{
	return bus_access(0, bus, addr, len, NULL);
}

SEC("fentry/kvm_io_bus_read")
int BPF_PROG(fentry_pio_in, void *vcpu, u32 bus, u64 addr, int len)
{
	return bus_access(0, bus, addr, len, NULL);
}

/* The last argument by helper: before 6.3 the verifier refuses a const void *. */
SEC("tp_btf/kvm_pio")
int BPF_PROG(tp_btf_pio, u32 rw, u32 port, u32 size, u32 times)
{
	const void *data = NULL;

	bpf_probe_read_kernel(&data, sizeof(data), ctx + 4);
	return port_access(rw == KVM_PIO_OUT, port, size, times, data, 0);
}

SEC("raw_tp/kvm_pio")
int raw_tp_pio(struct bpf_raw_tracepoint_args *ctx)
{
	return port_access(ctx->args[0] == KVM_PIO_OUT, ctx->args[1], ctx->args[2], ctx->args[3],
			   (const void *)ctx->args[4], 0);
}

/* events/kvm/kvm_pio/format; with val since 3.17 */
struct tp_pio {
	u64 common;
	u32 rw;
	u32 port;
	u32 size;
	u32 times;
	u32 val;
};

SEC("tp/kvm/kvm_pio")
int tracepoint_pio(struct tp_pio *ctx)
{
	return port_access(ctx->rw == KVM_PIO_OUT, ctx->port, ctx->size, ctx->times, NULL,
			   ctx->val);
}

/* ---- CPUID ---- */

static __always_inline int on_cpuid(void)
{
	struct vcpu_state *v;

	hit(HOOK_CPUID);
	v = current_vcpu();
	if (v)
		count(v->slot, COUNT_CPUID, 1);
	return 0;
}

SEC("kprobe/kvm_emulate_cpuid")
int kprobe_cpuid(void *ctx)
{
	return on_cpuid();
}

SEC("fentry/kvm_emulate_cpuid")
int BPF_PROG(fentry_cpuid)
{
	return on_cpuid();
}

SEC("tp_btf/kvm_cpuid")
int BPF_PROG(tp_btf_cpuid)
{
	return on_cpuid();
}

SEC("raw_tp/kvm_cpuid")
int raw_tp_cpuid(void *ctx)
{
	return on_cpuid();
}

SEC("tp/kvm/kvm_cpuid")
int tracepoint_cpuid(void *ctx)
{
	return on_cpuid();
}

/* ---- Halts ---- */

/* ns: how long ago the halt began. */
static __always_inline int on_halt(u64 ns)
{
	u64 now = bpf_ktime_get_ns();
	struct vcpu_state *v;

	hit(HOOK_HALT);
	v = current_vcpu();
	if (v)
		halted(v->slot, now - ns);
	return 0;
}

SEC("kprobe/kvm_emulate_halt")
int kprobe_halt(void *ctx)
{
	return on_halt(0);
}

SEC("fentry/kvm_emulate_halt")
int BPF_PROG(fentry_halt)
{
	return on_halt(0);
}

/* Fires at the wake-up, with the time since the halt. */
SEC("tp_btf/kvm_vcpu_wakeup")
int BPF_PROG(tp_btf_halt, u64 ns)
{
	return on_halt(ns);
}

SEC("raw_tp/kvm_vcpu_wakeup")
int raw_tp_halt(struct bpf_raw_tracepoint_args *ctx)
{
	return on_halt(ctx->args[0]);
}

/* events/kvm/kvm_vcpu_wakeup/format */
struct tp_wakeup {
	u64 common;
	u64 ns;
};

SEC("tp/kvm/kvm_vcpu_wakeup")
int tracepoint_halt(struct tp_wakeup *ctx)
{
	return on_halt(ctx->ns);
}

/* ---- Emulated instructions: the only sight of a guest without hardware support ---- */

/*
 * These fire for every instruction of every guest, so what settles most of them
 * comes first and the instruction pointer, behind pointers, last: is the guest
 * watched, and is it still in its firmware?
 */
static __always_inline struct vcpu_state *in_firmware(void)
{
	struct vcpu_state *v;
	struct slot *s;

	hit(HOOK_INSN);
	v = current_vcpu();
	if (!v)
		return NULL;
	s = bpf_map_lookup_elem(&slots, &v->slot);
	return s && !s->marks[MARK_FIRMWARE_END].ns ? v : NULL;
}

static __always_inline int on_insn(struct vcpu_state *v, u64 rip)
{
	u64 now = bpf_ktime_get_ns();

	mark(v->slot, MARK_GUEST_ENTRY, HOOK_INSN, now);
	check_rip(v->slot, rip, HOOK_INSN, now);
	return 0;
}

SEC("tp_btf/kvm_emulate_insn")
int BPF_PROG(tp_btf_insn, struct kvm_vcpu *vcpu)
{
	struct vcpu_state *v = in_firmware();

	return v ? on_insn(v, BPF_CORE_READ(vcpu, arch.emulate_ctxt, eip)) : 0;
}

SEC("raw_tp/kvm_emulate_insn")
int raw_tp_insn(struct bpf_raw_tracepoint_args *ctx)
{
	struct kvm_vcpu *vcpu = (struct kvm_vcpu *)ctx->args[0];
	struct vcpu_state *v = in_firmware();

	return v ? on_insn(v, BPF_CORE_READ(vcpu, arch.emulate_ctxt, eip)) : 0;
}

/* events/kvm/kvm_emulate_insn/format */
struct tp_insn {
	u64 common;
	u64 rip;
};

SEC("tp/kvm/kvm_emulate_insn")
int tracepoint_insn(struct tp_insn *ctx)
{
	struct vcpu_state *v = in_firmware();

	return v ? on_insn(v, ctx->rip) : 0;
}

/* For bpf2go, which exports only types that something refers to. */
const struct record *unused_record __attribute__((unused));
const enum mark_kind *unused_mark_kind __attribute__((unused));
const enum hook *unused_hook __attribute__((unused));
const enum counter *unused_counter __attribute__((unused));
const enum record_kind *unused_record_kind __attribute__((unused));

char LICENSE[] SEC("license") = "Dual BSD/GPL";
