/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What a frame says, for the programs on network devices: ARP, and of IPv4 and
 * IPv6 (without extension headers) TCP, UDP and ICMP. Copied out, because the
 * frame may not be linear. A frame is taken only if it is as long as it claims.
 */
#ifndef UKPROBE_PACKET_H
#define UKPROBE_PACKET_H

#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#define ETH_P_IP 0x0800
#define ETH_P_ARP 0x0806
#define ETH_P_8021Q 0x8100
#define ETH_P_8021AD 0x88a8
#define ETH_P_IPV6 0x86dd
#define ETH_LEN 14

#define IPPROTO_ICMP 1
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define IPPROTO_ICMPV6 58

#define ICMPV6_SOLICITATION 135
#define ICMPV6_ADVERTISEMENT 136

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

struct eth {
	u16 dst[3], src[3];
	u16 type;
};

struct ip4 {
	u8 version_ihl, tos;
	u16 total, id, frag;
	u8 ttl, protocol;
	u16 check;
	u32 src, dst;
};

struct ip6 {
	u8 version, class, label[2];
	u16 payload;
	u8 next, hops;
	u32 src[4], dst[4];
};

/* Ethernet and IPv4. */
struct arp {
	u16 hardware, protocol;
	u8 hlen, plen;
	u16 op;
	u8 sender_mac[6];
	u32 sender;
	u8 target_mac[6];
	u32 target;
} __attribute__((packed));

struct tcp {
	u16 src, dst;
	u32 seq, ack;
	u8 offset, flags;
	u16 window, check, urgent;
};

/* Of DNS over UDP the first four bytes too. */
struct udp {
	u16 src, dst, length, check;
	u16 dns_id;
	u8 dns_flags, dns_code;
};

struct icmp {
	u8 type, code;
	u16 check, id, seq;
};

struct neighbour {
	u8 type, code;
	u16 check;
	u32 flags;
	u32 target[4];
};

/* What the rest of struct packet is about. */
enum packet_what {
	PACKET_OTHER, /* nothing that is looked for */
	PACKET_TCP,
	PACKET_UDP,
	PACKET_ICMP,
	PACKET_ICMPV6,
	PACKET_ARP,
	/* Not looked into. */
	PACKET_MALFORMED,
	PACKET_FRAGMENT,
	PACKET_EXTENSION,
	PACKET_VLAN,
};

struct packet {
	u32 src[4], dst[4]; /* an IPv4 address stands in [0] */
	u32 l4; /* where the header behind IP begins */
	u32 length; /* of that header and what follows */
	u32 payload; /* TCP: bytes of data */
	u16 src_mac[3], dst_mac[3];
	u8 family; /* 4 or 6 */
	u8 group; /* sent to a group of stations */
	union {
		struct tcp tcp;
		struct udp udp;
		struct icmp icmp;
		struct neighbour neighbour;
		struct arp arp;
	};
};

static __always_inline u32 packet_l4(struct __sk_buff *skb, struct packet *p, u8 protocol)
{
	u32 header;

	switch (protocol) {
	case IPPROTO_TCP:
		if (p->length < sizeof(p->tcp) ||
		    bpf_skb_load_bytes(skb, p->l4, &p->tcp, sizeof(p->tcp)))
			return PACKET_MALFORMED;
		header = (p->tcp.offset >> 4) * 4;
		if (header < sizeof(p->tcp) || header > p->length)
			return PACKET_MALFORMED;
		p->payload = p->length - header;
		return PACKET_TCP;
	case IPPROTO_UDP:
		if (p->length < sizeof(p->udp)) /* a short datagram is no DNS */
			return p->length < 8 ? PACKET_MALFORMED : PACKET_OTHER;
		if (bpf_skb_load_bytes(skb, p->l4, &p->udp, sizeof(p->udp)))
			return PACKET_MALFORMED;
		return PACKET_UDP;
	case IPPROTO_ICMP:
		if (p->family != 4)
			return PACKET_OTHER;
		if (p->length < sizeof(p->icmp) ||
		    bpf_skb_load_bytes(skb, p->l4, &p->icmp, sizeof(p->icmp)))
			return PACKET_MALFORMED;
		return PACKET_ICMP;
	case IPPROTO_ICMPV6:
		if (p->family != 6)
			return PACKET_OTHER;
		if (p->length < sizeof(p->icmp) ||
		    bpf_skb_load_bytes(skb, p->l4, &p->icmp, sizeof(p->icmp)))
			return PACKET_MALFORMED;
		if (p->icmp.type != ICMPV6_SOLICITATION && p->icmp.type != ICMPV6_ADVERTISEMENT)
			return PACKET_ICMPV6;
		if (p->length < sizeof(p->neighbour) ||
		    bpf_skb_load_bytes(skb, p->l4, &p->neighbour, sizeof(p->neighbour)))
			return PACKET_MALFORMED;
		return PACKET_ICMPV6;
	}
	return PACKET_OTHER;
}

