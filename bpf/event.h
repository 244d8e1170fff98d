/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What the programs tell user space: marks (the first time that something
 * happened in a slot), console lines, and counters. Mirrored by probe/event.go.
 */
#ifndef UKPROBE_EVENT_H
#define UKPROBE_EVENT_H

#include "kernel.h"

#define MAX_SLOTS 16 /* guests watched at one time */
#define MAX_SEGMENTS 4 /* load segments of an image */
#define LINE_MAX 256 /* bytes of a console line; a longer one is cut in pieces */

/* The moments of a timeline. Order and values: probe/event.go. */
enum mark_kind {
	MARK_VMM_EXEC,
	MARK_VM_CREATE, /* KVM_CREATE_VM entered */
	MARK_VM_CREATED, /* KVM_CREATE_VM returned */
	MARK_VCPU_CREATED,
	MARK_FIRST_RUN,
	MARK_GUEST_ENTRY,
	MARK_FIRMWARE_END,
	MARK_FRAME_OUT,
	MARK_FRAME_IN,
	MARK_SYN,
	MARK_SYN_ACK,
	MARK_FIRST_REQUEST,
	MARK_FIRST_RESPONSE,
	MARK_INTERNAL_ERROR,
	MARK_SHUTDOWN,
	MARK_VMM_EXIT,
	MARK_KINDS,
};

/* Which hook delivered it. The rung behind a hook is known to user space. */
enum hook {
	HOOK_NONE,
	HOOK_EXEC,
	HOOK_EXIT,
	HOOK_VM_IOCTL,
	HOOK_VCPU,
	HOOK_RUN,
	HOOK_ENTRY,
	HOOK_KVM_EXIT,
	HOOK_USER_EXIT,
	HOOK_PIO,
	HOOK_CPUID,
	HOOK_HALT,
	HOOK_INSN,
	HOOK_TAP_OUT,
	HOOK_TAP_IN,
	HOOK_TC_OUT,
	HOOK_TC_IN,
	HOOK_SYSCALL,
	HOOK_RIP,
	HOOK_TSC_OFFSET,
	HOOK_TSC_RATIO,
	HOOK_MMIO,
	HOOK_KINDS,
};

enum counter {
	COUNT_ENTRY,
	COUNT_EXIT,
	COUNT_USER_EXIT,
	COUNT_PIO_IN,
	COUNT_PIO_OUT,
	COUNT_CPUID,
	COUNT_HALT,
	COUNT_TAP_OUT, /* frames seen at the tun driver, out of the guest */
	COUNT_TAP_IN,
	COUNT_FRAMES_OUT, /* frames and bytes seen at tcx or clsact */
	COUNT_BYTES_OUT,
	COUNT_FRAMES_IN,
	COUNT_BYTES_IN,
	/* What was lost. Each is exported; none is ever silently dropped. */
	LOST_RINGBUF, /* a console line or halt did not fit into the ring buffer */
	LOST_CONSOLE, /* console bytes that could not be read (string output) */
	LOST_PIO_PORTS, /* accesses to a port beyond the table of ports */
	LOST_VCPUS, /* entries of a vCPU beyond the table of vCPUs */
	COUNTERS,
};

struct mark {
	u64 ns;
	u32 tid;
	u32 hook;
};

/* A span of guest addresses that belongs to the image. */
struct segment {
	u64 lo;
	u64 hi; /* exclusive */
};

/* What a watched cgroup stands for. */
struct target {
	u32 slot;
	u16 console_port; /* a UART's base port, or 0 */
	u16 console_fd; /* 1 + the descriptor whose write(2)s are the console, or 0 */
};

/*
 * What a tap or veth stands for. Key: ifindex, which other namespaces have too:
 * hooks that see the whole host's devices look at netns as well.
 */
struct device {
	u32 slot;
	u16 service_port; /* TCP port of the service in host byte order, or 0 */
	u16 pad;
	u32 netns; /* the device's namespace (its inode number), or 0 for any */
};

struct line {
	u64 first_ns;
	u64 last_ns;
	u32 len;
	u32 dlab; /* the divisor latch is open: bytes are not output */
	u8 data[LINE_MAX];
};

struct slot {
	struct mark marks[MARK_KINDS];
	struct segment image[MAX_SEGMENTS];
	struct line line; /* being assembled */
	u64 active_ns; /* when something last happened that no reported halt followed; 0: none */
	u32 vmm_tgid;
	u32 pad;
};

struct counters {
	u64 n[COUNTERS];
};

/*
 * Exit reasons are folded into dense classes so that no hash is needed: first
 * the vendor's code into EXIT_CODES, then by a table of user space's into
 * EXIT_CLASSES, of which class 0 is "other".
 */
#define EXIT_CODES 256
#define EXIT_CLASSES 64
#define EXIT_HISTS (MAX_SLOTS * EXIT_CLASSES)
/* KVM_EXIT_* of include/uapi/linux/kvm.h: 0 to 41 so far. */
#define USER_EXIT_CLASSES 64
#define USER_EXIT_HISTS (MAX_SLOTS * USER_EXIT_CLASSES)

/* A vCPU's thread, by its id. */
struct vcpu_state {
	u64 vcpu; /* its struct kvm_vcpu, where a hook has seen it */
	u64 exit_ns; /* of the exit that is being handled, else 0 */
	u64 entry_ns;
	u64 user_exit_ns;
	u32 slot;
	u32 exit_class;
	u32 user_exit_class;
	u32 pad;
};

/* A write(2) to the console that is under way. */
struct console_write {
	u64 ns;
	u64 buf;
	u64 len; /* that buf holds */
};

struct pio_key {
	u32 slot;
	u16 port;
	u16 out; /* 1: guest to device */
};

/* A record of the ring buffer. */
enum record_kind {
	RECORD_LINE = 1, /* a console line from port accesses */
	RECORD_WRITE, /* the bytes of one write(2) to the console */
	RECORD_HALT, /* the guest went idle after having been active */
	RECORD_MARK, /* wakes user space up: kind in arg */
};

struct record {
	u64 ns; /* line: its first byte */
	u64 last_ns; /* line: its last byte */
	u32 kind;
	u32 slot;
	u32 hook;
	u32 arg; /* mark: its kind; line, write: the number of bytes */
	u8 data[LINE_MAX];
};

#define RECORD_HEADER (sizeof(struct record) - LINE_MAX)

#endif
