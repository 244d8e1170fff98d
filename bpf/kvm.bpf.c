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
#include "exit.h"

#define KVM_CREATE_VM 0xae01

#define KVM_PIO_BUS 1 /* enum kvm_bus: KVM_MMIO_BUS is 0 */

/* include/uapi/linux/kvm.h */
#define KVM_EXIT_SHUTDOWN 8
#define KVM_EXIT_INTR 10
#define KVM_EXIT_INTERNAL_ERROR 17

/* include/uapi/linux/serial_reg.h, as offsets from a UART's base port. */
#define UART_TX 0
#define UART_LCR 3
#define UART_LCR_DLAB 0x80

#define VCPU_REGS_RIP 16

/* 0: KVM without hardware behind it, which has no exits but emulates. */
volatile const u32 host_has_exits = 1;

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

static __always_inline int on_run(u64 vcpu)
{
	struct vcpu_state *v = current_vcpu(HOOK_RUN);

	if (!v)
		return 0;
	v->vcpu = vcpu;
	run_enter(v, HOOK_RUN);
	return 0;
}

SEC("kprobe/kvm_arch_vcpu_ioctl_run")
int BPF_KPROBE(kprobe_run, struct kvm_vcpu *vcpu)
{
	return on_run((u64)vcpu);
}

SEC("fentry/kvm_arch_vcpu_ioctl_run")
int BPF_PROG(fentry_run, struct kvm_vcpu *vcpu)
{
	return on_run((u64)vcpu);
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
		mark_vcpu(v, MARK_INTERNAL_ERROR, HOOK_USER_EXIT, now);
	if (class == KVM_EXIT_SHUTDOWN)
		mark_vcpu(v, MARK_SHUTDOWN, HOOK_USER_EXIT, now);
	return 0;
}

static __always_inline int user_exit_reason(u32 reason, int error)
{
	struct vcpu_state *v = current_vcpu(HOOK_USER_EXIT);

	return v ? user_exit(v, reason, error) : 0;
}

/* Returning from KVM_RUN: the reason stands in the page shared with the VMM. */
static __always_inline int user_exit_return(struct kvm_vcpu *vcpu, int error)
{
	struct vcpu_state *v = current_vcpu(HOOK_USER_EXIT);

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
	user_exit_reason(ctx->reason, ctx->error);
	return PERF_KEEP;
}

/* ---- Guest entry ---- */

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
	guest_entry(0);
	return PERF_KEEP;
}

/* ---- Guest exit ---- */

/*
 * A guest's instruction pointer (a linear address) inside a span of the image is
 * a moment of the boot. It is the first such address that is *seen*, so an upper
 * bound.
 */
static __noinline int check_rip(u32 slot, u64 rip, u32 hook, u64 now)
{
	struct slot *s = bpf_map_lookup_elem(&slots, &slot);
	u32 i, kind;

	if (!s || !s->wanted)
		return 0;
#pragma unroll
	for (i = 0; i < MAX_SEGMENTS; i++) {
		if (rip < s->image[i].lo || rip >= s->image[i].hi)
			continue;
		kind = s->image[i].mark;
		if (kind != MARK_OPTION_ROM)
			mark(slot, MARK_FIRMWARE_END, hook, now);
		if (kind != MARK_FIRMWARE_END)
			mark(slot, kind, hook, now);
		if (s->image[i].last)
			s->wanted = 0;
	}
	return 0;
}

