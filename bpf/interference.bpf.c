//go:build ignore
/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Who else ran on the CPUs of a sample. Only CPUs that are looked at cost more
 * than a lookup; on those every stretch of time, from one switch of tasks to the
 * next, goes to idle, to the run's own cgroup, to ukprobe or to a row by name,
 * less what interrupts took of it, which have rows of their own: the sums make up
 * the whole time, and no nanosecond is in two of them.
 *
 * These programs share no map with the others: they work with or without a watch.
 */
#include "tracepoints.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

#define MAX_SOURCES 4096
#define MAX_BELOW 6 /* levels: the sample's, and those of a container below it */
#define COMM_LEN 16 /* TASK_COMM_LEN */
#define MAX_ENGINE 4096 /* processes */
/*
 * Stretches; powers of two. Read are those of all CPUs at once, for which Linux 5.10 has
 * 4 MiB at most (KMALLOC_MAX_SIZE): that many bytes are 1,638 CPUs of 64 stretches.
 */
#define EDGE 64
#define EDGES 32

/* include/linux/sched.h */
#define PF_KTHREAD 0x00200000
/* include/linux/pid_types.h */
#define PIDTYPE_TGID 1
#define PIDTYPE_MAX 4

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct kernfs_node {
	u64 id; /* since 5.5 */
};

struct cgroup {
	int level;
	struct kernfs_node *kn;
	struct cgroup *ancestors[0]; /* since 6.1 (kernel commit 7f203bc89eb6) */
};

/* Until 6.0: their ids. */
struct cgroup___v60 {
	u64 ancestor_ids[0];
};

struct css_set {
	struct cgroup *dfl_cgrp;
};

struct signal_struct___who {
	struct pid *pids[PIDTYPE_MAX]; /* since 4.19 */
};

/* What only this file reads. */
struct task_struct___who {
	unsigned int flags;
	int tgid;
	char comm[COMM_LEN];
	struct task_struct *real_parent;
	struct css_set *cgroups;
	struct signal_struct___who *signal;
};

#pragma clang attribute pop

/* Order and values: probe/interference.go. */
enum source_kind {
	SOURCE_TASK,
	SOURCE_KTHREAD,
	SOURCE_OWN, /* ukprobe and what it started outside its cgroups: clients */
	SOURCE_IRQ,
	SOURCE_SOFTIRQ,
	SOURCE_ENGINE, /* of a container engine, and what it has started */
	/* Of stretches only: they have no row. */
	SOURCE_IDLE,
	SOURCE_MINE,
};

struct source_key {
	enum source_kind kind;
	u32 id; /* thread, interrupt, or vector of a soft one */
	u32 cpu;
	u32 pad;
};

struct source_time {
	u64 ns;
	u64 count;
	u32 tgid;
	u32 pad;
	char comm[COMM_LEN];
};

/* One CPU. Written only there, and by programs that cannot interrupt each other but
 * at the end of a softirq. */
struct cpu_time {
	u64 looking; /* 0: nobody looks at this CPU */
	u64 group; /* id of the cgroup that is the run's ... */
	u32 level; /* ... at this level of the hierarchy; 0: not known yet */
	u32 own; /* tgid of ukprobe, as whoami tells it */
	u64 begun_ns;
	u64 ended_ns;
	u64 task_ns; /* since when the current task is on */
	u64 taken_ns; /* what interrupts have taken of that */
	u64 irq_ns; /* since when one is handled, else 0 */
	u64 softirq_ns; /* likewise */
	u64 softirq_taken_ns; /* what hard ones have taken of that */
	u32 softirq;
	u32 pad;
	/* Sums, ns. */
	u64 idle;
	u64 mine;
	u64 others;
	u64 own_time;
	u64 engine_time;
	u64 irq;
	u64 softirqs;
	/* What found no row: it is in the sums. */
	u64 beyond_ns;
	u64 beyond;
	/* How often each hook fired. */
	u64 switches;
	u64 irq_hits;
	u64 softirq_hits;
	u64 stretches;
};

/*
 * What is in the sums, one by one: user space takes out of them what was before a
 * guest's start or after it was ready, which it knows only when it is over.
 */
struct stretch {
	u64 begun;
	u64 ended;
	u64 ns; /* less what interrupted it */
	u16 kind;
	u16 unnamed; /* it found no row */
	u32 id;
};

struct edge {
	struct stretch at[EDGE];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct cpu_time);
} cpu_times SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_SOURCES);
	__type(key, struct source_key);
	__type(value, struct source_time);
} sources SEC(".maps");

