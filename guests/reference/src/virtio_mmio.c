/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio over MMIO, versions 1 (legacy) and 2. Devices are those announced on
 * the command line; without any, the slots of QEMU's microvm are looked at.
 */
#include "virtio.h"

#define MMIO_MAGIC 0x000 /* [4.2.2], legacy registers [4.2.4] */
#define MMIO_VERSION 0x004
#define MMIO_DEVICE_ID 0x008
#define MMIO_FEATURES 0x010
#define MMIO_FEATURES_SELECT 0x014
#define MMIO_ACCEPT 0x020
#define MMIO_ACCEPT_SELECT 0x024
#define MMIO_LEGACY_PAGE_SIZE 0x028
#define MMIO_QUEUE_SELECT 0x030
#define MMIO_QUEUE_SIZE 0x038
#define MMIO_LEGACY_QUEUE_ALIGN 0x03c
#define MMIO_LEGACY_QUEUE_PAGE 0x040
#define MMIO_QUEUE_READY 0x044
#define MMIO_NOTIFY 0x050
#define MMIO_INTERRUPT_STATUS 0x060
#define MMIO_INTERRUPT_ACK 0x064
#define MMIO_STATUS 0x070
#define MMIO_QUEUE_DESC 0x080
#define MMIO_QUEUE_DRIVER 0x090
#define MMIO_QUEUE_DEVICE 0x0a0
#define MMIO_CONFIG 0x100

#define MAGIC_VIRT 0x74726976u
#define DEVICE_NET 1

/* QEMU, include/hw/i386/microvm.h */
#define MICROVM_BASE 0xfeb00000u
#define MICROVM_SLOT 0x200u
#define MICROVM_SLOTS 24 /* with a second I/O APIC, else 8 */
#define MICROVM_SLOTS_SINGLE 8
#define MICROVM_IRQ_SINGLE 5
#define MICROVM_IRQ_SECOND 24

static u32 base;

static void set_status(u32 status)
{
	write_u32(base + MMIO_STATUS, status);
}

static u32 status(void)
{
	return read_u32(base + MMIO_STATUS);
}

static u32 features(u32 select)
{
	write_u32(base + MMIO_FEATURES_SELECT, select);
	return read_u32(base + MMIO_FEATURES);
}

static void accept(u32 select, u32 features)
{
	write_u32(base + MMIO_ACCEPT_SELECT, select);
	write_u32(base + MMIO_ACCEPT, features);
}

static void write_address(u32 reg, void *p)
{
	write_u32(base + reg, (u32)p);
	write_u32(base + reg + 4, 0);
}

static void queue(u32 index, struct virtq *q)
{
	write_u32(base + MMIO_QUEUE_SELECT, index);
	write_u32(base + MMIO_QUEUE_SIZE, QUEUE_SIZE);
	write_address(MMIO_QUEUE_DESC, q->desc);
	write_address(MMIO_QUEUE_DRIVER, &q->avail);
	write_address(MMIO_QUEUE_DEVICE, &q->used);
	write_u32(base + MMIO_QUEUE_READY, 1);
}

static void legacy_queue(u32 index, struct virtq *q)
{
	write_u32(base + MMIO_LEGACY_PAGE_SIZE, PAGE);
	write_u32(base + MMIO_QUEUE_SELECT, index);
	write_u32(base + MMIO_QUEUE_SIZE, QUEUE_SIZE);
	write_u32(base + MMIO_LEGACY_QUEUE_ALIGN, PAGE);
	write_u32(base + MMIO_LEGACY_QUEUE_PAGE, (u32)q / PAGE);
}

static void notify(u32 index)
{
	write_u32(base + MMIO_NOTIFY, index);
}

static void acknowledge(void)
{
	write_u32(base + MMIO_INTERRUPT_ACK, read_u32(base + MMIO_INTERRUPT_STATUS));
}

static void mac(u8 *to)
{
	for (u32 i = 0; i < 6; i++)
		to[i] = read_u8(base + MMIO_CONFIG + i);
}

static struct transport transport = {
	.set_status = set_status,
	.status = status,
	.features = features,
	.accept = accept,
	.queue = queue,
	.notify = notify,
	.acknowledge = acknowledge,
	.mac = mac,
};

static int is_net(u32 address)
{
	return read_u32(address + MMIO_MAGIC) == MAGIC_VIRT &&
	       read_u32(address + MMIO_DEVICE_ID) == DEVICE_NET;
}

static int find_announced(void)
{
	for (u32 i = 0; i < opt.mmio_count; i++)
		if (is_net(opt.mmio[i].base)) {
			base = opt.mmio[i].base;
			transport.irq = opt.mmio[i].irq;
			return 1;
		}
	return 0;
}

/* QEMU gives out slots from the top, so the first hit is usually the last slot. */
static int find_microvm(void)
{
	u32 slots = MICROVM_SLOTS, first_irq = MICROVM_IRQ_SECOND;

	if (read_u32(MICROVM_BASE) != MAGIC_VIRT)
		return 0;
	if (read_u32(MICROVM_BASE + MICROVM_SLOT * (MICROVM_SLOTS - 1)) != MAGIC_VIRT) {
		slots = MICROVM_SLOTS_SINGLE;
		first_irq = MICROVM_IRQ_SINGLE;
	}
	for (u32 i = slots; i-- > 0;)
		if (is_net(MICROVM_BASE + MICROVM_SLOT * i)) {
			base = MICROVM_BASE + MICROVM_SLOT * i;
			transport.irq = first_irq + i;
			return 1;
		}
	return 0;
}

const struct transport *virtio_mmio_find(void)
{
	if (!(opt.mmio_count ? find_announced() : find_microvm()))
		return 0;
	if (read_u32(base + MMIO_VERSION) == 1) {
		transport.legacy = 1;
		transport.queue = legacy_queue;
	}
	return &transport;
}
