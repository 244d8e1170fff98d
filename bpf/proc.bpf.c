//go:build ignore
// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Processes: exec and exit of the VMM, and the system calls that are the last
 * rung of KVM's ioctls and the only one of a console that is not a port.
 */
#include "vcpu.h"

#define KVM_CREATE_VM 0xae01
#define KVM_CREATE_VCPU 0xae41
#define KVM_RUN 0xae80

/* arch/x86/entry/syscalls/syscall_64.tbl */
#define NR_WRITE 1
#define NR_IOCTL 16
#define NR_WRITEV 20

/*
 * A container's runtime is exec'd outside the container's cgroup, before there is
 * one, as the first child of a process (containerd's shim) that the container's
 * first process then belongs to: so of every parent the first is remembered.
 */
static __always_inline void remember_exec(struct task_struct *task, u64 now)
{
	struct config *user = config_of(CONFIG_USER);
	struct task_struct *parent;
	u64 *first;
	u32 tgid;

	if (!user || !user->containers)
		return;
	parent = BPF_CORE_READ(task, real_parent);
	tgid = BPF_CORE_READ(parent, tgid);
	first = bpf_map_lookup_elem(&first_execs, &tgid);
	if (first && *first >= BPF_CORE_READ(parent, start_time))
		return; /* else of an earlier process with that pid */
	bpf_map_update_elem(&first_execs, &tgid, &now, BPF_ANY);
}

/*
 * The runtime execs itself in the container's cgroup before it becomes the
 * container: only in a pid namespace of its own is it the app.
 */
static __always_inline bool container_begins(struct task_struct *task, u32 slot, u32 tid)
{
	struct task_struct *parent = BPF_CORE_READ(task, real_parent);
	u32 tgid = BPF_CORE_READ(parent, tgid);
	u64 *first;

	if (BPF_CORE_READ(task, thread_pid, level) <= BPF_CORE_READ(parent, thread_pid, level))
		return false;
	first = bpf_map_lookup_elem(&first_execs, &tgid);
	if (first && *first >= BPF_CORE_READ(parent, start_time))
		mark_of(tid, slot, MARK_RUNTIME_EXEC, HOOK_EXEC, *first);
	return true;
}

static __always_inline int on_exec(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct target *t = current_target();
	u64 now = bpf_ktime_get_ns();
	struct slot *s;

	hit(HOOK_EXEC);
	remember_exec(task, now);
	if (!t)
		return 0;
	s = bpf_map_lookup_elem(&slots, &t->slot);
	if (!s)
		return 0;
	if ((t->flags & TARGET_CONTAINER) && !s->marks[MARK_VMM_EXEC].ns &&
	    !container_begins(task, t->slot, bpf_get_current_pid_tgid()))
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
	on_exec();
	return PERF_KEEP;
}

/* A vCPU's thread is no more: its state is free. */
static __always_inline void free_vcpu(u32 tid)
{
	u32 *known = bpf_map_lookup_elem(&threads, &tid), i;
	struct vcpu_state *v;

	if (!known)
		return;
	i = *known;
	if (bpf_map_delete_elem(&threads, &tid))
		return; /* user space was first */
	v = bpf_map_lookup_elem(&vcpus, &i);
	if (v && v->tid == tid)
		v->tid = 0;
	bpf_map_push_elem(&free_vcpus, &i, 0);
}

/*
 * A process that had a slot for what it is, not for its cgroup, has ended. Its row
 * goes only if user space can be told: else it finds the row when it looks, and a
 * process with the same pid is not taken for this one meanwhile.
 */
static __always_inline void vm_gone(u32 tgid, u64 now)
{
	struct target *t = bpf_map_lookup_elem(&vms, &tgid);
	struct record *r;

	if (!t)
		return;
	if (t->slot >= MAX_SLOTS) {
		bpf_map_delete_elem(&vms, &tgid);
		return;
	}
	t->flags |= TARGET_DEAD;
	r = bpf_ringbuf_reserve(&records, RECORD_HEADER, 0);
	if (!r)
		return;
	r->ns = now;
	r->last_ns = t->born_ns;
	r->kind = RECORD_GONE;
	r->slot = t->slot;
	r->hook = HOOK_EXIT;
	r->arg = tgid;
	bpf_map_delete_elem(&vms, &tgid);
	bpf_ringbuf_submit(r, 0);
}

/* Of each thread. A process ends with its last one, which need not be its first. */
static __always_inline int on_exit(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	u64 pid_tgid = bpf_get_current_pid_tgid(), now;
	u32 tid = (u32)pid_tgid, tgid = pid_tgid >> 32;
	struct target *t;
	struct slot *s;

	hit(HOOK_EXIT);
	free_vcpu(tid);
	bpf_map_delete_elem(&writes, &tid);
	bpf_map_delete_elem(&creating, &tid);
	if (BPF_CORE_READ(task, signal, live.counter))
		return 0;
	now = bpf_ktime_get_ns();
	t = current_target();
	if (t) {
		s = bpf_map_lookup_elem(&slots, &t->slot);
		if (s && s->vmm_tgid == tgid)
			mark(t->slot, MARK_VMM_EXIT, HOOK_EXIT, now);
	}
	vm_gone(tgid, now);
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
	on_exit();
	return PERF_KEEP;
}

/* ---- When vCPU threads run, and when they wait for a CPU ---- */

static __always_inline int on_wakeup(u32 tid)
{
	struct vcpu_state *v;

	hit(HOOK_SCHED);
	v = vcpu_of(tid);
	if (v && !v->runnable_ns)
		v->runnable_ns = bpf_ktime_get_ns();
	return 0;
}