/* The first of a look. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, EDGES);
	__type(key, u32);
	__type(value, struct edge);
} heads SEC(".maps");

/* The last, in a ring. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, EDGES);
	__type(key, u32);
	__type(value, struct edge);
} tails SEC(".maps");

/* Processes of a container engine: those that user space names, and what they start. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_ENGINE);
	__type(key, u32);
	__type(value, u32);
} engine SEC(".maps");

static __always_inline struct cpu_time *looked_at(void)
{
	u32 zero = 0;
	struct cpu_time *c = bpf_map_lookup_elem(&cpu_times, &zero);

	return c && c->looking ? c : NULL;
}

/* ---- Whose time it was ---- */

/* The id of a cgroup's ancestor at a level not below its own. */
static __always_inline u64 ancestor_id(struct cgroup *group, u32 level)
{
	struct cgroup *above = NULL;
	u64 id = 0;

	if (bpf_core_field_exists(struct cgroup, ancestors)) {
		bpf_probe_read_kernel(&above, sizeof(above),
				      (void *)group +
					      bpf_core_field_offset(struct cgroup, ancestors) +
					      sizeof(above) * level);
		return BPF_CORE_READ(above, kn, id);
	}
	bpf_probe_read_kernel(&id, sizeof(id),
			      (void *)group +
				      bpf_core_field_offset(struct cgroup___v60, ancestor_ids) +
				      sizeof(id) * level);
	return id;
}

/*
 * In the run's cgroup, or at most MAX_BELOW below it. At which level that is, the
 * first task tells that is: in a cgroup namespace user space does not know.
 */
static __always_inline bool is_mine(struct cpu_time *c, struct task_struct___who *task)
{
	struct cgroup *group = BPF_CORE_READ(task, cgroups, dfl_cgrp);
	int level = BPF_CORE_READ(group, level), i;

	if (c->level)
		return level >= (int)c->level && ancestor_id(group, c->level) == c->group;
	for (i = 0; i < MAX_BELOW; i++, level--) {
		if (level <= 0)
			return false;
		if (ancestor_id(group, level) == c->group) {
			c->level = level;
			return true;
		}
	}
	return false;
}

static __always_inline struct source_time *row(struct source_key *key)
{
	struct source_time none = {}, *t = bpf_map_lookup_elem(&sources, key);

	if (t)
		return t;
	bpf_map_update_elem(&sources, key, &none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&sources, key);
}

static __always_inline void beyond(struct cpu_time *c, u64 ns)
{
	c->beyond++;
	c->beyond_ns += ns;
}

static __always_inline void note(struct cpu_time *c, struct stretch *s)
{
	u32 at = c->stretches & (EDGE - 1), part = c->stretches / EDGE & (EDGES - 1);
	struct edge *e;

	if (c->stretches < EDGE * EDGES) {
		e = bpf_map_lookup_elem(&heads, &part);
		if (e)
			e->at[at] = *s;
	}
	e = bpf_map_lookup_elem(&tails, &part);
	if (e)
		e->at[at] = *s;
	c->stretches++;
}

/*
 * A process of the engine, but not in a container of its: those have PID namespaces. Of
 * one that has been reaped and has yet to leave its CPU nobody knows: it is foreign.
 */
static __always_inline bool is_engine(struct task_struct___who *task, u32 tgid)
{
	struct signal_struct___who *signal;
	struct pid *pid = NULL;

	if (!bpf_map_lookup_elem(&engine, &tgid))
		return false;
	signal = BPF_CORE_READ(task, signal);
	bpf_core_read(&pid, sizeof(pid), &signal->pids[PIDTYPE_TGID]);
	return pid && !BPF_CORE_READ(pid, level);
}

/* Returns whose time it was, and whether that found no row. */
static __always_inline void add_task(struct cpu_time *c, struct stretch *s)
{
	struct task_struct___who *task = (void *)bpf_get_current_task();
	struct source_key key = { .cpu = bpf_get_smp_processor_id() };
	u64 pid_tgid = bpf_get_current_pid_tgid();
	struct source_time *t;
	u32 own = c->own, tgid = pid_tgid >> 32;
	u64 ns = s->ns;

	s->id = key.id = pid_tgid;
	if (!key.id) {
		s->kind = SOURCE_IDLE;
		c->idle += ns;
		return;
	}
	if (is_mine(c, task)) {
		s->kind = SOURCE_MINE;
		c->mine += ns;
		return;
	}
	if (tgid == own || BPF_CORE_READ(task, real_parent, tgid) == own) {
		key.kind = SOURCE_OWN;
		c->own_time += ns;
	} else if (is_engine(task, tgid)) {
		key.kind = SOURCE_ENGINE;
		c->engine_time += ns;
	} else {
		key.kind = BPF_CORE_READ(task, flags) & PF_KTHREAD ? SOURCE_KTHREAD : SOURCE_TASK;
		c->others += ns;
	}
	s->kind = key.kind;
	t = row(&key);
	if (!t) {
		s->unnamed = 1;
		beyond(c, ns);
		return;
	}
	t->ns += ns;
	t->count++;
	t->tgid = tgid;
	/* Each time: a new process has its parent's until it calls exec. */
	bpf_probe_read_kernel(t->comm, sizeof(t->comm), &task->comm);
}

