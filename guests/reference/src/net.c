/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Just enough network to be measured: one ARP announcement, then answers to
 * ARP, ICMP echo and one TCP port. Every answer is made from the frame it
 * answers alone and goes back to that frame's sender; nothing is remembered, so
 * a frame seen twice is answered twice alike.
 *
 * That works for TCP because our first sequence number is the complement of the
 * client's: a segment's sequence and acknowledgement numbers then add up to one
 * plus all bytes exchanged so far, which tells the first request from any later
 * segment. Checksums of incoming frames are not looked at.
 */
#include "virtio.h"

#define ETHERTYPE_IP 0x0800
#define ETHERTYPE_ARP 0x0806
#define ARP_REQUEST 1
#define ARP_REPLY 2
#define PROTOCOL_ICMP 1
#define PROTOCOL_TCP 6
#define ICMP_ECHO_REQUEST 8
#define IP_TTL 64
#define IP_FRAGMENT 0x3fff /* more fragments, or an offset */

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_PSH 0x08
#define TCP_ACK 0x10
#define TCP_WINDOW 1400 /* a request is one segment */

struct ethernet {
	u8 to[6], from[6];
	u16 type;
} __attribute__((packed));

struct arp {
	u16 hardware, protocol;
	u8 hardware_size, protocol_size;
	u16 operation;
	u8 sender_mac[6], sender_ip[4];
	u8 target_mac[6], target_ip[4];
} __attribute__((packed));

struct ip {
	u8 version_size, tos;
	u16 length, id, fragment;
	u8 ttl, protocol;
	u16 checksum;
	u8 from[4], to[4];
} __attribute__((packed));

struct icmp {
	u8 type, code;
	u16 checksum;
} __attribute__((packed));

struct tcp {
	u16 from, to;
	u32 seq, ack;
	u8 size, flags; /* size: header length in words, in the upper half */
	u16 window, checksum, urgent;
} __attribute__((packed));

static const char answer_plain[] = "ukprobe-reference\n";
static const char answer_http[] = "HTTP/1.0 200 OK\r\n"
				  "Content-Type: text/plain\r\n"
				  "Content-Length: 18\r\n"
				  "Connection: close\r\n"
				  "\r\n"
				  "ukprobe-reference\n";

u32 net_frames_out;

static u16 swap16(u16 v)
{
	return (u16)(v << 8 | v >> 8);
}

static u32 swap32(u32 v)
{
	__asm__("bswap %0" : "+r"(v));
	return v;
}

/* One's complement sum of 16-bit words in memory order (RFC 1071). */
static u32 sum(const void *data, u32 n, u32 start)
{
	const u16 *p = data;

	for (; n > 1; n -= 2)
		start += *p++;
	return n ? start + *(const u8 *)p : start;
}

static u16 fold(u32 s)
{
	s = (s & 0xffff) + (s >> 16);
	s = (s & 0xffff) + (s >> 16);
	return (u16)~s;
}

static void send(u32 length)
{
	virtio_transmit(length);
	net_frames_out++;
}

/* Begins a frame in the next transmit buffer. */
static struct ethernet *begin(const u8 *to, u16 type)
{
	struct ethernet *e = (struct ethernet *)virtio_transmit_buffer();

	copy(e->to, to, 6);
	copy(e->from, virtio_mac, 6);
	e->type = swap16(type);
	return e;
}

static void send_arp(u16 operation, const u8 *ethernet_to, const u8 *mac, const u8 *ip)
{
	struct ethernet *e = begin(ethernet_to, ETHERTYPE_ARP);
	struct arp *a = (struct arp *)(e + 1);

	a->hardware = swap16(1);
	a->protocol = swap16(ETHERTYPE_IP);
	a->hardware_size = 6;
	a->protocol_size = 4;
	a->operation = swap16(operation);
	copy(a->sender_mac, virtio_mac, 6);
	copy(a->sender_ip, opt.ip, 4);
	copy(a->target_mac, mac, 6);
	copy(a->target_ip, ip, 4);
	send(sizeof(*e) + sizeof(*a));
}

static void answer_arp(const struct arp *a, u32 n)
{
	if (n < sizeof(*a) || a->operation != swap16(ARP_REQUEST) ||
	    !equal(a->target_ip, opt.ip, 4))
		return;
	send_arp(ARP_REPLY, a->sender_mac, a->sender_mac, a->sender_ip);
}

/* Begins an IP packet that answers the packet `in` of the frame `e`. */
static struct ip *begin_answer(const struct ethernet *e, const struct ip *in, u32 payload)
{
	struct ip *out = (struct ip *)(begin(e->from, ETHERTYPE_IP) + 1);

	clear(out, sizeof(*out));
	out->version_size = 0x45;
	out->length = swap16(sizeof(*out) + payload);
	out->ttl = IP_TTL;
	out->protocol = in->protocol;
	copy(out->from, opt.ip, 4);
	copy(out->to, in->from, 4);
	out->checksum = fold(sum(out, sizeof(*out), 0));
	return out;
}

static void send_answer(u32 payload)
{
	send(sizeof(struct ethernet) + sizeof(struct ip) + payload);
}

