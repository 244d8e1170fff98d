/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reference guest: it does exactly what its command line says, and says
 * what it did. See docs/systems/reference.md for the contract.
 */
#include "reference.h"

struct counts counts;

static void sleeps(u32 n)
{
	for (; counts.hlt < n; counts.hlt++)
		timer_wait();
}

/* Writes once to every page of n MiB above the first 2 MiB. */
static void touch_memory(u32 n)
{
	u32 have = boot.ram_end > 2 * MIB ? (boot.ram_end - 2 * MIB) / MIB : 0;
	volatile u32 *page = (volatile u32 *)(2 * MIB);

	if (n > have) {
		line("not enough memory: need ");
		put_u64(n);
		put(" MiB, have ");
		put_u64(have);
		put(" MiB\n");
		crash_triple();
	}
	for (; counts.mem_pages < n * (MIB / PAGE); counts.mem_pages++, page += PAGE / 4)
		*page = counts.mem_pages;
}

static const char boot_names[][10] = {
	[BOOT_MULTIBOOT] = "multiboot",
	[BOOT_PVH] = "pvh",
	[BOOT_LINUX64] = "linux64",
};

static void print_counts(void)
{
	struct counts c = counts;
	u32 bytes = console_bytes;
	u64 pio = 0, cpuid = 0;

	for (u32 i = 0; i < opt.cpus; i++) {
		pio += cpus[i].pio;
		cpuid += cpus[i].cpuid;
	}
	line("counts");
	put(" boot=");
	put(boot_names[boot.protocol]);
	put_field("pio", pio);
	put_field("cpuid", cpuid);
	put_field("hlt", c.hlt);
	put_field("pages", c.mem_pages);
	put_field("frames-out", net_frames_out);
	put_field("console", bytes);
	put_field("port-io", pio + c.port_io);
	put_field("mmio", c.mmio);
	if (opt.cpus > 1)
		put_field("cpus", opt.cpus);
	put("\n");
}

static void print_tsc(const char *what, u64 tsc)
{
	line(what);
	put_field("tsc", tsc);
	put("\n");
}

/* Firecracker's boot timer is a port, in later versions memory. */
static void tell_boot_timer(void)
{
	if (opt.boot_timer > 0xffff)
		write_u8(opt.boot_timer, 123);
	else if (opt.boot_timer)
		outb(opt.boot_timer, 123);
}

/* isa-debug-exit if there is one, else the keyboard controller's reset line
 * (Firecracker ends on it), else a triple fault. */
static _Noreturn void leave(void)
{
	outl(DEBUG_EXIT_PORT, DEBUG_EXIT_VALUE);
	outb(0x64, 0xfe);
	crash_triple();
}

static _Noreturn void crash(void)
{
	if (opt.crash_gp)
		crash_gp();
	crash_triple();
}

static _Noreturn void finish(void)
{
	switch (opt.end) {
	case END_EXIT:
		leave();
	case END_CRASH:
		crash();
	case END_SPIN:
		spin_forever();
	case END_HALT:
		halt_forever();
	default:
		if (opt.net)
			net_hold();
		halt_forever();
	}
}

static void work(void)
{
	if (opt.hlt || opt.net)
		interrupts_init();
	cpus_start(opt.cpus);
	cpu_work(&cpus[0]);
	cpus_wait(opt.cpus);
	sleeps(opt.hlt);
	touch_memory(opt.mem_mib);
	if (opt.net) {
		net_init();
		net_announce();
	}
}

_Noreturn void reference_main(u32 protocol, u32 info, u64 tsc_start)
{
	bootinfo_read(protocol, info);
	console_init();
	print_tsc("start", tsc_start);
	cmdline_parse(boot.cmdline);
	work();
	print_counts();
	if (opt.crash_early)
		crash();
	if (opt.spin_early)
		spin_forever();
	tell_boot_timer();
	print_tsc("ready", rdtsc());
	finish();
}