static __always_inline bool still_runnable(struct task_struct *task)
{
	struct task_struct___v513 *old = (void *)task;

	if (bpf_core_field_exists(struct task_struct, __state))
		return !BPF_CORE_READ(task, __state);
	return !BPF_CORE_READ(old, state);
}

static __always_inline int on_switch(bool preempted, struct task_struct *prev,
				     struct task_struct *next)
{
	struct vcpu_state *v;
	u64 now, waited;

	hit(HOOK_SCHED);
	v = vcpu_of(BPF_CORE_READ(prev, pid));
	if (v) { /* a wake-up that found it still running is of no account now */
		v->runnable_ns = preempted || still_runnable(prev) ? bpf_ktime_get_ns() : 0;
		if (!v->runnable_ns)
			v->waited_asleep = v->parts.waited;
	}
	v = vcpu_of(BPF_CORE_READ(next, pid));
	if (!v || !v->runnable_ns)
		return 0;
	now = bpf_ktime_get_ns();
	waited = now > v->runnable_ns ? now - v->runnable_ns : 0;
	v->runnable_ns = 0;
	observe(&span_hist, v->slot * SPANS + SPAN_WAITED, waited);
	if (v->exit_ns && !v->user_exit_ns) /* in user space it is part of the VMM's time */
		v->parts.waited += waited;
	return 0;
}

SEC("tp_btf/sched_wakeup")
int BPF_PROG(tp_btf_sched_wakeup, struct task_struct *task)
{
	return on_wakeup(BPF_CORE_READ(task, pid));
}

SEC("raw_tp/sched_wakeup")
int raw_tp_sched_wakeup(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (struct task_struct *)ctx->args[0];

	return on_wakeup(BPF_CORE_READ(task, pid));
}

SEC("tp_btf/sched_switch")
int BPF_PROG(tp_btf_sched_switch, bool preempted, struct task_struct *prev,
	     struct task_struct *next)
{
	return on_switch(preempted, prev, next);
}

SEC("raw_tp/sched_switch")
int raw_tp_sched_switch(struct bpf_raw_tracepoint_args *ctx)
{
	return on_switch(ctx->args[0] & 1, (struct task_struct *)ctx->args[1],
			 (struct task_struct *)ctx->args[2]);
}

/* ---- System calls ---- */

struct iovec {
	const void *base;
	u64 len;
};

/*
 * A write is noted when it begins and taken when it has succeeded, as far as it
 * has: a full pipe makes the VMM write the same bytes again.
 */
static __always_inline void write_enter(u32 slot, const void *buf, u64 len)
{
	struct console_write w = { .ns = bpf_ktime_get_ns(), .buf = (u64)buf, .len = len };
	u32 tid = (u32)bpf_get_current_pid_tgid();

	if (bpf_map_update_elem(&writes, &tid, &w, BPF_ANY))
		count(slot, LOST_CONSOLE, len); /* more threads write than the table holds */
}

static __always_inline int write_exit(long ret)
{
	u32 tid = (u32)bpf_get_current_pid_tgid();
	struct console_write *w = bpf_map_lookup_elem(&writes, &tid);
	struct target *t;
	struct record *r;
	u64 n = LINE_MAX;
	struct slot *s;
	u32 slot;

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
	slot = t->slot;
	s = bpf_map_lookup_elem(&slots, &slot);
	if (!s)
		goto done;
	r = reserve(s, slot, sizeof(*r));
	if (!r) {
		count(slot, LOST_RINGBUF, 1);
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
		s->active_ns = w->ns;
		bpf_ringbuf_submit(r, 0);
	}
done:
	bpf_map_delete_elem(&writes, &tid);
	return 0;
}

/* KVM_RUN where the kernel has neither kprobes nor fentry for it. */
static __always_inline int syscall_run(void)
{
	struct vcpu_state *v;

	/* Any descriptor can be asked for this number: it is no proof of a VM. */
	if (!vcpu_of((u32)bpf_get_current_pid_tgid()) && !current_target())
		return 0;
	v = current_vcpu(HOOK_SYSCALL);
	if (v)
		run_enter(v, HOOK_SYSCALL);
	return 0;
}

static __always_inline int sys_enter(struct pt_regs *regs, long nr)
{
	struct target *t;
	struct iovec v;
	u64 cmd;

	if (nr != NR_WRITE && nr != NR_WRITEV && nr != NR_IOCTL)
		return 0;
	cmd = BPF_CORE_READ(regs, si);
	if (nr == NR_IOCTL && cmd == KVM_RUN)
		return syscall_run();
	hit(HOOK_SYSCALL);
	t = current_target();
	if (!t)
		return 0;
	if (nr == NR_IOCTL) {
		if (cmd == KVM_CREATE_VM)
			mark(t->slot, MARK_VM_CREATE, HOOK_SYSCALL, bpf_ktime_get_ns());
		return 0;
	}
	if (!t->console_fd || BPF_CORE_READ(regs, di) + 1 != t->console_fd)
		return 0;
	if (nr == NR_WRITE)
		write_enter(t->slot, (void *)BPF_CORE_READ(regs, si), BPF_CORE_READ(regs, dx));
	/* The first element only: QEMU's console writes have one. What others carry is lost. */
	else if (!bpf_probe_read_user(&v, sizeof(v), (void *)BPF_CORE_READ(regs, si)))
		write_enter(t->slot, v.base, v.len);
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