static void answer_icmp(const struct ethernet *e, const struct ip *in, const struct icmp *request,
			u32 n)
{
	struct icmp *reply;

	if (n < 8 || request->type != ICMP_ECHO_REQUEST)
		return;
	reply = (struct icmp *)(begin_answer(e, in, n) + 1);
	copy(reply, request, n);
	reply->type = 0;
	reply->checksum = 0;
	reply->checksum = fold(sum(reply, n, 0));
	send_answer(n);
}

/* What a segment says, in host byte order. */
struct segment {
	u32 seq, ack, flags;
	const char *data;
	u32 size;
};

static void send_tcp(const struct ethernet *e, const struct ip *in, const struct tcp *request,
		     const struct segment *s)
{
	u32 n = sizeof(struct tcp) + s->size;
	struct ip *out = begin_answer(e, in, n);
	struct tcp *t = (struct tcp *)(out + 1);

	t->from = request->to;
	t->to = request->from;
	t->seq = swap32(s->seq);
	t->ack = swap32(s->ack);
	t->size = sizeof(*t) / 4 << 4;
	t->flags = s->flags;
	t->window = swap16(TCP_WINDOW);
	t->checksum = t->urgent = 0;
	copy(t + 1, s->data, s->size);
	/* the pseudo header: both addresses, protocol, length (RFC 793) */
	t->checksum = fold(sum(t, n, sum(out->from, 8, swap16(PROTOCOL_TCP) + swap16(n))));
	send_answer(n);
}

static void refuse(const struct segment *got, struct segment *s)
{
	s->flags = TCP_RST;
	if (got->flags & TCP_ACK)
		return;
	s->flags |= TCP_ACK;
	s->seq = 0;
}

static void choose_body(const struct segment *got, struct segment *s)
{
	int http = got->size >= 4 && equal(got->data, "GET ", 4);

	s->data = http ? answer_http : answer_plain;
	s->size = (http ? sizeof(answer_http) : sizeof(answer_plain)) - 1;
	s->flags |= TCP_PSH | TCP_FIN;
}

/* Decides on the answer; returns 0 if there is none to give. */
static int tcp_answer(const struct segment *got, int our_port, struct segment *s)
{
	int first = got->seq + got->ack == 1;

	s->seq = got->ack;
	s->ack = got->seq + got->size + !!(got->flags & TCP_SYN) + !!(got->flags & TCP_FIN);
	s->flags = TCP_ACK;
	s->data = 0;
	s->size = 0;
	if (got->flags & TCP_RST)
		return 0;
	if (!our_port) {
		refuse(got, s);
		return 1;
	}
	if (got->flags & TCP_SYN) {
		s->seq = ~got->seq;
		s->flags |= TCP_SYN;
		return !(got->flags & TCP_ACK);
	}
	if (got->size && first)
		choose_body(got, s);
	else if ((got->flags & TCP_FIN) && first)
		s->flags |= TCP_FIN;
	return got->size || (got->flags & TCP_FIN);
}

static void answer_tcp(const struct ethernet *e, const struct ip *in, const struct tcp *t, u32 n)
{
	u32 header = (t->size >> 4) * 4;
	struct segment got, s;

	if (n < sizeof(*t) || header < sizeof(*t) || header > n)
		return;
	got.seq = swap32(t->seq);
	got.ack = swap32(t->ack);
	got.flags = t->flags;
	got.data = (const char *)t + header;
	got.size = n - header;
	if (tcp_answer(&got, t->to == swap16(opt.port), &s))
		send_tcp(e, in, t, &s);
}

static void answer_ip(const struct ethernet *e, const struct ip *in, u32 n)
{
	u32 header, total;

	if (n < sizeof(*in))
		return;
	header = (in->version_size & 0xf) * 4;
	total = swap16(in->length);
	if (in->version_size >> 4 != 4 || header < sizeof(*in) || total < header || total > n)
		return;
	if ((swap16(in->fragment) & IP_FRAGMENT) || !equal(in->to, opt.ip, 4))
		return;
	if (in->protocol == PROTOCOL_ICMP)
		answer_icmp(e, in, (const void *)((const u8 *)in + header), total - header);
	else if (in->protocol == PROTOCOL_TCP)
		answer_tcp(e, in, (const void *)((const u8 *)in + header), total - header);
}

static void answer(const u8 *frame, u32 n)
{
	const struct ethernet *e = (const void *)frame;

	if (n < sizeof(*e) || n > FRAME_MAX)
		return;
	if (e->type == swap16(ETHERTYPE_ARP))
		answer_arp((const void *)(e + 1), n - sizeof(*e));
	else if (e->type == swap16(ETHERTYPE_IP))
		answer_ip(e, (const void *)(e + 1), n - sizeof(*e));
}

void net_init(void)
{
	virtio_init();
}

/* RFC 5227: a request for our own address. */
void net_announce(void)
{
	static const u8 broadcast[6] = { 255, 255, 255, 255, 255, 255 }, nobody[6];

	send_arp(ARP_REQUEST, broadcast, nobody, opt.ip);
}

void net_hold(void)
{
	u8 *frame;
	u32 n;

	for (;;) {
		while ((frame = virtio_receive(&n))) {
			answer(frame, n);
			virtio_release();
		}
		virtio_sleep();
	}
}
