/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Requests on a guest's network device and how long their answers took.
 * docs/network.md says what each latency means. Mirrored by probe/flows.go.
 *
 * Each guest has a table of its own, which user space makes with its watch and
 * takes away with it: a guest that floods fills that one, and no count of
 * entries has to be kept in step with them.
 */
#ifndef UKPROBE_FLOW_H
#define UKPROBE_FLOW_H

#include "maps.h"
#include "packet.h"

/*
 * Open requests and TCP connections of one guest at one time: a load generator's
 * thousand connections and as many again. 128 bytes each, so 256 KiB per guest.
 */
#define FLOWS_PER_GUEST 2048

/* What is asked. A TCP connection is one entry, under FLOW_TCP_CONNECT. */
enum flow_kind {
	FLOW_TCP_CONNECT, /* SYN to SYN-ACK */
	FLOW_TCP_FIRST, /* a connection's first request byte to first answer byte */
	FLOW_TCP_NEXT, /* the same of its later exchanges */
	FLOW_ARP,
	FLOW_ICMP_ECHO,
	FLOW_ICMPV6_ECHO,
	FLOW_NDP, /* neighbour solicitation to advertisement */
	FLOW_DNS, /* UDP, port 53 */
	FLOW_KINDS,
};

/* Who answers. */
enum flow_side {
	FLOW_BY_GUEST, /* the request came in */
	FLOW_BY_OUTSIDE, /* the guest asked */
	FLOW_SIDES,
};

/* A histogram's row of a slot: kind * FLOW_SIDES + side. */
#define FLOW_ROWS (FLOW_KINDS * FLOW_SIDES)

/* Frames that were not looked into, though they may have held a request. */
enum flow_unparsed {
	UNPARSED_MALFORMED, /* shorter than its headers say, or headers that cannot be */
	UNPARSED_FRAGMENT, /* not the first fragment of an IPv4 packet */
	UNPARSED_EXTENSION, /* IPv6 with extension headers */
	UNPARSED_VLAN,
	UNPARSED_REASONS,
};

enum flow_state {
	FLOW_ASKED, /* anything but TCP */
	FLOW_CONNECTING, /* SYN seen */
	FLOW_OPEN, /* SYN-ACK seen */
	FLOW_CLOSING, /* the answering side has ended, a request is open */
};

/*
 * The whole address, so that two flows never share an entry. Of TCP the guest's
 * end is a and side is 0, so that both directions find it; of the rest a asks b.
 */
struct flow_key {
	u32 a[4], b[4]; /* an IPv4 address stands in [0] */
	u16 port_a; /* echo: the identifier */
	u16 port_b; /* echo: the sequence number; DNS: the query's id */
	u8 kind;
	u8 side;
	u8 family; /* 4 or 6 */
	u8 pad;
};

struct flow {
	u64 ns; /* when the open request began; 0: none is open */
	u64 seen_ns; /* of its last frame */
	/* TCP sequence numbers. */
	u32 isn; /* of the asking side */
	u32 asked_seq; /* first byte of the open request */
	u32 asker_next; /* behind the last byte that was seen of each side */
	u32 answerer_next;
	u8 state;
	u8 side;
	u8 answered; /* a request of this connection has been */
	u8 group; /* sent to a group of stations; of TCP: the SYN carried data */
	u32 pad;
};

struct flow_counts {
	u64 lost; /* requests for which the table had no room */
	u64 untracked; /* TCP segments with data of connections that are not in it */
	u64 unparsed[UNPARSED_REASONS];
	u64 answered[FLOW_ROWS]; /* as many as the histogram of that row has */
	u64 unanswered[FLOW_ROWS]; /* the connection ended first; user space adds the stale */
	u64 repeated[FLOW_ROWS]; /* sent again before it was answered; SYN: or after */
	u64 refused[FLOW_ROWS]; /* RST for a SYN */
};

/*
 * What the guest has said of itself: a bridge floods frames for its neighbours
 * to it as well.
 */