static __always_inline u32 packet_ip4(struct __sk_buff *skb, struct packet *p, struct ip4 *ip)
{
	u32 header = (ip->version_ihl & 0xf) * 4;
	u32 frame = skb->len - ETH_LEN;
	u32 total = bpf_ntohs(ip->total);

	if (!total) /* left to the hardware, with large segments */
		total = frame;
	if (ip->version_ihl >> 4 != 4 || header < sizeof(*ip) || total < header || total > frame)
		return PACKET_MALFORMED;
	if (bpf_ntohs(ip->frag) & 0x1fff) /* it has no header of the protocol's */
		return PACKET_FRAGMENT;
	p->family = 4;
	p->src[0] = ip->src;
	p->dst[0] = ip->dst;
	p->l4 = ETH_LEN + header;
	p->length = total - header;
	return packet_l4(skb, p, ip->protocol);
}

static __always_inline u32 packet_ip6(struct __sk_buff *skb, struct packet *p)
{
	struct ip6 ip;
	u32 frame, length;

	if (bpf_skb_load_bytes(skb, ETH_LEN, &ip, sizeof(ip)) || ip.version >> 4 != 6)
		return PACKET_MALFORMED;
	frame = skb->len - ETH_LEN - sizeof(ip);
	length = bpf_ntohs(ip.payload);
	if (!length) /* a jumbogram, or left to the hardware */
		length = frame;
	if (length > frame)
		return PACKET_MALFORMED;
	switch (ip.next) {
	case 0:
	case 43:
	case 44:
	case 51:
	case 60:
	case 135:
	case 139:
	case 140:
		return PACKET_EXTENSION; /* IANA: IPv6 extension header types, ESP left out */
	}
	p->family = 6;
	__builtin_memcpy(p->src, ip.src, sizeof(p->src));
	__builtin_memcpy(p->dst, ip.dst, sizeof(p->dst));
	p->l4 = ETH_LEN + sizeof(ip);
	p->length = length;
	return packet_l4(skb, p, ip.next);
}

static __always_inline u32 packet_arp(struct __sk_buff *skb, struct packet *p)
{
	struct arp *a = &p->arp;

	if (bpf_skb_load_bytes(skb, ETH_LEN, a, sizeof(*a)))
		return PACKET_MALFORMED;
	if (a->hardware != bpf_htons(1) || a->protocol != bpf_htons(ETH_P_IP) || a->hlen != 6 ||
	    a->plen != 4)
		return PACKET_OTHER;
	p->family = 4;
	p->src[0] = a->sender;
	p->dst[0] = a->target;
	return PACKET_ARP;
}

/* packet_parse fills p, which the caller has cleared. */
static __always_inline u32 packet_parse(struct __sk_buff *skb, struct packet *p)
{
	struct {
		u16 align;
		struct eth eth;
		struct ip4 ip;
	} head;
	const u32 shortest = sizeof(head.eth) + sizeof(head.ip); /* of what is looked for */

	if (skb->vlan_present)
		return PACKET_VLAN;
	if (bpf_skb_load_bytes(skb, 0, &head.eth, shortest))
		return PACKET_MALFORMED;
	__builtin_memcpy(p->src_mac, head.eth.src, sizeof(p->src_mac));
	__builtin_memcpy(p->dst_mac, head.eth.dst, sizeof(p->dst_mac));
	p->group = head.eth.dst[0] & 1; /* the first byte, on a little-endian machine */
	switch (bpf_ntohs(head.eth.type)) {
	case ETH_P_IP:
		return packet_ip4(skb, p, &head.ip);
	case ETH_P_IPV6:
		return packet_ip6(skb, p);
	case ETH_P_ARP:
		return packet_arp(skb, p);
	case ETH_P_8021Q:
	case ETH_P_8021AD:
		return PACKET_VLAN;
	}
	return PACKET_OTHER;
}

#endif