/* hook: what told that the guest waits since then. */
static __always_inline void idled(u32 slot, u32 hook, u64 since)
{
	struct slot *s = bpf_map_lookup_elem(&slots, &slot);
	struct record *r;

	/* A halt that is told at its end may have begun before the last activity. */
	if (!s || !s->active_ns || since < s->active_ns)
		return;
	s->active_ns = 0;
	r = reserve(s, slot, RECORD_HEADER);
	if (!r) {
		count(slot, LOST_RINGBUF, 1);
		return;
	}
	r->ns = since;
	r->last_ns = since;
	r->kind = RECORD_HALT;
	r->slot = slot;
	r->hook = hook;
	r->arg = 0;
	bpf_ringbuf_submit(r, 0);
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

/*
 * Where the guest was. SVM keeps both current at every exit; with VMX they would
 * have to be read from the VMCS (see tracepoint_rip). The code segment's base is
 * 0 but in real mode, where the firmware and its option ROMs are.
 */
static __always_inline u64 guest_rip(struct kvm_vcpu *vcpu)
{
	struct vcpu_svm *svm = (void *)vcpu;

	if (host_isa != KVM_ISA_SVM || !bpf_core_type_exists(struct vcpu_svm))
		return 0;
	return BPF_CORE_READ(svm, vmcb, save.cs.base) +
	       BPF_CORE_READ(vcpu, arch.regs[VCPU_REGS_RIP]);
}

static __always_inline int guest_exit_vcpu(struct kvm_vcpu *vcpu)
{
	struct vcpu_state *v = current_vcpu(HOOK_KVM_EXIT);
	u64 now, rip;

	if (!v)
		return 0;
	now = bpf_ktime_get_ns();
	if (!vcpu)
		vcpu = (struct kvm_vcpu *)v->vcpu;
	if (!vcpu) { /* an exit that began before anything was known of this vCPU */
		guest_exit(v, now, host_isa, ~0U);
		return 0;
	}
	guest_exit(v, now, host_isa, read_reason(vcpu));
	if (wanted(v)) {
		rip = guest_rip(vcpu);
		if (rip)
			check_rip(v->slot, rip, HOOK_KVM_EXIT, now);
	}
	return 0;
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

SEC("tp/kvm/kvm_exit")
int tracepoint_kvm_exit(struct tp_kvm_exit *ctx)
{
	struct vcpu_state *v = current_vcpu(HOOK_KVM_EXIT);
	u64 now;

	if (!v)
		return PERF_KEEP;
	now = bpf_ktime_get_ns();
	guest_exit(v, now, ctx->isa, ctx->reason);
	if (wanted(v))
		check_rip(v->slot, ctx->guest_rip, HOOK_KVM_EXIT, now);
	return PERF_KEEP;
}

/*
 * Only the instruction pointer, for VMX: there the other rungs do not have it, and
 * the tracepoint fetches it from the VMCS. Taken off once the firmware has ended.
 */
SEC("tp/kvm/kvm_exit")
int tracepoint_rip(struct tp_kvm_exit *ctx)
{
	struct vcpu_state *v = current_vcpu(HOOK_RIP);

	if (v && wanted(v))
		check_rip(v->slot, ctx->guest_rip, HOOK_RIP, bpf_ktime_get_ns());
	return PERF_KEEP;
}

/* ---- Port accesses, and the console among them ---- */

static __always_inline void flush_line(struct slot *s, u32 slot, struct line *l)
{
	struct record *r = reserve(s, slot, sizeof(*r));

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
		flush_line(s, slot, l);
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
	struct slot *s;

	if (!c) {
		s = bpf_map_lookup_elem(&slots, &slot);
		if (!s || s->ports >= port_share)
			goto lost;
		if (!bpf_map_update_elem(&ports, &key, &one, BPF_NOEXIST)) {
			__sync_fetch_and_add(&s->ports, 1);
			return;
		}
		c = bpf_map_lookup_elem(&ports, &key); /* another vCPU was first, or it is full */
		if (!c)
			goto lost;
	}
	__sync_fetch_and_add(c, n);
	return;
lost:
	count(slot, LOST_PIO_PORTS, n);
}

#define BOOT_TIMER_PORT 0x3f0 /* Firecracker up to 1.4; see bpf/clock.bpf.c for the newer ones */
#define BOOT_TIMER_VALUE 123

static __always_inline int pio_byte(u32 val, const void *data, u8 *byte)
{
	*byte = val;
	return data ? bpf_probe_read_kernel(byte, 1, data) : 0;
}

/*
 * One port access of `times` elements. data: the elements, where the rung gives
 * them, else NULL and val is the first one.
 */
static __always_inline int port_access(u32 out, u16 port, u32 size, u32 times, const void *data,
				       u32 val)
{
	struct vcpu_state *v = current_vcpu(HOOK_PIO);
	u32 slot;
	u16 base;
	u8 byte;

	if (!v)
		return 0;
	slot = v->slot;
	base = v->console_port;
	count(slot, out ? COUNT_PIO_OUT : COUNT_PIO_IN, times);
	count_port(slot, port, out, times);
	if (out && port == v->idle_port && port)
		idled(slot, HOOK_PIO, bpf_ktime_get_ns());
	if (!out || size != 1)
		return 0;
	if (port == BOOT_TIMER_PORT && v->flags & TARGET_BOOT_TIMER &&
	    !pio_byte(val, data, &byte) && byte == BOOT_TIMER_VALUE)
		mark_vcpu(v, MARK_BOOT_TIMER, HOOK_PIO, bpf_ktime_get_ns());
	if (!base || port < base || port > base + 7)
		return 0;
	if (pio_byte(val, data, &byte)) {
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

SEC("tp/kvm/kvm_pio")
int tracepoint_pio(struct tp_pio *ctx)
{
	port_access(ctx->rw == KVM_PIO_OUT, ctx->port, ctx->size, ctx->times, NULL, ctx->val);
	return PERF_KEEP;
}

/* ---- CPUID ---- */

static __always_inline int on_cpuid(void)
{
	struct vcpu_state *v = current_vcpu(HOOK_CPUID);

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
	on_cpuid();
	return PERF_KEEP;
}

/* ---- Halts ---- */

/* ns: how long ago the halt began. */
static __always_inline int on_halt(u64 ns)
{
	struct vcpu_state *v = current_vcpu(HOOK_HALT);

	if (!v)
		return 0;
	count(v->slot, COUNT_HALT, 1);
	idled(v->slot, HOOK_HALT, bpf_ktime_get_ns() - ns);
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
	on_halt(ctx->ns);
	return PERF_KEEP;
}

/*
 * How long a vCPU was blocked. The event comes when it runs again, with the time
 * since the halt: polling is in it, and so is what it then waited for a CPU,
 * which is told apart.
 */
static __always_inline int on_wakeup(u64 ns)
{
	struct vcpu_state *v = current_vcpu(HOOK_WAKEUP);
	u64 waited;

	if (!v)
		return 0;
	/* What it waited for a CPU since it went to sleep: before that it was not halted. */
	waited = v->parts.waited - v->waited_asleep;
	if (waited > ns)
		waited = ns;
	observe(&span_hist, v->slot * SPANS + SPAN_HALTED, ns - waited);
	if (v->exit_ns)
		v->parts.halted += ns - waited;
	return 0;
}

SEC("tp_btf/kvm_vcpu_wakeup")
int BPF_PROG(tp_btf_wakeup, u64 ns)
{
	return on_wakeup(ns);
}

SEC("raw_tp/kvm_vcpu_wakeup")
int raw_tp_wakeup(struct bpf_raw_tracepoint_args *ctx)
{
	return on_wakeup(ctx->args[0]);
}

SEC("tp/kvm/kvm_vcpu_wakeup")
int tracepoint_wakeup(struct tp_wakeup *ctx)
{
	on_wakeup(ctx->ns);
	return PERF_KEEP;
}

/* ---- Page faults that KVM handles: memory is given to the guest ---- */

/* 1 since Linux 6.0 (kernel commit faa03b39722a): the vCPU comes first. Filled in by probe/attach.go. */
volatile const u32 page_fault_has_vcpu = 1;

#define PF_PRESENT (1 << 0)
#define PF_RSVD (1 << 3)
#define EPT_PRESENT (7 << 3) /* the exit qualification: readable, writable, executable */

/* A fault on memory that was not there, and not on a device's. */
static __always_inline bool populates(u64 error_code)
{
	if (host_isa == KVM_ISA_VMX && host_has_exits)
		return !(error_code & EPT_PRESENT);
	return !(error_code & (PF_PRESENT | PF_RSVD));
}

static __always_inline int on_page_fault(u64 error_code)
{
	struct vcpu_state *v = current_vcpu(HOOK_PAGE_FAULT);
	struct slot *s;
	u64 now;

	if (!v)
		return 0;
	count(v->slot, COUNT_PAGE_FAULT, 1);
	if (!populates(error_code))
		return 0;
	s = bpf_map_lookup_elem(&slots, &v->slot);
	now = bpf_ktime_get_ns();
	if (s && s->origin_ns && now > s->origin_ns)
		observe(&span_hist, v->slot * SPANS + SPAN_POPULATE, now - s->origin_ns);
	return 0;
}

SEC("tp_btf/kvm_page_fault")
int tp_btf_page_fault(u64 *ctx)
{
	if (page_fault_has_vcpu)
		return on_page_fault(ctx[2]);
	barrier_var(ctx); /* or clang makes one access of two, at a variable place */
	return on_page_fault(ctx[1]);
}

SEC("raw_tp/kvm_page_fault")
int raw_tp_page_fault(struct bpf_raw_tracepoint_args *ctx)
{
	if (page_fault_has_vcpu)
		return on_page_fault(ctx->args[2]);
	barrier_var(ctx);
	return on_page_fault(ctx->args[1]);
}

/* ---- Emulated instructions: the only sight of a guest without hardware support ---- */

/*
 * These fire for every instruction of every guest, so what settles most of them
 * comes first and the instruction pointer, behind pointers, last: is the guest
 * watched, and is it still in its firmware? Taken off when nobody is.
 */
static __always_inline struct vcpu_state *in_firmware(void)
{
	struct vcpu_state *v = current_vcpu(HOOK_INSN);

	if (!v || (v->seen & SEEN_ALL_RIP && v->seen & (1ULL << MARK_GUEST_ENTRY)))
		return NULL;
	return v;
}

static __always_inline int on_insn(struct vcpu_state *v, u64 rip)
{
	u64 now = bpf_ktime_get_ns();

	mark_vcpu(v, MARK_GUEST_ENTRY, HOOK_INSN, now);
	if (wanted(v))
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

SEC("tp/kvm/kvm_emulate_insn")
int tracepoint_insn(struct tp_insn *ctx)
{
	struct vcpu_state *v = in_firmware();

	if (v)
		on_insn(v, ctx->csbase + ctx->rip);
	return PERF_KEEP;
}

/* For bpf2go, which exports only types that something refers to. */
const enum span *unused_span __attribute__((unused));
const struct record *unused_record __attribute__((unused));
const enum mark_kind *unused_mark_kind __attribute__((unused));
const enum hook *unused_hook __attribute__((unused));
const enum counter *unused_counter __attribute__((unused));
const enum record_kind *unused_record_kind __attribute__((unused));

char LICENSE[] SEC("license") = "Dual BSD/GPL";