struct flow_guest {
	u16 mac[3]; /* source of its frames */
	u16 macs; /* 0, 1, or 2 for more than one */
	u32 ip4; /* last named as its own by ARP */
	u32 ip6[4]; /* or by neighbour discovery */
};

struct flow_table {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FLOWS_PER_GUEST);
	/* Sizes: clang 14 leaves the types of an inner map out of the BTF. */
	__uint(key_size, sizeof(struct flow_key));
	__uint(value_size, sizeof(struct flow));
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, MAX_SLOTS);
	__type(key, u32);
	__array(values, struct flow_table);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_SLOTS);
	__type(key, u32);
	__type(value, struct flow_guest);
} flow_guests SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MAX_SLOTS);
	__type(key, u32);
	__type(value, struct flow_counts);
} flow_count SEC(".maps");

/* Request to answer, by slot and row. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MAX_SLOTS *FLOW_ROWS);
	__type(key, u32);
	__type(value, struct hist);
} net_hist SEC(".maps");

#define DNS_PORT bpf_htons(53)
#define DNS_ANSWER 0x80 /* the bit QR */
#define ARP_REQUEST bpf_htons(1)
#define ARP_REPLY bpf_htons(2)
#define ICMP_ECHO_REQUEST 8
#define ICMP_ECHO_REPLY 0
#define ICMPV6_ECHO_REQUEST 128
#define ICMPV6_ECHO_REPLY 129
#define FLOW_EEXIST (-17)

/* What is at hand while one frame is looked at. */
struct flow_frame {
	void *table;
	struct flow_counts *counts;
	u64 now;
	u32 slot;
	u32 side; /* who would answer, if it asks */
	bool foreign; /* it came in for another station */
};

/* flow_add counts in one of the tables by row. */
static __always_inline void flow_add(u64 *by_row, u32 kind, u32 side)
{
	u32 row = kind * FLOW_SIDES + side;

	asm volatile("" : "+r"(row)); /* keep the check */
	if (row < FLOW_ROWS)
		by_row[row]++;
}

/* A function of its own: inlined five times it would be most of the program. */
static __attribute__((noinline)) void flow_observe(struct flow_frame *f, u32 kind, u32 side,
						   u64 since)
{
	u32 row = f->slot * FLOW_ROWS + kind * FLOW_SIDES + side;
	struct hist *h = bpf_map_lookup_elem(&net_hist, &row);

	if (!h)
		return;
	hist_observe(h, f->now > since ? f->now - since : 0);
	flow_add(f->counts->answered, kind, side);
}

static __always_inline void flow_insert(struct flow_frame *f, struct flow_key *key,
					struct flow *flow)
{
	long err = bpf_map_update_elem(f->table, key, flow, BPF_NOEXIST);

	if (err && err != FLOW_EEXIST) /* another CPU has just seen the same request */
		f->counts->lost++;
}

/* ---- One request, one answer ---- */

static __always_inline void flow_ask(struct flow_frame *f, struct flow_key *key, u32 kind,
				     bool group)
{
	struct flow *known, flow = {};

	if (f->foreign)
		return;
	key->kind = kind;
	key->side = f->side;
	known = bpf_map_lookup_elem(f->table, key);
	if (known) { /* the latency is that of the first */
		known->seen_ns = f->now;
		flow_add(f->counts->repeated, kind, f->side);
		return;
	}
	flow.ns = f->now;
	flow.seen_ns = f->now;
	flow.state = FLOW_ASKED;
	flow.side = f->side;
	flow.group = group;
	flow_insert(f, key, &flow);
}

/* Only the CPU that takes the entry away counts it: an answer may come twice. */
static __always_inline void flow_answer(struct flow_frame *f, struct flow_key *key, u32 kind)
{
	u32 side = !f->side; /* this frame goes the other way */
	struct flow *flow;
	u64 since;

	key->kind = kind;
	key->side = side;
	flow = bpf_map_lookup_elem(f->table, key);
	if (!flow)
		return;
	since = flow->ns;
	if (!bpf_map_delete_elem(f->table, key))
		flow_observe(f, kind, side, since);
}

