/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtio-net device as net.c sees it (frames), and the transport underneath
 * (PCI or MMIO) as virtio.c sees it. Numbers are those of the OASIS virtio
 * specification 1.1 (section in brackets).
 */
#ifndef VIRTIO_H
#define VIRTIO_H

#include "reference.h"

#define VIRTIO_STATUS_ACKNOWLEDGE 1 /* [2.1] */
#define VIRTIO_STATUS_DRIVER 2
#define VIRTIO_STATUS_DRIVER_OK 4
#define VIRTIO_STATUS_FEATURES_OK 8

#define VIRTIO_NET_F_MAC (1u << 5) /* [5.1.3] */
#define VIRTIO_F_VERSION_1_HIGH (1u << 0) /* bit 32 [6] */

#define QUEUE_RX 0 /* [5.1.2] */
#define QUEUE_TX 1
#define QUEUE_SIZE 16

struct virtq_desc { /* [2.6.5] */
	u64 addr;
	u32 len;
	u16 flags;
	u16 next;
};
#define VIRTQ_DESC_WRITE 2

struct virtq_avail { /* [2.6.6] */
	u16 flags;
	u16 idx;
	u16 ring[QUEUE_SIZE];
};
#define VIRTQ_AVAIL_NO_INTERRUPT 1

struct virtq_used { /* [2.6.8] */
	u16 flags;
	u16 idx;
	struct {
		u32 id, len;
	} ring[QUEUE_SIZE];
};

/* The legacy interface wants all three in this order, the used ring on a page. */
struct virtq {
	struct virtq_desc desc[QUEUE_SIZE];
	struct virtq_avail avail;
	u8 pad[PAGE - sizeof(struct virtq_desc) * QUEUE_SIZE - sizeof(struct virtq_avail)];
	struct virtq_used used;
} __attribute__((aligned(4096)));

struct transport {
	u32 legacy; /* no VERSION_1, a frame header without num_buffers */
	u32 irq; /* line of the I/O APIC */
	u32 level;
	void (*set_status)(u32 status);
	u32 (*status)(void);
	u32 (*features)(u32 select);
	void (*accept)(u32 select, u32 features);
	void (*queue)(u32 index, struct virtq *q);
	void (*notify)(u32 index);
	void (*acknowledge)(void); /* lowers the interrupt line */
	void (*mac)(u8 *mac);
};

/* Return a transport with a network device behind it, or 0. */
const struct transport *virtio_mmio_find(void);
const struct transport *virtio_pci_find(void);

/* virtio.c */
#define FRAME_MAX 1514
extern u8 virtio_mac[6];
void virtio_init(void);
u8 *virtio_receive(u32 *length); /* the oldest frame, or 0 */
void virtio_release(void); /* gives that frame's buffer back */
u8 *virtio_transmit_buffer(void);
void virtio_transmit(u32 length);
void virtio_sleep(void); /* until the device interrupts */

#endif
