/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio-net driver with two rings of 16 buffers and no offloads. Interrupts
 * only end a sleep; frames are always found by looking at the rings.
 */
#include "virtio.h"

#define BUFFER_SIZE 1536
/*
 * Firecracker from 1.10 on takes a frame from the tap only while the buffers
 * offered have room for 65562 bytes, whatever was negotiated: half of these do.
 */
#define RX_BUFFER_SIZE 8192
#define HEADER_MODERN 12 /* [5.1.6] */
#define HEADER_LEGACY 10

u8 virtio_mac[6];

static const struct transport *dev;
static struct virtq rx, tx;
static u8 rx_buffers[QUEUE_SIZE][RX_BUFFER_SIZE], tx_buffers[QUEUE_SIZE][BUFFER_SIZE];
static u16 rx_seen; /* used ring entries handled so far */
static u32 header_size;

static void set_features(void)
{
	u32 version_1 = dev->legacy ? 0 : VIRTIO_F_VERSION_1_HIGH;

	if (!(dev->features(0) & VIRTIO_NET_F_MAC))
		fail("the network device has no address of its own", "");
	dev->accept(0, VIRTIO_NET_F_MAC);
	if (dev->legacy)
		return;
	dev->accept(1, version_1);
	dev->set_status(VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER |
			VIRTIO_STATUS_FEATURES_OK);
	if (!(dev->status() & VIRTIO_STATUS_FEATURES_OK))
		fail("the network device refuses virtio 1.0", "");
}

static void fill_rings(void)
{
	for (u32 i = 0; i < QUEUE_SIZE; i++) {
		rx.desc[i].addr = (u32)rx_buffers[i];
		rx.desc[i].len = RX_BUFFER_SIZE;
		rx.desc[i].flags = VIRTQ_DESC_WRITE;
		rx.avail.ring[i] = i;
		tx.desc[i].addr = (u32)tx_buffers[i];
		tx.avail.ring[i] = i;
	}
	rx.avail.idx = QUEUE_SIZE;
	tx.avail.flags = VIRTQ_AVAIL_NO_INTERRUPT;
}

void virtio_init(void)
{
	u32 status = VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER;

	if (!(dev = virtio_mmio_find()) && !(dev = virtio_pci_find()))
		fail("no virtio network device: give the VM one or leave out ip=", "");
	header_size = dev->legacy ? HEADER_LEGACY : HEADER_MODERN;
	dev->set_status(0);
	dev->set_status(VIRTIO_STATUS_ACKNOWLEDGE); /* step by step: Firecracker insists */
	dev->set_status(status);
	set_features();
	fill_rings();
	dev->queue(QUEUE_RX, &rx);
	dev->queue(QUEUE_TX, &tx);
	dev->mac(virtio_mac);
	irq_route(dev->irq, dev->level);
	if (!dev->legacy)
		status |= VIRTIO_STATUS_FEATURES_OK;
	dev->set_status(status | VIRTIO_STATUS_DRIVER_OK);
	dev->notify(QUEUE_RX);
}

u8 *virtio_receive(u32 *length)
{
	u32 slot = rx_seen % QUEUE_SIZE;

	barrier();
	if (rx_seen == *(volatile u16 *)&rx.used.idx)
		return 0;
	*length = rx.used.ring[slot].len - header_size;
	return rx_buffers[rx.used.ring[slot].id] + header_size;
}

void virtio_release(void)
{
	rx.avail.ring[rx.avail.idx % QUEUE_SIZE] = rx.used.ring[rx_seen % QUEUE_SIZE].id;
	rx_seen++;
	barrier();
	rx.avail.idx++;
	dev->notify(QUEUE_RX);
}

/* Buffer i always sits in slot i: free once the device is at most 15 behind. */
u8 *virtio_transmit_buffer(void)
{
	while ((u16)(tx.avail.idx - *(volatile u16 *)&tx.used.idx) == QUEUE_SIZE)
		pause();
	return tx_buffers[tx.avail.idx % QUEUE_SIZE] + header_size;
}

void virtio_transmit(u32 length)
{
	tx.desc[tx.avail.idx % QUEUE_SIZE].len = header_size + length;
	barrier();
	tx.avail.idx++;
	barrier();
	dev->notify(QUEUE_TX);
}

/*
 * Interrupts are off since before the caller found the ring empty, so one that
 * came in between is pending and ends the HLT at once.
 */
void virtio_sleep(void)
{
	wait_interrupt();
	dev->acknowledge();
	irq_eoi();
}