/* a asks b: of an answer, its destination asks its source. */
static __always_inline void flow_ends(struct flow_key *key, u32 *a, u32 *b)
{
	__builtin_memcpy(key->a, a, sizeof(key->a));
	__builtin_memcpy(key->b, b, sizeof(key->b));
}

static __always_inline void flow_arp(struct flow_frame *f, struct packet *p, struct flow_key *key)
{
	if (p->arp.op == ARP_REQUEST) {
		/* Probes and announcements (RFC 5227) expect no answer. */
		if (!p->src[0] || p->src[0] == p->dst[0])
			return;
		flow_ends(key, p->src, p->dst);
		flow_ask(f, key, FLOW_ARP, p->group);
	} else if (p->arp.op == ARP_REPLY) {
		flow_ends(key, p->dst, p->src);
		flow_answer(f, key, FLOW_ARP);
	}
}

static __always_inline void flow_echo(struct flow_frame *f, struct packet *p, struct flow_key *key,
				      u32 kind, u8 request, u8 reply)
{
	key->port_a = p->icmp.id;
	key->port_b = p->icmp.seq;
	if (p->icmp.type == request && !p->group) {
		flow_ends(key, p->src, p->dst);
		flow_ask(f, key, kind, false);
	} else if (p->icmp.type == reply) {
		flow_ends(key, p->dst, p->src);
		flow_answer(f, key, kind);
	}
}

static __always_inline bool no_address(u32 *ip6)
{
	return !(ip6[0] | ip6[1] | ip6[2] | ip6[3]);
}

static __always_inline void flow_icmpv6(struct flow_frame *f, struct packet *p,
					struct flow_key *key)
{
	switch (p->icmp.type) {
	case ICMPV6_SOLICITATION:
		if (no_address(p->src)) /* a duplicate is looked for: RFC 4862 */
			return;
		flow_ends(key, p->src, p->neighbour.target);
		flow_ask(f, key, FLOW_NDP, p->group);
		return;
	case ICMPV6_ADVERTISEMENT:
		flow_ends(key, p->dst, p->neighbour.target);
		flow_answer(f, key, FLOW_NDP);
		return;
	}
	flow_echo(f, p, key, FLOW_ICMPV6_ECHO, ICMPV6_ECHO_REQUEST, ICMPV6_ECHO_REPLY);
}

static __always_inline void flow_udp(struct flow_frame *f, struct packet *p, struct flow_key *key)
{
	bool answer = p->udp.dns_flags & DNS_ANSWER;

	key->port_b = p->udp.dns_id;
	if (p->udp.dst == DNS_PORT && !answer && !p->group) {
		key->port_a = p->udp.src;
		flow_ends(key, p->src, p->dst);
		flow_ask(f, key, FLOW_DNS, false);
	} else if (p->udp.src == DNS_PORT && answer) {
		key->port_a = p->udp.dst;
		flow_ends(key, p->dst, p->src);
		flow_answer(f, key, FLOW_DNS);
	}
}

/* ---- TCP ---- */

/* a is behind b, in sequence numbers, which wrap. */
static __always_inline bool behind(u32 a, u32 b)
{
	return (s32)(a - b) > 0;
}

static __always_inline u32 tcp_request_kind(struct flow *flow)
{
	if (flow->state == FLOW_CONNECTING)
		return FLOW_TCP_CONNECT;
	return flow->answered ? FLOW_TCP_NEXT : FLOW_TCP_FIRST;
}

/* The connection is over: what is open stays without an answer. */
static __always_inline void tcp_abandon(struct flow_frame *f, struct flow *flow)
{
	if (flow->ns)
		flow_add(f->counts->unanswered, tcp_request_kind(flow), flow->side & 1);
}

static __always_inline void tcp_syn(struct flow_frame *f, struct packet *p, struct flow_key *key,
				    struct flow *known)
{
	u32 isn = bpf_ntohl(p->tcp.seq);
	struct flow flow = {};

