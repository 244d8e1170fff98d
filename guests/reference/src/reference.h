/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of the reference guest know of each other. Constants above the
 * assembler line are shared with boot.S; the Go package repeats PIO_PORT and
 * DEBUG_EXIT_PORT and its tests compare them.
 */
#ifndef REFERENCE_H
#define REFERENCE_H

#define BOOT_MULTIBOOT 1
#define BOOT_PVH 2
#define BOOT_LINUX64 3

#define PIO_PORT 0x5f0 /* no device of QEMU's pc and microvm or of Firecracker, to 0x5f8 */
#define CPUS_MAX 8
#define TRAMPOLINE 0x8000 /* a page below 1 MiB that nothing needs any more */
#define DEBUG_EXIT_PORT 0xf4
#define DEBUG_EXIT_VALUE 0x10 /* QEMU's exit status is then 0x21 = 33 */

#ifndef __ASSEMBLER__

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef unsigned int usize;

/* 32-bit code in a 64-bit ELF: Firecracker reads no other. See the Makefile. */
__asm__(".code32");

#define KIB 1024u
#define MIB (1024u * 1024u)
#define PAGE 4096u

/* boot.S */
extern u8 image_start[], image_bss_end[];
extern const u8 trampoline[], trampoline_end[];
_Noreturn void halt_forever(void);
_Noreturn void spin_forever(void);
_Noreturn void crash_triple(void);
_Noreturn void crash_gp(void);
void wait_interrupt(void);
void interrupt_entry(void);

/* bootinfo.c */
#define CMDLINE_MAX 2048
struct bootinfo {
	u32 protocol;
	char cmdline[CMDLINE_MAX];
	u32 ram_end; /* end of the RAM range that holds the image, at most 4 GiB - 1 */
};
extern struct bootinfo boot;
void bootinfo_read(u32 protocol, u32 address);

/* cmdline.c */
enum end { END_DEFAULT, END_HALT, END_EXIT, END_CRASH, END_SPIN, END_HOLD };
#define MMIO_DEVICES_MAX 8
struct mmio_device {
	u32 base;
	u32 irq;
};
struct options {
	u32 cpus, pio, cpuid, hlt, mem_mib;
	u32 net; /* a network is wanted */
	u8 ip[4];
	u32 port;
	enum end end;
	u32 spin_early, crash_early, crash_gp;
	u32 boot_timer; /* port or address of Firecracker's, 0 for none */
	struct mmio_device mmio[MMIO_DEVICES_MAX]; /* announced by the VMM */
	u32 mmio_count;
};
extern struct options opt;
void cmdline_parse(char *line);

/* console.c */
void console_init(void);
void put(const char *text);
void put_u64(u64 value);
void put_field(const char *name, u64 value);
void line(const char *text); /* "ukprobe-reference: " + text, no newline */
_Noreturn void fail(const char *what, const char *detail);
extern u32 console_bytes;

/* apic.c */
void interrupts_init(void);
void timer_wait(void);
void irq_route(u32 gsi, u32 level);
void irq_eoi(void);
void ipi(u32 apic, u32 command);

/* cpus.c */
enum cpu_state { CPU_SILENT, CPU_ANSWERED, CPU_FINISHED };
struct cpu {
	u32 pio, cpuid; /* done so far */
	enum cpu_state state;
} __attribute__((aligned(64))); /* a cache line of its own */
extern struct cpu cpus[CPUS_MAX]; /* the boot CPU is number 0 */
void cpu_work(struct cpu *cpu);
void cpus_start(u32 n);
void cpus_wait(u32 n);
_Noreturn void ap_main(void);
extern u32 ap_stack;

/* net.c */
void net_init(void);
void net_announce(void);
_Noreturn void net_hold(void);
extern u32 net_frames_out;

/*
 * The boot CPU's account of what it did, printed in the counts line together
 * with what each CPU counts for itself in cpus[].
 */
struct counts {
	u32 port_io; /* every IN and OUT of any size, but for those of cpu_work */
	u32 mmio; /* every access to a device's memory, local APIC included */
	u32 hlt, mem_pages;
};
extern struct counts counts;

#define barrier() __asm__ volatile("" ::: "memory")

static inline void pause(void)
{
	__asm__ volatile("pause" ::: "memory");
}

static inline void outb(u16 port, u8 value)
{
	counts.port_io++;
	__asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port) : "memory");
}

static inline void outl(u16 port, u32 value)
{
	counts.port_io++;
	__asm__ volatile("outl %0, %1" ::"a"(value), "Nd"(port) : "memory");
}

static inline u32 inl(u16 port)
{
	u32 value;

	counts.port_io++;
	__asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port) : "memory");
	return value;
}

/* One instruction per access, so that a count of accesses is a count of exits. */
#define MMIO_ACCESS(type, suffix)                                                                  \
	static inline type read_##suffix(u32 address)                                              \
	{                                                                                          \
		type value;                                                                        \
		counts.mmio++;                                                                     \
		__asm__ volatile("mov %1, %0"                                                      \
				 : "=q"(value)                                                     \
				 : "m"(*(volatile type *)address)                                  \
				 : "memory");                                                      \
		return value;                                                                      \
	}                                                                                          \
	static inline void write_##suffix(u32 address, type value)                                 \
	{                                                                                          \
		counts.mmio++;                                                                     \
		__asm__ volatile("mov %1, %0"                                                      \
				 : "=m"(*(volatile type *)address)                                 \
				 : "q"(value)                                                      \
				 : "memory");                                                      \
	}
MMIO_ACCESS(u8, u8)
MMIO_ACCESS(u16, u16)
MMIO_ACCESS(u32, u32)

static inline u64 rdtsc(void)
{
	u64 tsc;

	__asm__ volatile("rdtsc" : "=A"(tsc)::"memory");
	return tsc;
}

static inline void copy(void *to, const void *from, usize n)
{
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n)::"memory");
}

static inline void clear(void *to, usize n)
{
	__asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(0) : "memory");
}

static inline int equal(const void *a, const void *b, usize n)
{
	const u8 *x = a, *y = b;

	while (n && *x == *y)
		x++, y++, n--;
	return n == 0;
}

#endif /* __ASSEMBLER__ */
#endif
