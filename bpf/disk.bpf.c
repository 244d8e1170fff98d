//go:build ignore
/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * A guest's disk as the host sees it: the system calls by which a VMM, or a program
 * that is no guest, reads, writes and flushes some files. Which files is told by
 * their inodes, not by names or numbers: so a copy of a descriptor, or the same file
 * in a container, is the same.
 *
 * These programs share no map with the others, and are attached only while somebody
 * looks: they run at every system call of the host.
 */
#include "kernel.h"
#include "hist.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

#define MAX_FILES 16
#define MAX_PENDING 4096 /* calls that have begun */
#define SIZE_CLASSES 32 /* by the logarithm to base 2 */

/* arch/x86/entry/syscalls/syscall_64.tbl */
#define NR_READ 0
#define NR_WRITE 1
#define NR_PREAD64 17
#define NR_PWRITE64 18
#define NR_READV 19
#define NR_WRITEV 20
#define NR_FSYNC 74
#define NR_FDATASYNC 75
#define NR_IO_SUBMIT 209
#define NR_PREADV 295
#define NR_PWRITEV 296
#define NR_PREADV2 327
#define NR_PWRITEV2 328
#define NR_IO_URING_ENTER 426

/* include/uapi/linux/stat.h */
#define S_IFMT 0170000
#define S_IFREG 0100000

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct inode {
	u16 i_mode;
	unsigned int i_nlink;
};

struct file {
	struct inode *f_inode;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

/* What only this file reads. */
struct task_struct___files {
	struct files_struct *files;
};

#pragma clang attribute pop

/* Order: probe/disk.go. */
enum disk_op {
	DISK_READ,
	DISK_WRITE,
	DISK_FLUSH,
	DISK_OPS,
	DISK_NONE = DISK_OPS,
};

struct disk_count {
	u64 count; /* that succeeded */
	u64 bytes;
	u64 errors;
	u64 sizes[SIZE_CLASSES]; /* class n: from 2^n to 2^(n+1)-1 bytes */
};

struct disk_call {
	u64 ns;
	enum disk_op op;
	u32 pad;
};

/* The id of the cgroup whose tasks count; 0: all do. */
volatile const u64 disk_group = 0;
/* At which level of the hierarchy it is, where groups below it count too; 0: they do not. */
volatile const u32 disk_level = 0;
/* Files without a name count too: QEMU's for what a guest writes to a snapshot. */
volatile const u32 disk_unlinked = 0;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_FILES);
	__type(key, u64); /* address of the inode */
	__type(value, u32);
} disk_files SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_PENDING);
	__type(key, u32); /* thread */
	__type(value, struct disk_call);
} disk_pending SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, DISK_OPS);
	__type(key, u32);
	__type(value, struct disk_count);
} disk_counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, DISK_OPS);
	__type(key, u32);
	__type(value, struct hist);
} disk_hist SEC(".maps");

/* What is counted beside the disk's own calls. */
enum disk_note {
	NOTE_IO_SUBMIT, /* hand over many requests at once, for whatever file */
	NOTE_IO_URING,
	NOTE_CALLS, /* reads, writes and flushes of whatever file */
	NOTE_LOST, /* of the disk's, for which there was no room */
	DISK_NOTES,
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, DISK_NOTES);
	__type(key, enum disk_note);
	__type(value, u64);
} disk_notes SEC(".maps");

static __always_inline void note(u32 what)
{
	u64 *n = bpf_map_lookup_elem(&disk_notes, &what);

	if (n)
		(*n)++;
}

static __always_inline struct inode *inode_of(u64 fd)
{
	struct task_struct___files *task = (void *)bpf_get_current_task();
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file **slot, *file = NULL;

	if (fd >= BPF_CORE_READ(table, max_fds))
		return NULL;
	slot = BPF_CORE_READ(table, fd);
	if (bpf_probe_read_kernel(&file, sizeof(file), slot + fd) || !file)
		return NULL;
	return BPF_CORE_READ(file, f_inode);
}

/* Run by user space, with a descriptor of its own: its file counts from now on. */
SEC("raw_tp")
int add_file(struct bpf_raw_tracepoint_args *ctx)
{
	u64 inode = (u64)inode_of(ctx->args[0]);
	u32 one = 1;

	if (!inode)
		return 1;
	return bpf_map_update_elem(&disk_files, &inode, &one, BPF_ANY) ? 2 : 0;
}