	if (f->foreign)
		return;
	if (known && known->isn == isn && known->side == f->side) {
		known->seen_ns = f->now;
		flow_add(f->counts->repeated, FLOW_TCP_CONNECT, f->side);
		return;
	}
	flow.ns = f->now;
	flow.seen_ns = f->now;
	flow.isn = isn;
	flow.asker_next = isn + 1 + p->payload; /* data: TCP Fast Open */
	flow.state = FLOW_CONNECTING;
	flow.side = f->side;
	flow.group = p->payload > 0;
	if (known) { /* the same ports for a new connection */
		tcp_abandon(f, known);
		*known = flow;
	} else {
		flow_insert(f, key, &flow);
	}
}

/* Whether a segment answers the SYN: it acknowledges that, and no more than came. */
static __always_inline bool tcp_answers_syn(struct packet *p, struct flow *flow)
{
	u32 ack = bpf_ntohl(p->tcp.ack);

	return p->tcp.flags & TCP_ACK && behind(ack, flow->isn) && !behind(ack, flow->asker_next);
}

static __always_inline void tcp_rst(struct flow_frame *f, struct packet *p, struct flow_key *key,
				    struct flow *flow, bool asks)
{
	if (flow->state == FLOW_CONNECTING && !asks) {
		if (!tcp_answers_syn(p, flow))
			return;
		flow_add(f->counts->refused, FLOW_TCP_CONNECT, flow->side & 1);
	} else {
		tcp_abandon(f, flow);
	}
	bpf_map_delete_elem(f->table, key);
}

/* A segment of the side that opened the connection. */
static __always_inline void tcp_asks(struct flow_frame *f, struct packet *p, struct flow *flow)
{
	u32 seq = bpf_ntohl(p->tcp.seq), end = seq + p->payload;

	if (flow->state == FLOW_CONNECTING || !p->payload || !behind(end, flow->asker_next))
		return; /* of what was seen before, nothing is a new request */
	if (!flow->ns) {
		flow->asked_seq = behind(seq, flow->asker_next) ? seq : flow->asker_next;
		flow->ns = f->now;
	}
	flow->asker_next = end;
}

static __always_inline void tcp_syn_ack(struct flow_frame *f, struct packet *p, struct flow *flow)
{
	u64 since = flow->ns;

	if (flow->state != FLOW_CONNECTING || !tcp_answers_syn(p, flow))
		return;
	flow->asked_seq = flow->isn + 1;
	flow->answerer_next = bpf_ntohl(p->tcp.seq) + 1;
	flow->ns = flow->group ? since : 0;
	flow->state = FLOW_OPEN;
	flow_observe(f, FLOW_TCP_CONNECT, flow->side & 1, since);
}

/*
 * A segment of the other side. Its first new byte answers the open request if
 * that side has received the request's first byte by then.
 */
static __always_inline void tcp_answers(struct flow_frame *f, struct packet *p,
					struct flow_key *key, struct flow *flow)
{
	u32 end = bpf_ntohl(p->tcp.seq) + p->payload;

	if (flow->state == FLOW_CONNECTING)
		return;
	if (p->payload && behind(end, flow->answerer_next)) {
		flow->answerer_next = end;
		if (flow->ns && behind(bpf_ntohl(p->tcp.ack), flow->asked_seq)) {
			flow_observe(f, tcp_request_kind(flow), flow->side & 1, flow->ns);
			flow->ns = 0;
			flow->answered = 1;
		}
	}
	if (p->tcp.flags & TCP_FIN || flow->state == FLOW_CLOSING) {
		if (!flow->ns)
			bpf_map_delete_elem(f->table, key);
		else /* the answer may have been overtaken */
			flow->state = FLOW_CLOSING;
	}
}

