//go:build ignore
// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Processes: exec and exit of the VMM, and the system calls that are the last
 * rung of KVM's ioctls and the only one of a console that is not a port.
 */
#include "maps.h"

#define KVM_CREATE_VM 0xae01
#define KVM_CREATE_VCPU 0xae41
#define KVM_RUN 0xae80

/* arch/x86/entry/syscalls/syscall_64.tbl */
#define NR_WRITE 1
#define NR_IOCTL 16
#define NR_WRITEV 20

static __always_inline int on_exec(void)
{
	struct target *t = current_target();
	u64 now = bpf_ktime_get_ns();
	struct slot *s;

	hit(HOOK_EXEC);
	if (!t)
		return 0;
	s = bpf_map_lookup_elem(&slots, &t->slot);
	if (!s)
		return 0;
	if (!s->vmm_tgid)
		s->vmm_tgid = bpf_get_current_pid_tgid() >> 32;
	mark(t->slot, MARK_VMM_EXEC, HOOK_EXEC, now);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(tp_btf_exec)
{
	return on_exec();
}

SEC("raw_tp/sched_process_exec")
int raw_tp_exec(void *ctx)
{
	return on_exec();
}

SEC("tp/sched/sched_process_exec")
int tracepoint_exec(void *ctx)
{
	return on_exec();
}

static __always_inline int on_exit(void)
{
	u64 pid_tgid = bpf_get_current_pid_tgid(), now = bpf_ktime_get_ns();
	u32 tid = (u32)pid_tgid, tgid = pid_tgid >> 32;
	struct target *t = current_target();
	struct slot *s;

	hit(HOOK_EXIT);
	if (!t)
		return 0;
	bpf_map_delete_elem(&vcpus, &tid);
	s = bpf_map_lookup_elem(&slots, &t->slot);
	if (s && tid == tgid && s->vmm_tgid == tgid)
		mark(t->slot, MARK_VMM_EXIT, HOOK_EXIT, now);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(tp_btf_exit)
{
	return on_exit();
}

SEC("raw_tp/sched_process_exit")
int raw_tp_exit(void *ctx)
{
	return on_exit();
}

SEC("tp/sched/sched_process_exit")
int tracepoint_exit(void *ctx)
{
	return on_exit();
}

struct iovec {
	const void *base;
	u64 len;
};

/*
 * A write is noted when it begins and taken when it has succeeded, as far as it
 * has: a full pipe makes the VMM write the same bytes again.
 */
static __always_inline void write_enter(const void *buf, u64 len)
{
	struct console_write w = { .ns = bpf_ktime_get_ns(), .buf = (u64)buf, .len = len };
	u32 tid = (u32)bpf_get_current_pid_tgid();

	bpf_map_update_elem(&writes, &tid, &w, BPF_ANY);
}

static __always_inline int write_exit(long ret)
{
	u32 tid = (u32)bpf_get_current_pid_tgid();
	struct console_write *w = bpf_map_lookup_elem(&writes, &tid);
	struct target *t;
	struct record *r;
	u64 n = LINE_MAX;

	if (!w)
		return 0;
	t = current_target();
	if (!t || ret <= 0)
		goto done;
	if (w->len < n)
		n = w->len;
	if ((u64)ret < n)
		n = ret;
	asm volatile("" : "+r"(n)); /* or clang drops the bound that the verifier of 6.1 needs */
	if (n > LINE_MAX)
		goto done;
	if (ret > n)
		count(t->slot, LOST_CONSOLE, ret - n);
	r = bpf_ringbuf_reserve(&records, sizeof(*r), 0);
	if (!r) {
		count(t->slot, LOST_RINGBUF, 1);
		goto done;
	}
	r->ns = w->ns;
	r->last_ns = w->ns;
	r->kind = RECORD_WRITE;
	r->slot = t->slot;
	r->hook = HOOK_SYSCALL;
	r->arg = n;
	if (bpf_probe_read_user(r->data, n, (void *)w->buf)) {
		count(t->slot, LOST_CONSOLE, n);
		bpf_ringbuf_discard(r, 0);
	} else {
		bpf_ringbuf_submit(r, 0);
	}
done:
	bpf_map_delete_elem(&writes, &tid);
	return 0;
}

static __always_inline int sys_enter(struct pt_regs *regs, long nr)
{
	struct target *t;
	struct iovec v;
	u64 cmd;

	if (nr != NR_WRITE && nr != NR_WRITEV && nr != NR_IOCTL)
		return 0;
	hit(HOOK_SYSCALL);
	t = current_target();
	if (!t)
		return 0;
	if (nr == NR_IOCTL) {
		cmd = BPF_CORE_READ(regs, si);
		if (cmd == KVM_RUN)
			mark(t->slot, MARK_FIRST_RUN, HOOK_SYSCALL, bpf_ktime_get_ns());
		else if (cmd == KVM_CREATE_VM)
			mark(t->slot, MARK_VM_CREATE, HOOK_SYSCALL, bpf_ktime_get_ns());
		return 0;
	}
	if (!t->console_fd || BPF_CORE_READ(regs, di) + 1 != t->console_fd)
		return 0;
	if (nr == NR_WRITE)
		write_enter((void *)BPF_CORE_READ(regs, si), BPF_CORE_READ(regs, dx));
	/* The first element only: QEMU's console writes have one. What others carry is lost. */
	else if (!bpf_probe_read_user(&v, sizeof(v), (void *)BPF_CORE_READ(regs, si)))
		write_enter(v.base, v.len);
	return 0;
}

SEC("tp_btf/sys_enter")
int BPF_PROG(tp_btf_sys_enter, struct pt_regs *regs, long nr)
{
	return sys_enter(regs, nr);
}

SEC("raw_tp/sys_enter")
int raw_tp_sys_enter(struct bpf_raw_tracepoint_args *ctx)
{
	return sys_enter((struct pt_regs *)ctx->args[0], (long)ctx->args[1]);
}

static __always_inline int sys_exit(struct pt_regs *regs, u64 nr, long ret)
{
	struct target *t;
	u64 cmd;

	if (nr == NR_WRITE || nr == NR_WRITEV)
		return write_exit(ret);
	if (nr != NR_IOCTL || ret < 0)
		return 0;
	cmd = BPF_CORE_READ(regs, si);
	if (cmd != KVM_CREATE_VM && cmd != KVM_CREATE_VCPU)
		return 0;
	t = current_target();
	if (t)
		mark(t->slot, cmd == KVM_CREATE_VM ? MARK_VM_CREATED : MARK_VCPU_CREATED,
		     HOOK_SYSCALL, bpf_ktime_get_ns());
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(tp_btf_sys_exit, struct pt_regs *regs, long ret)
{
	return sys_exit(regs, BPF_CORE_READ(regs, orig_ax), ret);
}

SEC("raw_tp/sys_exit")
int raw_tp_sys_exit(struct bpf_raw_tracepoint_args *ctx)
{
	struct pt_regs *regs = (struct pt_regs *)ctx->args[0];

	return sys_exit(regs, BPF_CORE_READ(regs, orig_ax), (long)ctx->args[1]);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
