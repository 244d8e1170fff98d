/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Which vCPU is this? Asked by every program that runs in a vCPU's thread, most
 * of all twice per exit, so the answer of the last time is kept per CPU. Not for
 * tc programs, which run in nobody's context.
 */
#ifndef UKPROBE_VCPU_H
#define UKPROBE_VCPU_H

#include "maps.h"

/* The state of a thread that is known as a vCPU. */
static __always_inline struct vcpu_state *vcpu_of(u32 tid)
{
	u32 *i = bpf_map_lookup_elem(&threads, &tid);
	struct vcpu_state *v = i ? bpf_map_lookup_elem(&vcpus, i) : NULL;

	return v && v->tid == tid ? v : NULL;
}

/* Tells user space of a VM. Lost, it is found when user space looks through vms. */
static __always_inline void tell_vm(u32 slot, u32 tgid, u64 born_ns)
{
	struct record *r = bpf_ringbuf_reserve(&records, RECORD_HEADER, 0);

	if (!r)
		return;
	r->ns = born_ns;
	r->last_ns = born_ns;
	r->kind = RECORD_VM;
	r->slot = slot;
	r->hook = HOOK_NONE;
	r->arg = tgid;
	bpf_ringbuf_submit(r, 0);
}

/*
 * A process with a VM that is no target gets a slot of its own. The first vCPU
 * event is what proves a VM: some only open /dev/kvm to see whether they could.
 */
static __noinline struct target *discover(u32 tgid)
{
	struct config *config = config_of(CONFIG_KERNEL), *user = config_of(CONFIG_USER);
	struct target t = {}, *known;
	struct slot *s;
	u32 slot;

	if (!config || !user || !user->discover)
		return NULL;
	known = bpf_map_lookup_elem(&vms, &tgid);
	if (known && known->slot != SLOT_RETRY)
		return NULL;
	if (bpf_map_pop_elem(&free_slots, &slot)) {
		t.slot = SLOT_BEYOND;
		if (known)
			bpf_map_update_elem(&vms, &tgid, &t, BPF_EXIST);
		else if (!bpf_map_update_elem(&vms, &tgid, &t, BPF_NOEXIST))
			__sync_fetch_and_add(&config->beyond, 1);
		return NULL;
	}
	t.slot = slot;
	t.born_ns = bpf_ktime_get_ns();
	/* Of several of its vCPUs one is first; the others give their slot back. */
	if ((known && bpf_map_delete_elem(&vms, &tgid)) ||
	    bpf_map_update_elem(&vms, &tgid, &t, BPF_NOEXIST)) {
		bpf_map_push_elem(&free_slots, &slot, 0);
		known = bpf_map_lookup_elem(&vms, &tgid);
		if (!known)
			__sync_fetch_and_add(&config->beyond, 1); /* the table is full */
		return known && known->slot < MAX_SLOTS ? known : NULL;
	}
	__sync_fetch_and_add(&config->generation, 1);
	s = bpf_map_lookup_elem(&slots, &slot);
	if (s) {
		s->vmm_tgid = tgid;
		s->origin_ns = t.born_ns;
	}
	tell_vm(slot, tgid, t.born_ns);
	return bpf_map_lookup_elem(&vms, &tgid);
}

/* The way for a thread that its CPU does not remember. */
static __noinline struct vcpu_state *find_vcpu(struct per_cpu *cpu, u64 pid_tgid)
{
	u32 tid = (u32)pid_tgid, tgid = pid_tgid >> 32;
	struct vcpu_state *v;
	struct target *t;
	struct slot *s;
	u32 *known, i;
	u64 now;

	if (!cpu)
		return NULL;
	now = generation(); /* before it is asked whose this is */
	known = bpf_map_lookup_elem(&threads, &tid);
	if (known) {
		i = *known;
		v = bpf_map_lookup_elem(&vcpus, &i);
		if (v && v->tid == tid)
			goto found;
	}
	t = current_target();
	if (!t)
		t = discover(tgid);
	if (!t || t->slot >= MAX_SLOTS) {
		cpu->nobody = pid_tgid;
		cpu->nobody_cgroup = bpf_get_current_cgroup_id();
		cpu->nobody_generation = now;
		return NULL;
	}
	if (bpf_map_pop_elem(&free_vcpus, &i)) {
		count(t->slot, LOST_VCPUS, 1);
		return NULL;
	}
	v = bpf_map_lookup_elem(&vcpus, &i);
	if (!v)
		return NULL;
	__builtin_memset(v, 0, sizeof(*v));
	v->slot = t->slot;
	v->console_port = t->console_port;
	v->idle_port = t->idle_port;
	v->flags = t->flags;
	v->tid = tid;
	if (bpf_map_update_elem(&threads, &tid, &i, BPF_ANY)) {
		v->tid = 0;
		bpf_map_push_elem(&free_vcpus, &i, 0);
		count(t->slot, LOST_VCPUS, 1);
		return NULL;
	}
	s = bpf_map_lookup_elem(&slots, &t->slot);
	if (s)
		__sync_fetch_and_add(&s->vcpus, 1);
found:
	cpu->vcpu = i;
	cpu->tid = tid;
	return v;
}

/*
 * The current thread's state as a vCPU, NULL if it is none of a watched VM. The
 * CPU's memory may be of another thread with the same id, or be overwritten
 * between two reads (fentry programs can be preempted): the state says itself
 * whose it is.
 */
static __always_inline struct vcpu_state *current_vcpu(u32 hook)
{
	u64 pid_tgid = bpf_get_current_pid_tgid();
	struct per_cpu *cpu = this_cpu();
	u32 tid = (u32)pid_tgid, i;
	struct vcpu_state *v;

	if (!cpu)
		return NULL;
	cpu->hits[hook]++;
	if (cpu->tid == tid) {
		i = cpu->vcpu;
		v = bpf_map_lookup_elem(&vcpus, &i);
		if (v && v->tid == tid)
			return v;
	}
	if (cpu->nobody == pid_tgid && cpu->nobody_generation == generation() &&
	    cpu->nobody_cgroup == bpf_get_current_cgroup_id())
		return NULL;
	return find_vcpu(cpu, pid_tgid);
}

/* mark for an event that may happen millions of times. */
static __always_inline void mark_vcpu(struct vcpu_state *v, u32 kind, u32 hook, u64 ns)
{
	if (v->seen & (1ULL << kind))
		return;
	v->seen |= 1ULL << kind;
	mark_of(v->tid, v->slot, kind, hook, ns);
}

/* run_enter ends a round trip through the VMM: the vCPU's thread is back in KVM. */
static __always_inline void run_enter(struct vcpu_state *v, u32 hook)
{
	u64 now = bpf_ktime_get_ns();
	u32 row;

	mark_vcpu(v, MARK_FIRST_RUN, hook, now);
	if (!v->user_exit_ns)
		return;
	row = user_exit_row_of[v->user_exit_class % USER_EXIT_CLASSES] % USER_EXIT_ROWS;
	observe(&user_exit_hist, v->slot * USER_EXIT_ROWS + row, now - v->user_exit_ns);
	if (v->exit_ns) /* else it is part of no exit: a vCPU that has not been in the guest */
		v->parts.vmm += now - v->user_exit_ns;
	v->user_exit_ns = 0;
}

#endif
