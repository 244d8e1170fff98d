/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line and the size of memory, from whichever boot protocol brought
 * us here. Both are copied at once: loaders put them where memory is touched
 * later.
 */
#include "reference.h"

struct bootinfo boot;

/* Multiboot 1, "Boot information format". */
struct multiboot_info {
	u32 flags;
	u32 mem_lower_kib, mem_upper_kib;
	u32 boot_device;
	u32 cmdline;
};
#define MULTIBOOT_HAS_MEMORY 0x1
#define MULTIBOOT_HAS_CMDLINE 0x4

/* Xen: public/arch-x86/hvm/start_info.h */
struct hvm_start_info {
	u32 magic, version, flags, nr_modules;
	u64 modlist, cmdline, rsdp;
	u64 memmap; /* from version 1 on */
	u32 memmap_entries, reserved;
};
struct hvm_memmap_entry {
	u64 addr, size;
	u32 type, reserved;
};

/* Linux: Documentation/arch/x86/zero-page.rst */
#define ZERO_PAGE_E820_ENTRIES 0x1e8
#define ZERO_PAGE_CMDLINE 0x228
#define ZERO_PAGE_E820_TABLE 0x2d0
struct e820_entry {
	u64 addr, size;
	u32 type;
} __attribute__((packed));

#define MEMORY_RAM 1

static void copy_cmdline(u32 address)
{
	const char *from = (const char *)address;
	usize n = 0;

	if (!address)
		return;
	while (n < CMDLINE_MAX - 1 && from[n])
		n++;
	copy(boot.cmdline, from, n);
	boot.cmdline[n] = 0;
}

static void consider_range(u64 addr, u64 size, u32 type)
{
	u64 end = addr + size;

	if (type != MEMORY_RAM || addr > MIB || end <= MIB)
		return;
	boot.ram_end = end > 0xffffffffu ? 0xffffffffu : (u32)end;
}

static void read_multiboot(const struct multiboot_info *info)
{
	if (info->flags & MULTIBOOT_HAS_MEMORY)
		consider_range(MIB, (u64)info->mem_upper_kib * KIB, MEMORY_RAM);
	if (info->flags & MULTIBOOT_HAS_CMDLINE)
		copy_cmdline(info->cmdline);
}

static void read_pvh(const struct hvm_start_info *info)
{
	const struct hvm_memmap_entry *map = (const void *)(u32)info->memmap;

	if (info->version >= 1)
		for (u32 i = 0; i < info->memmap_entries; i++)
			consider_range(map[i].addr, map[i].size, map[i].type);
	copy_cmdline(info->cmdline);
}

static void read_zero_page(u32 page)
{
	const struct e820_entry *map = (const void *)(page + ZERO_PAGE_E820_TABLE);
	u32 n = *(const u8 *)(page + ZERO_PAGE_E820_ENTRIES);

	for (u32 i = 0; i < n; i++)
		consider_range(map[i].addr, map[i].size, map[i].type);
	copy_cmdline(*(const u32 *)(page + ZERO_PAGE_CMDLINE));
}

void bootinfo_read(u32 protocol, u32 address)
{
	boot.protocol = protocol;
	if (protocol == BOOT_MULTIBOOT)
		read_multiboot((const void *)address);
	else if (protocol == BOOT_PVH)
		read_pvh((const void *)address);
	else
		read_zero_page(address);
}
