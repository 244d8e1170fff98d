/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The maps that all programs share, and the small functions on them. Every
 * object declares them; user space creates each once and hands it to all
 * (MapReplacements), so that each rung can be loaded by itself.
 */
#ifndef UKPROBE_MAPS_H
#define UKPROBE_MAPS_H

#include "event.h"
#include "hist.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_SLOTS);
	__type(key, u64); /* cgroup id */
	__type(value, struct target);
} targets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_SLOTS * 2);
	__type(key, u32); /* ifindex */
	__type(value, struct device);
} devices SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_SLOTS);
	__type(key, u32);
	__type(value, struct slot);
} slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MAX_SLOTS);
	__type(key, u32);
	__type(value, struct counters);
} counts SEC(".maps");

/* How often each hook fired, for whatever process: has it proven itself alive? */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, HOOK_KINDS);
	__type(key, u32);
	__type(value, u64);
} hits SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, u32); /* thread id */
	__type(value, struct vcpu_state);
} vcpus SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, u32); /* thread id, inside KVM_CREATE_VM */
	__type(value, u64); /* since when, ns */
} creating SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, u32); /* thread id */
	__type(value, struct console_write);
} writes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct pio_key);
	__type(value, u64);
} ports SEC(".maps");

/* Exits by slot and class; counted also where no entry follows. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, EXIT_HISTS);
	__type(key, u32);
	__type(value, u64);
} exits SEC(".maps");

/* Handling time of exits: exit to next entry, by slot and class. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, EXIT_HISTS);
	__type(key, u32);
	__type(value, struct hist);
} exit_hist SEC(".maps");

/* Round trips through the VMM: userspace exit to next KVM_RUN. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, USER_EXIT_HISTS);
	__type(key, u32);
	__type(value, struct hist);
} user_exit_hist SEC(".maps");

/* Exits to user space by reason; counted also where round trips are not seen. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, USER_EXIT_HISTS);
	__type(key, u32);
	__type(value, u64);
} user_exits SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} records SEC(".maps");

static __always_inline void hit(u32 hook)
{
	u64 *n = bpf_map_lookup_elem(&hits, &hook);

	if (n)
		(*n)++;
}

static __always_inline void count(u32 slot, u32 what, u64 n)
{
	struct counters *c = bpf_map_lookup_elem(&counts, &slot);

	if (c && what < COUNTERS)
		c->n[what] += n;
}

/* add_one counts in a map of u64 by slot and class. */
static __always_inline void add_one(void *map, u32 key)
{
	u64 *n = bpf_map_lookup_elem(map, &key);

	if (n)
		(*n)++;
}

static __always_inline struct target *current_target(void)
{
	u64 id = bpf_get_current_cgroup_id();

	return bpf_map_lookup_elem(&targets, &id);
}

/*
 * mark records the first time of an event in its slot. The slot itself holds
 * it, so that a full ring buffer loses nothing; the record only wakes the
 * reader up. Two vCPUs that race both write a time of that moment. tid: the
 * thread that it is about, or 0.
 */
static __always_inline void mark_of(u32 tid, u32 slot, u32 kind, u32 hook, u64 ns)
{
	struct slot *s = bpf_map_lookup_elem(&slots, &slot);
	struct record *r;

	if (!s || kind >= MARK_KINDS || s->marks[kind].ns)
		return;
	s->marks[kind].tid = tid;
	s->marks[kind].hook = hook;
	s->marks[kind].ns = ns;
	/* The end is no activity: it may be told before the last halt's end is. */
	if (kind != MARK_VMM_EXIT)
		s->active_ns = ns;

	r = bpf_ringbuf_reserve(&records, RECORD_HEADER, 0);
	if (!r)
		return; /* not lost: the mark is in the slot */
	r->ns = ns;
	r->last_ns = ns;
	r->kind = RECORD_MARK;
	r->slot = slot;
	r->hook = hook;
	r->arg = kind;
	bpf_ringbuf_submit(r, 0);
}

/* mark for an event of the current thread. Not in tc programs before 6.10. */
static __always_inline void mark(u32 slot, u32 kind, u32 hook, u64 ns)
{
	mark_of((u32)bpf_get_current_pid_tgid(), slot, kind, hook, ns);
}

#endif
