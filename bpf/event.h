/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What the programs tell user space: marks (the first time that something
 * happened in a slot), console lines, and counters. Mirrored by probe/event.go.
 */
#ifndef UKPROBE_EVENT_H
#define UKPROBE_EVENT_H

#include "kernel.h"

#define MAX_SLOTS 1024 /* guests watched at one time; user space makes the maps smaller */
#define MAX_SEGMENTS 8 /* spans of guest addresses */
#define MAX_VCPUS 4096 /* vCPU threads watched at one time */
#define MAX_VMS 16384 /* processes known to have a VM */
#define LINE_MAX 256 /* bytes of a console line; a longer one is cut in pieces */

/* The moments of a timeline. Order and values: probe/event.go. At most 62. */
enum mark_kind {
	MARK_VMM_EXEC,
	MARK_VM_CREATE, /* KVM_CREATE_VM entered */
	MARK_VM_CREATED, /* KVM_CREATE_VM returned */
	MARK_VCPU_CREATED,
	MARK_FIRST_RUN,
	MARK_GUEST_ENTRY,
	MARK_OPTION_ROM,
	MARK_FIRMWARE_END,
	MARK_DECOMPRESS, /* a bzImage's own first code */
	MARK_KERNEL, /* the kernel proper */
	MARK_FRAME_OUT,
	MARK_FRAME_IN,
	MARK_SYN,
	MARK_SYN_ACK,
	MARK_FIRST_REQUEST,
	MARK_FIRST_RESPONSE,
	MARK_BOOT_TIMER, /* Firecracker's, written by the guest */
	MARK_INTERNAL_ERROR,
	MARK_SHUTDOWN,
	MARK_VMM_EXIT,
	MARK_RUNTIME_EXEC, /* of a container: the runtime that made it */
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
	HOOK_WAKEUP,
	HOOK_INSN,
	HOOK_PAGE_FAULT,
	HOOK_SCHED,
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
	COUNT_ENTRY, /* entries that no exit went before; the others: exit_hist */
	COUNT_USER_EXIT,
	COUNT_PIO_IN,
	COUNT_PIO_OUT,
	COUNT_CPUID,
	COUNT_HALT,
	COUNT_PAGE_FAULT, /* all that KVM handled; those that give memory: populate_hist */
	COUNT_TAP_OUT, /* frames seen at the tun driver, out of the guest */
	COUNT_TAP_IN,
	COUNT_FRAMES_OUT, /* frames and bytes seen at tcx or clsact */
	COUNT_BYTES_OUT,
	COUNT_FRAMES_IN,
	COUNT_BYTES_IN,
	/* What was lost. Each is exported; none is ever silently dropped. */
	LOST_RINGBUF, /* a console line or halt: no room in the ring buffer, or its slot's share is used up */
	LOST_CONSOLE, /* console bytes that could not be read (string output) */
	LOST_PIO_PORTS, /* accesses to a port beyond the slot's share of the table of ports */
	LOST_VCPUS, /* events of a vCPU beyond the table of vCPUs */
	COUNTERS,
};

struct mark {
	u64 ns;
	u32 tid;
	u32 hook;
};

/*
 * A span of guest addresses. The first instruction pointer seen there makes a
 * mark; other than MARK_OPTION_ROM it ends the firmware as well.
 */
struct segment {
	u64 lo;
	u64 hi; /* exclusive */
	u32 mark; /* enum mark_kind */
	u32 last; /* nothing that is looked for comes later */
};

#define TARGET_BOOT_TIMER 1 /* look for Firecracker's boot timer */
#define TARGET_DEAD 2 /* its process has ended, and user space does not know yet */
#define TARGET_CONTAINER 4 /* begins with the exec of a pid namespace's first process */

/* Slots of processes that have a VM and no slot. */
#define SLOT_IGNORED 0xffffffff /* user space does not want it */
#define SLOT_BEYOND 0xfffffffe /* all slots were taken */
#define SLOT_RETRY 0xfffffffd /* they were, and one has become free since */

/* What a watched cgroup or process stands for. */
struct target {
	u32 slot;
	u16 console_port; /* a UART's base port, or 0 */
	u16 console_fd; /* 1 + the descriptor whose write(2)s are the console, or 0 */
	u32 flags; /* TARGET_* */
	u16 idle_port; /* to which the guest writes to wait for an event, or 0 */
	u16 pad;
	u64 born_ns; /* of a VM that was found: when; tells it from others in its slot or with its pid */
};

