/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio over PCI, the modern interface only (QEMU's transitional default has
 * it). Bus 0, function 0; addresses as the firmware left them, which must be
 * below 4 GiB.
 */
#include "virtio.h"

#define PCI_ADDRESS 0xcf8
#define PCI_DATA 0xcfc
#define PCI_ENABLE 0x80000000u
#define PCI_SLOTS 32

#define PCI_ID 0x00
#define PCI_COMMAND 0x04
#define PCI_BAR0 0x10
#define PCI_CAPABILITIES 0x34
#define PCI_INTERRUPT 0x3c
#define PCI_COMMAND_MEMORY_MASTER 0x6
#define PCI_BAR_64BIT 0x4
#define PCI_CAP_VENDOR 0x09

#define ID_NET_TRANSITIONAL 0x10001af4u
#define ID_NET_MODERN 0x10411af4u

#define CAP_COMMON 1 /* [4.1.4] */
#define CAP_NOTIFY 2
#define CAP_ISR 3
#define CAP_DEVICE 4
#define CAP_KINDS 5

#define COMMON_FEATURES_SELECT 0x00 /* [4.1.4.3] */
#define COMMON_FEATURES 0x04
#define COMMON_ACCEPT_SELECT 0x08
#define COMMON_ACCEPT 0x0c
#define COMMON_STATUS 0x14
#define COMMON_QUEUE_SELECT 0x16
#define COMMON_QUEUE_SIZE 0x18
#define COMMON_QUEUE_ENABLE 0x1c
#define COMMON_QUEUE_NOTIFY 0x1e
#define COMMON_QUEUE_DESC 0x20
#define COMMON_QUEUE_DRIVER 0x28
#define COMMON_QUEUE_DEVICE 0x30

static u32 region[CAP_KINDS]; /* address of each structure */
static u32 notify_multiplier;
static u32 notify_address[2];

static u32 config_read(u32 slot, u32 offset)
{
	outl(PCI_ADDRESS, PCI_ENABLE | slot << 11 | (offset & ~3u));
	return inl(PCI_DATA);
}

static void config_write(u32 slot, u32 offset, u32 value)
{
	outl(PCI_ADDRESS, PCI_ENABLE | slot << 11 | offset);
	outl(PCI_DATA, value);
}

static void set_status(u32 status)
{
	write_u8(region[CAP_COMMON] + COMMON_STATUS, status);
}

static u32 status(void)
{
	return read_u8(region[CAP_COMMON] + COMMON_STATUS);
}

static u32 features(u32 select)
{
	write_u32(region[CAP_COMMON] + COMMON_FEATURES_SELECT, select);
	return read_u32(region[CAP_COMMON] + COMMON_FEATURES);
}

static void accept(u32 select, u32 features)
{
	write_u32(region[CAP_COMMON] + COMMON_ACCEPT_SELECT, select);
	write_u32(region[CAP_COMMON] + COMMON_ACCEPT, features);
}

static void write_address(u32 reg, void *p)
{
	write_u32(region[CAP_COMMON] + reg, (u32)p);
	write_u32(region[CAP_COMMON] + reg + 4, 0);
}

static void queue(u32 index, struct virtq *q)
{
	u32 common = region[CAP_COMMON];

	write_u16(common + COMMON_QUEUE_SELECT, index);
	write_u16(common + COMMON_QUEUE_SIZE, QUEUE_SIZE);
	write_address(COMMON_QUEUE_DESC, q->desc);
	write_address(COMMON_QUEUE_DRIVER, &q->avail);
	write_address(COMMON_QUEUE_DEVICE, &q->used);
	notify_address[index] = region[CAP_NOTIFY] +
				read_u16(common + COMMON_QUEUE_NOTIFY) * notify_multiplier;
	write_u16(common + COMMON_QUEUE_ENABLE, 1);
}

static void notify(u32 index)
{
	write_u16(notify_address[index], index);
}

static void acknowledge(void)
{
	read_u8(region[CAP_ISR]);
}

static void mac(u8 *to)
{
	for (u32 i = 0; i < 6; i++)
		to[i] = read_u8(region[CAP_DEVICE] + i);
}

static struct transport transport = {
	.level = 1,
	.set_status = set_status,
	.status = status,
	.features = features,
	.accept = accept,
	.queue = queue,
	.notify = notify,
	.acknowledge = acknowledge,
	.mac = mac,
};

static u32 bar_address(u32 slot, u32 bar)
{
	u32 low = config_read(slot, PCI_BAR0 + 4 * bar);

	if ((low & PCI_BAR_64BIT) && config_read(slot, PCI_BAR0 + 4 * bar + 4))
		fail("the network device lies above 4 GiB: give the VM less memory", "");
	return low & ~0xfu;
}

/* Reads the vendor capabilities [4.1.4] into region[]. */
static void read_capabilities(u32 slot)
{
	u32 cap = config_read(slot, PCI_CAPABILITIES) & 0xff;
	u32 head, kind;

	for (; cap; cap = head >> 8 & 0xff) {
		head = config_read(slot, cap);
		kind = head >> 24;
		if ((head & 0xff) != PCI_CAP_VENDOR || kind >= CAP_KINDS || region[kind])
			continue;
		region[kind] = bar_address(slot, config_read(slot, cap + 4) & 0xff) +
			       config_read(slot, cap + 8);
		if (kind == CAP_NOTIFY)
			notify_multiplier = config_read(slot, cap + 16);
	}
	if (!region[CAP_COMMON])
		fail("the PCI network device has no virtio 1.0 interface", "");
}

const struct transport *virtio_pci_find(void)
{
	u32 slot, id;

	for (slot = 0; slot < PCI_SLOTS; slot++) {
		id = config_read(slot, PCI_ID);
		if (id == ID_NET_TRANSITIONAL || id == ID_NET_MODERN)
			break;
	}
	if (slot == PCI_SLOTS)
		return 0;
	read_capabilities(slot);
	config_write(slot, PCI_COMMAND, config_read(slot, PCI_COMMAND) | PCI_COMMAND_MEMORY_MASTER);
	transport.irq = config_read(slot, PCI_INTERRUPT) & 0xff;
	return &transport;
}