static __always_inline void flow_tcp(struct flow_frame *f, struct packet *p, struct flow_key *key)
{
	u8 flags = p->tcp.flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN);
	struct flow *flow;
	bool asks;

	if (p->group)
		return;
	key->kind = FLOW_TCP_CONNECT;
	if (f->side == FLOW_BY_GUEST) { /* it came in */
		flow_ends(key, p->dst, p->src);
		key->port_a = p->tcp.dst;
		key->port_b = p->tcp.src;
	} else {
		flow_ends(key, p->src, p->dst);
		key->port_a = p->tcp.src;
		key->port_b = p->tcp.dst;
	}
	flow = bpf_map_lookup_elem(f->table, key);
	if (flags == TCP_SYN) {
		tcp_syn(f, p, key, flow);
		return;
	}
	if (!flow) {
		f->counts->untracked += p->payload > 0 && !f->foreign;
		return;
	}
	flow->seen_ns = f->now;
	asks = flow->side == f->side;
	if (flags & TCP_RST)
		tcp_rst(f, p, key, flow, asks);
	else if (asks)
		tcp_asks(f, p, flow);
	else if (flags & TCP_SYN)
		tcp_syn_ack(f, p, flow);
	else
		tcp_answers(f, p, key, flow);
}

/* ---- Every frame ---- */

/* What the guest calls its own, from a frame that it has sent. */
static __always_inline void flow_learn(struct flow_guest *g, struct packet *p, u32 what)
{
	bool same = g->mac[0] == p->src_mac[0] && g->mac[1] == p->src_mac[1] &&
		    g->mac[2] == p->src_mac[2];

	if (!g->macs) {
		__builtin_memcpy(g->mac, p->src_mac, sizeof(g->mac));
		g->macs = 1;
	} else if (g->macs == 1 && !same) {
		g->macs = 2; /* a bridge itself */
	}
	if (what == PACKET_ARP && p->src[0] && g->ip4 != p->src[0])
		g->ip4 = p->src[0];
	if (what == PACKET_ICMPV6 && p->icmp.type == ICMPV6_ADVERTISEMENT)
		__builtin_memcpy(g->ip6, p->neighbour.target, sizeof(g->ip6));
	else if (what == PACKET_ICMPV6 && p->icmp.type == ICMPV6_SOLICITATION &&
		 !no_address(p->src))
		__builtin_memcpy(g->ip6, p->src, sizeof(g->ip6));
}

static __always_inline bool flow_is_foreign(struct flow_guest *g, struct packet *p)
{
	return g->macs == 1 && !p->group &&
	       (g->mac[0] != p->dst_mac[0] || g->mac[1] != p->dst_mac[1] ||
		g->mac[2] != p->dst_mac[2]);
}

static __always_inline void flow_unparsed(struct flow_counts *counts, u32 what)
{
	u32 reason = what - PACKET_MALFORMED;

	asm volatile("" : "+r"(reason)); /* keep the check */
	if (reason < UNPARSED_REASONS)
		counts->unparsed[reason]++;
}

/* flow_of takes a parsed frame that goes out of the guest, or in. */
static __always_inline void flow_of(u32 slot, struct packet *p, u32 what, bool out, u64 now)
{
	struct flow_frame f = { .now = now,
				.slot = slot,
				.side = out ? FLOW_BY_OUTSIDE : FLOW_BY_GUEST };
	struct flow_guest *g = bpf_map_lookup_elem(&flow_guests, &slot);
	struct flow_key key = {};

	f.counts = bpf_map_lookup_elem(&flow_count, &slot);
	f.table = bpf_map_lookup_elem(&flows, &slot);
	if (!g || !f.counts || !f.table)
		return;
	if (what >= PACKET_MALFORMED) {
		flow_unparsed(f.counts, what);
		return;
	}
	if (out)
		flow_learn(g, p, what);
	else
		f.foreign = flow_is_foreign(g, p);
	key.family = p->family;
	switch (what) {
	case PACKET_TCP:
		flow_tcp(&f, p, &key);
		break;
	case PACKET_UDP:
		flow_udp(&f, p, &key);
		break;
	case PACKET_ICMP:
		flow_echo(&f, p, &key, FLOW_ICMP_ECHO, ICMP_ECHO_REQUEST, ICMP_ECHO_REPLY);
		break;
	case PACKET_ICMPV6:
		flow_icmpv6(&f, p, &key);
		break;
	case PACKET_ARP:
		flow_arp(&f, p, &key);
		break;
	}
}

#endif
