/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The maps that programs share, and the small functions on them. Every object
 * declares them; user space creates each once and hands it to all
 * (MapReplacements), so that each rung can be loaded by itself. User space also
 * sizes those with rows per slot, for as many slots as it wants.
 */
#ifndef UKPROBE_MAPS_H
#define UKPROBE_MAPS_H

#include "event.h"
#include "hist.h"
#include "tracepoints.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, u32); /* CONFIG_* */
	__type(value, struct config);
} configs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_SLOTS);
	__type(key, u64); /* cgroup id */
	__type(value, struct target);
} targets SEC(".maps");

/* Processes with a VM that are watched, or not, for what they are. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_VMS);
	__type(key, u32); /* tgid */
	__type(value, struct target);
} vms SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, MAX_SLOTS);
	__uint(key_size, 0);
	__uint(value_size, sizeof(u32));
} free_slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_SLOTS * 2);
	__type(key, struct device_key);
	__type(value, struct device);
} devices SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_SLOTS);
	__type(key, u32);
	__type(value, struct slot);
} slots SEC(".maps");

/* How many of a slot's records user space has taken from the ring buffer. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, MAX_SLOTS);
	__type(key, u32);
	__type(value, u64);
} taken SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MAX_SLOTS);
	__type(key, u32);
	__type(value, struct counters);
} counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct per_cpu);
} cpus SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_VCPUS);
	__type(key, u32); /* thread id */
	__type(value, u32); /* index into vcpus */
} threads SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_VCPUS);
	__type(key, u32);
	__type(value, struct vcpu_state);
} vcpus SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, MAX_VCPUS);
	__uint(key_size, 0);
	__uint(value_size, sizeof(u32));
} free_vcpus SEC(".maps");

/* A thread's rows in these two go with it, if it ends inside the call. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, u32); /* thread id, inside KVM_CREATE_VM */
	__type(value, u64); /* since when, ns */
} creating SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, u32); /* thread id */
	__type(value, struct console_write);
} writes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct pio_key);
	__type(value, u64);
} ports SEC(".maps");

/* When the first child of a process was exec'd, while containers are watched. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, u32); /* tgid of the parent */
	__type(value, u64);
} first_execs SEC(".maps");

/* Exits by slot and class, of the classes without a row of their own. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MAX_SLOTS *EXIT_CLASSES);
	__type(key, u32);
	__type(value, u64);
} exits SEC(".maps");

/* Handling time of exits: exit to next entry, by slot and row. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MAX_SLOTS *EXIT_ROWS);
	__type(key, u32);
	__type(value, struct hist);
} exit_hist SEC(".maps");

/*
 * Time in the guest: entry to exit, by slot and the exit's row. Its count is all
 * exits of the row; those without an entry before them are in no bucket.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MAX_SLOTS *EXIT_ROWS);
	__type(key, u32);
	__type(value, struct hist);
} guest_hist SEC(".maps");

/* What the handling times consist of. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MAX_SLOTS *EXIT_ROWS);
	__type(key, u32);
	__type(value, struct parts);
} exit_parts SEC(".maps");

/* Round trips through the VMM: userspace exit to next KVM_RUN, by slot and row. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MAX_SLOTS *USER_EXIT_ROWS);
	__type(key, u32);
	__type(value, struct hist);
} user_exit_hist SEC(".maps");

/* Exits to user space by reason; counted also where round trips are not seen. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MAX_SLOTS *USER_EXIT_CLASSES);
	__type(key, u32);
	__type(value, u64);
} user_exits SEC(".maps");

/* By slot and enum span. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MAX_SLOTS *SPANS);
	__type(key, u32);
	__type(value, struct hist);
} span_hist SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} records SEC(".maps");

/*
 * How many records and rows of the table of ports one slot may hold, so that a
 * guest that floods takes no room from another. Filled in by probe/attach.go.
 */
volatile const u64 record_share = 1024;
volatile const u32 port_share = 256;

/*
 * At which level of the cgroup v2 hierarchy the targets' groups are, so that groups
 * below them belong to the targets too (a container's); 0: none do. Filled in by
 * probe/attach.go, and never where tracing programs lack the helper (before 5.15).
 */
volatile const u32 group_level = 0;

/* KVM_EXIT_* with a row of their own in user_exit_hist; the rest have row 0. */
volatile const u8 user_exit_row_of[USER_EXIT_CLASSES] = {};

static __always_inline struct per_cpu *this_cpu(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&cpus, &zero);
}

static __always_inline struct config *config_of(u32 whose)
{
	return bpf_map_lookup_elem(&configs, &whose);
}

/* Changes with every target that comes, and with slots that become free again. */
static __always_inline u64 generation(void)
{
	struct config *kernel = config_of(CONFIG_KERNEL), *user = config_of(CONFIG_USER);

	return kernel && user ? kernel->generation + user->generation : 0;
}

static __always_inline void hit(u32 hook)
{
	struct per_cpu *cpu = this_cpu();

	if (cpu && hook < HOOK_KINDS)
		cpu->hits[hook]++;
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

static __always_inline void observe(void *map, u32 key, u64 ns)
{
	struct hist *h = bpf_map_lookup_elem(map, &key);

	if (h)
		hist_observe(h, ns);
}

/* The target that the current thread belongs to: by its cgroup, one above it, or its process. */
static __always_inline struct target *current_target(void)
{
	u64 id = bpf_get_current_cgroup_id();
	struct target *t = bpf_map_lookup_elem(&targets, &id);
	u32 tgid = bpf_get_current_pid_tgid() >> 32;

	if (t)
		return t;
	if (group_level) {
		id = bpf_get_current_ancestor_cgroup_id(group_level);
		t = bpf_map_lookup_elem(&targets, &id);
		if (t)
			return t;
	}
	t = bpf_map_lookup_elem(&vms, &tgid);
	return t && t->slot < MAX_SLOTS && !(t->flags & TARGET_DEAD) ? t : NULL;
}

/* A record of a constant size, if the slot has not used up its share. */
#define reserve(s, slot_key, size)                                                                 \
	({                                                                                         \
		u32 reserve_key = (slot_key);                                                      \
		u64 *had = bpf_map_lookup_elem(&taken, &reserve_key);                              \
		struct record *made = NULL;                                                        \
		/* Signed: what a slot's last tenant sent may be read after it was emptied. */     \
		if (had && (s64)((s)->sent - *had) < (s64)record_share)                            \
			made = bpf_ringbuf_reserve(&records, size, 0);                             \
		if (made)                                                                          \
			__sync_fetch_and_add(&(s)->sent, 1);                                       \
		made;                                                                              \
	})

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
	if (!s->origin_ns)
		s->origin_ns = ns;
	/* The end is no activity: it may be told before the last halt's end is. */
	if (kind != MARK_VMM_EXIT)
		s->active_ns = ns;

	r = reserve(s, slot, RECORD_HEADER);
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