static __always_inline void add_interrupt(struct cpu_time *c, struct stretch *s)
{
	struct source_key key = { .kind = s->kind, .id = s->id, .cpu = bpf_get_smp_processor_id() };
	struct source_time *t = row(&key);

	c->taken_ns += s->ns;
	if (t) {
		t->ns += s->ns;
		t->count++;
	} else {
		s->unnamed = 1;
		beyond(c, s->ns);
	}
	note(c, s);
}

/* The current task's stretch is over. */
static __always_inline void task_off(struct cpu_time *c, u64 now)
{
	struct stretch s = { .begun = c->task_ns, .ended = now };
	u64 ns = now - c->task_ns;

	s.ns = ns > c->taken_ns ? ns - c->taken_ns : 0;
	add_task(c, &s);
	note(c, &s);
	c->task_ns = now;
	c->taken_ns = 0;
}

static __always_inline void softirq_off(struct cpu_time *c, u64 now)
{
	struct stretch s = {
		.begun = c->softirq_ns, .ended = now, .kind = SOURCE_SOFTIRQ, .id = c->softirq
	};
	u64 ns;

	if (!c->softirq_ns)
		return; /* it began before anybody looked */
	ns = now - c->softirq_ns;
	ns = ns > c->softirq_taken_ns ? ns - c->softirq_taken_ns : 0;
	c->softirq_ns = 0;
	c->softirqs += ns;
	s.ns = ns;
	add_interrupt(c, &s);
}

/* ---- The hooks ---- */

/* In the context of the task that goes. */
static __always_inline int on_switch(void)
{
	struct cpu_time *c = looked_at();

	if (!c)
		return 0;
	c->switches++;
	c->softirq_ns =
		0; /* only PREEMPT_RT switches in the middle of one: that is a task's time */
	task_off(c, bpf_ktime_get_ns());
	return 0;
}

static __always_inline int on_irq_entry(void)
{
	struct cpu_time *c = looked_at();

	if (c)
		c->irq_ns = bpf_ktime_get_ns();
	return 0;
}

static __always_inline int on_irq_exit(u32 irq)
{
	struct stretch s = { .kind = SOURCE_IRQ, .id = irq };
	struct cpu_time *c = looked_at();

	if (!c)
		return 0;
	c->irq_hits++;
	if (!c->irq_ns)
		return 0;
	s.begun = c->irq_ns;
	s.ended = bpf_ktime_get_ns();
	s.ns = s.ended - s.begun;
	c->irq_ns = 0;
	c->irq += s.ns;
	if (c->softirq_ns)
		c->softirq_taken_ns += s.ns;
	add_interrupt(c, &s);
	return 0;
}

static __always_inline int on_softirq_entry(u32 vector)
{
	struct cpu_time *c = looked_at();

	if (!c)
		return 0;
	c->softirq_hits++;
	c->softirq = vector;
	c->softirq_taken_ns = 0;
	c->softirq_ns = bpf_ktime_get_ns();
	return 0;
}

static __always_inline int on_softirq_exit(void)
{
	struct cpu_time *c = looked_at();

	if (c)
		softirq_off(c, bpf_ktime_get_ns());
	return 0;
}

/*
 * In the context of who starts it. The classic tracepoint does not tell a thread from a
 * process: its number is no other process's.
 */
static __always_inline int on_new_task(u32 tid)
{
	u32 by = bpf_get_current_pid_tgid() >> 32, one = 1;

	if (!tid)
		return 0;
	if (bpf_map_lookup_elem(&engine, &by))
		bpf_map_update_elem(&engine, &tid, &one, BPF_ANY);
	else if (bpf_map_lookup_elem(&engine, &tid))
		bpf_map_delete_elem(&engine, &tid); /* the number is another's now */
	return 0;
}

SEC("tp_btf/sched_switch")
int BPF_PROG(tp_btf_interference_switch)
{
	return on_switch();
}

SEC("raw_tp/sched_switch")
int raw_tp_interference_switch(void *ctx)
{
	return on_switch();
}

SEC("tp/sched/sched_switch")
int tracepoint_interference_switch(void *ctx)
{
	on_switch();
	return PERF_KEEP;
}