static __always_inline bool is_mine(void)
{
	return !disk_group || bpf_get_current_cgroup_id() == disk_group ||
	       (disk_level && bpf_get_current_ancestor_cgroup_id(disk_level) == disk_group);
}

static __always_inline bool counts_as_disk(u64 fd)
{
	u64 inode = (u64)inode_of(fd);
	struct inode *i = (void *)inode;

	if (!inode)
		return false;
	if (bpf_map_lookup_elem(&disk_files, &inode))
		return true;
	return disk_unlinked && !BPF_CORE_READ(i, i_nlink) &&
	       (BPF_CORE_READ(i, i_mode) & S_IFMT) == S_IFREG;
}

static __always_inline u32 op_of(long nr)
{
	switch (nr) {
	case NR_READ:
	case NR_PREAD64:
	case NR_READV:
	case NR_PREADV:
	case NR_PREADV2:
		return DISK_READ;
	case NR_WRITE:
	case NR_PWRITE64:
	case NR_WRITEV:
	case NR_PWRITEV:
	case NR_PWRITEV2:
		return DISK_WRITE;
	case NR_FSYNC:
	case NR_FDATASYNC:
		return DISK_FLUSH;
	}
	return DISK_NONE;
}

static __always_inline int disk_enter(struct pt_regs *regs, long nr)
{
	struct disk_call p = { .op = op_of(nr) };
	u32 tid;

	if (nr == NR_IO_SUBMIT || nr == NR_IO_URING_ENTER) {
		if (is_mine())
			note(nr == NR_IO_SUBMIT ? NOTE_IO_SUBMIT : NOTE_IO_URING);
		return 0;
	}
	if (p.op == DISK_NONE || !is_mine())
		return 0;
	note(NOTE_CALLS);
	if (!counts_as_disk(BPF_CORE_READ(regs, di)))
		return 0;
	tid = (u32)bpf_get_current_pid_tgid();
	p.ns = bpf_ktime_get_ns();
	if (bpf_map_update_elem(&disk_pending, &tid, &p, BPF_ANY))
		note(NOTE_LOST);
	return 0;
}

static __always_inline int disk_exit(long nr, long ret)
{
	u32 tid = (u32)bpf_get_current_pid_tgid(), op = op_of(nr), class;
	u64 now = bpf_ktime_get_ns();
	struct disk_call *p;
	struct disk_count *c;
	struct hist *h;
	u64 since;

	if (op == DISK_NONE)
		return 0;
	p = bpf_map_lookup_elem(&disk_pending, &tid);
	if (!p)
		return 0;
	since = p->ns;
	if (p->op != op) { /* of a call whose end was not seen */
		note(NOTE_LOST);
		bpf_map_delete_elem(&disk_pending, &tid);
		return 0;
	}
	bpf_map_delete_elem(&disk_pending, &tid);
	c = bpf_map_lookup_elem(&disk_counts, &op);
	h = bpf_map_lookup_elem(&disk_hist, &op);
	if (!c || !h)
		return 0;
	if (ret < 0) {
		c->errors++;
		return 0;
	}
	c->count++;
	hist_observe(h, now > since ? now - since : 0);
	if (ret > 0) {
		c->bytes += ret;
		class = ret >> (SIZE_CLASSES - 1) ? SIZE_CLASSES - 1 : ilog2(ret);
		asm volatile("" : "+r"(class)); /* or the mask goes, and with it the bound */
		c->sizes[class & (SIZE_CLASSES - 1)]++;
	}
	return 0;
}

SEC("tp_btf/sys_enter")
int BPF_PROG(tp_btf_disk_enter, struct pt_regs *regs, long nr)
{
	return disk_enter(regs, nr);
}

SEC("raw_tp/sys_enter")
int raw_tp_disk_enter(struct bpf_raw_tracepoint_args *ctx)
{
	return disk_enter((struct pt_regs *)ctx->args[0], (long)ctx->args[1]);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(tp_btf_disk_exit, struct pt_regs *regs, long ret)
{
	return disk_exit(BPF_CORE_READ(regs, orig_ax), ret);
}

SEC("raw_tp/sys_exit")
int raw_tp_disk_exit(struct bpf_raw_tracepoint_args *ctx)
{
	struct pt_regs *regs = (struct pt_regs *)ctx->args[0];

	return disk_exit(BPF_CORE_READ(regs, orig_ax), (long)ctx->args[1]);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