/* Two rows, so that each has one writer: the programs' own and user space's. */
#define CONFIG_KERNEL 0
#define CONFIG_USER 1
struct config {
	u64 generation; /* grows with every new target: who was nobody has to be asked again */
	u64 beyond; /* the programs': VMs that found no free slot */
	u32 discover; /* user space's: a VM that is no target gets a slot at its first vCPU event */
	u32 containers; /* user space's: how many targets are containers */
};

/* A network device. Each namespace counts its devices from 1. */
struct device_key {
	u32 netns; /* the inode number of its namespace */
	u32 ifindex;
};

/* What a tap or veth stands for. */
#define DEVICE_FLOWS 1 /* measure how long answers take */
#define DEVICE_FROM_EXEC 2 /* what passes before the guest's exec is not its own; cleared then */

struct device {
	u32 slot;
	u16 service_port; /* TCP port of the service in host byte order, or 0 */
	u16 flags; /* DEVICE_* */
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
	u64 origin_ns; /* since when there is something to see: what populate_hist counts from */
	u64 sent; /* records in the ring buffer so far; `taken` has those that were read */
	u32 vmm_tgid;
	u32 ports; /* rows of the table of ports */
	u32 wanted; /* an instruction pointer is still looked for */
	u32 vcpus; /* vCPU threads that were seen */
};

struct counters {
	u64 n[COUNTERS];
};

/*
 * Exit reasons are folded into dense classes so that no hash is needed: first
 * the vendor's code into EXIT_CODES, then by a table of user space's into
 * EXIT_CLASSES, of which class 0 is "other". The first EXIT_ROWS have histograms
 * of their own, the rest (rare ones) share row 0 and are only counted apart.
 */
#define EXIT_CODES 256
#define EXIT_CLASSES 64
#define EXIT_ROWS 32
/* KVM_EXIT_* of include/uapi/linux/kvm.h: 0 to 41 so far. Row 0 is "other". */
#define USER_EXIT_CLASSES 64
#define USER_EXIT_ROWS 16

/* Histograms that a slot has one of. */
enum span {
	SPAN_HALTED, /* from the block to the wake-up */
	SPAN_WAITED, /* a vCPU thread that could run and did not */
	SPAN_POPULATE, /* when memory was given to the guest, since origin_ns */
	SPANS,
};

/* What the handling of exits of one row consisted of, in ns. */
struct parts {
	u64 vmm; /* in user space: from the userspace exit to the next KVM_RUN */
	u64 halted; /* blocked, as the guest asked for */
	u64 waited; /* could run and did not, while in the kernel */
};

#define SEEN_ALL_RIP (1ULL << 63) /* no instruction pointer is looked for any more */

/*
 * A vCPU, or rather its thread. Written by programs in that thread's context, and
 * by those of the scheduler while it does not run.
 */
struct vcpu_state {
	u32 tid; /* 0: free */
	u32 slot;
	u64 vcpu; /* its struct kvm_vcpu, where a hook has seen it */
	u64 seen; /* bit per mark that its slot is known to have; SEEN_ALL_RIP */
	u64 exit_ns; /* of the exit that is being handled, else 0 */
	u64 entry_ns; /* of the last entry, 0 before the first */
	u64 user_exit_ns; /* of the exit to user space that is being handled, else 0 */
	u64 runnable_ns; /* since when it could run and does not, else 0 */
	u64 waited_asleep; /* parts.waited when it last went to sleep */
	struct parts parts; /* of the exit that is being handled */
	u32 exit_class;
	u32 user_exit_class;
	u16 console_port;
	u16 flags; /* TARGET_* */
	u16 idle_port;
	u16 pad;
};

/* What a CPU remembers of the last vCPU on it, which saves looking it up. */
struct per_cpu {
	u64 hits[HOOK_KINDS]; /* how often each hook fired, for whatever process */
	u32 tid;
	u32 vcpu; /* index of its state */
	u64 nobody; /* tgid and tid of a vCPU thread that is not watched ... */
	u64 nobody_cgroup; /* ... in this cgroup ... */
	u64 nobody_generation; /* ... as of then */
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
	RECORD_VM, /* a process, its tgid in arg, was given this slot */
	RECORD_GONE, /* the process of this slot, its tgid in arg, has ended; last_ns: born_ns */
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