SEC("tp_btf/irq_handler_entry")
int BPF_PROG(tp_btf_irq_entry)
{
	return on_irq_entry();
}

SEC("raw_tp/irq_handler_entry")
int raw_tp_irq_entry(void *ctx)
{
	return on_irq_entry();
}

SEC("tp/irq/irq_handler_entry")
int tracepoint_irq_entry(void *ctx)
{
	on_irq_entry();
	return PERF_KEEP;
}

SEC("tp_btf/irq_handler_exit")
int BPF_PROG(tp_btf_irq_exit, int irq)
{
	return on_irq_exit(irq);
}

SEC("raw_tp/irq_handler_exit")
int raw_tp_irq_exit(struct bpf_raw_tracepoint_args *ctx)
{
	return on_irq_exit(ctx->args[0]);
}

/* events/irq/irq_handler_exit/format */
struct tp_irq {
	u64 common;
	u32 irq;
};

SEC("tp/irq/irq_handler_exit")
int tracepoint_irq_exit(struct tp_irq *ctx)
{
	on_irq_exit(ctx->irq);
	return PERF_KEEP;
}

SEC("tp_btf/softirq_entry")
int BPF_PROG(tp_btf_softirq_entry, unsigned int vector)
{
	return on_softirq_entry(vector);
}

SEC("raw_tp/softirq_entry")
int raw_tp_softirq_entry(struct bpf_raw_tracepoint_args *ctx)
{
	return on_softirq_entry(ctx->args[0]);
}

/* events/irq/softirq_entry/format */
struct tp_softirq {
	u64 common;
	u32 vector;
};

SEC("tp/irq/softirq_entry")
int tracepoint_softirq_entry(struct tp_softirq *ctx)
{
	on_softirq_entry(ctx->vector);
	return PERF_KEEP;
}

SEC("tp_btf/softirq_exit")
int BPF_PROG(tp_btf_softirq_exit)
{
	return on_softirq_exit();
}

SEC("raw_tp/softirq_exit")
int raw_tp_softirq_exit(void *ctx)
{
	return on_softirq_exit();
}

SEC("tp/irq/softirq_exit")
int tracepoint_softirq_exit(void *ctx)
{
	on_softirq_exit();
	return PERF_KEEP;
}

/* Of a process its number; 0 of another thread, whose process is known already. */
static __always_inline u32 new_process(struct task_struct *task)
{
	struct task_struct___who *who = (void *)task;
	u32 pid = BPF_CORE_READ(task, pid);

	return BPF_CORE_READ(who, tgid) == pid ? pid : 0;
}

SEC("tp_btf/sched_wakeup_new")
int BPF_PROG(tp_btf_new_task, struct task_struct *task)
{
	return on_new_task(new_process(task));
}

SEC("raw_tp/sched_wakeup_new")
int raw_tp_new_task(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (void *)ctx->args[0];

	return on_new_task(new_process(task));
}

/* events/sched/sched_wakeup_new/format */
struct tp_new_task {
	u64 common;
	char comm[COMM_LEN];
	u32 pid;
};

SEC("tp/sched/sched_wakeup_new")
int tracepoint_new_task(struct tp_new_task *ctx)
{
	on_new_task(ctx->pid);
	return PERF_KEEP;
}

/* ---- Begin and end ---- */

/*
 * Never attached: user space runs it and is told by what number the kernel knows it.
 * In a PID namespace that is another one than getpid's.
 */
SEC("raw_tp")
int whoami(void *ctx)
{
	return bpf_get_current_pid_tgid() >> 32;
}

/*
 * Never attached: user space has the kernel run it once on each CPU, where it
 * interrupts the task that is on (BPF_F_TEST_RUN_ON_CPU, since 5.10), so that a task
 * that never leaves its CPU is seen as well. The arguments are a group and ukprobe's
 * process, to begin; zeros, to end.
 */
SEC("raw_tp")
int look(struct bpf_raw_tracepoint_args *ctx)
{
	u64 now = bpf_ktime_get_ns();
	struct cpu_time *c;
	u32 zero = 0;

	c = bpf_map_lookup_elem(&cpu_times, &zero);
	if (!c)
		return 0;
	if (!ctx->args[0]) {
		if (c->looking) {
			softirq_off(c, now);
			task_off(c, now);
			c->ended_ns = now;
			c->looking = 0;
		}
		return 0;
	}
	__builtin_memset(c, 0, sizeof(*c));
	c->group = ctx->args[0];
	c->own = ctx->args[1];
	c->begun_ns = now;
	c->task_ns = now;
	c->looking = 1;
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
