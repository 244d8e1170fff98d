//go:build ignore
// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The guest's network device: frames and bytes each way, the service's SYN-ACK
 * and the first byte of its answer, from the frames themselves (tcx, clsact);
 * and the tun driver's own two functions, where the kernel has kprobes or
 * fentry. "out" is out of the guest.
 */
#include "maps.h"
#include <bpf/bpf_endian.h>

#define ETH_P_IP 0x0800
#define IPPROTO_TCP 6
#define TCP_SYN 0x02
#define TCP_ACK 0x10
#define TC_NEXT (-1) /* TCX_NEXT and TC_ACT_UNSPEC: as if we were not here */

struct eth {
	u8 dst[6], src[6];
	u16 type;
} __attribute__((packed));

struct ip4 {
	u8 version_ihl, tos;
	u16 total, id, frag;
	u8 ttl, protocol;
	u16 check;
	u32 src, dst;
} __attribute__((packed));

struct tcp {
	u16 src, dst;
	u32 seq, ack;
	u8 offset, flags;
	u16 window, check, urgent;
} __attribute__((packed));

/* The TCP header of a frame, by copying: the frame may not be linear. */
static __always_inline bool read_tcp(struct __sk_buff *skb, struct tcp *tcp, u32 *payload)
{
	u32 ihl, header;
	struct eth eth;
	struct ip4 ip;

	if (bpf_skb_load_bytes(skb, 0, &eth, sizeof(eth)) || eth.type != bpf_htons(ETH_P_IP))
		return false;
	if (bpf_skb_load_bytes(skb, sizeof(eth), &ip, sizeof(ip)) || ip.protocol != IPPROTO_TCP)
		return false;
	if (bpf_ntohs(ip.frag) & 0x1fff) /* a later fragment has no TCP header */
		return false;
	ihl = (ip.version_ihl & 0xf) * 4;
	if (ihl < sizeof(ip) || bpf_skb_load_bytes(skb, sizeof(eth) + ihl, tcp, sizeof(*tcp)))
		return false;
	if (tcp->offset >> 4 < 5)
		return false;
	header = ihl + (tcp->offset >> 4) * 4;
	/* The IP length, not the frame's: short frames are padded. With TSO it is 0. */
	if (ip.total)
		*payload = bpf_ntohs(ip.total) > header ? bpf_ntohs(ip.total) - header : 0;
	else
		*payload = skb->len > sizeof(eth) + header ? skb->len - sizeof(eth) - header : 0;
	return true;
}

static __always_inline void account(struct __sk_buff *skb, u32 slot, u32 frames, u32 bytes)
{
	u32 n = skb->gso_segs > 1 ? skb->gso_segs : 1;

	count(slot, frames, n);
	count(slot, bytes, skb->len);
}

static __always_inline struct device *device_of(struct __sk_buff *skb)
{
	u32 ifindex = skb->ifindex;

	return bpf_map_lookup_elem(&devices, &ifindex);
}

SEC("tc/out")
int tc_out(struct __sk_buff *skb)
{
	u64 now = bpf_ktime_get_ns();
	struct device *d = device_of(skb);
	struct tcp tcp;
	u32 payload;

	hit(HOOK_TC_OUT);
	if (!d)
		return TC_NEXT;
	account(skb, d->slot, COUNT_FRAMES_OUT, COUNT_BYTES_OUT);
	mark_of(0, d->slot, MARK_FRAME_OUT, HOOK_TC_OUT, now);
	if (!d->service_port || !read_tcp(skb, &tcp, &payload) ||
	    bpf_ntohs(tcp.src) != d->service_port)
		return TC_NEXT;
	if ((tcp.flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK))
		mark_of(0, d->slot, MARK_SYN_ACK, HOOK_TC_OUT, now);
	if (payload)
		mark_of(0, d->slot, MARK_FIRST_RESPONSE, HOOK_TC_OUT, now);
	return TC_NEXT;
}

SEC("tc/in")
int tc_in(struct __sk_buff *skb)
{
	u64 now = bpf_ktime_get_ns();
	struct device *d = device_of(skb);
	struct tcp tcp;
	u32 payload;

	hit(HOOK_TC_IN);
	if (!d)
		return TC_NEXT;
	account(skb, d->slot, COUNT_FRAMES_IN, COUNT_BYTES_IN);
	mark_of(0, d->slot, MARK_FRAME_IN, HOOK_TC_IN, now);
	if (!d->service_port || !read_tcp(skb, &tcp, &payload) ||
	    bpf_ntohs(tcp.dst) != d->service_port)
		return TC_NEXT;
	if (tcp.flags & TCP_SYN)
		mark_of(0, d->slot, MARK_SYN, HOOK_TC_IN, now);
	if (payload)
		mark_of(0, d->slot, MARK_FIRST_REQUEST, HOOK_TC_IN, now);
	return TC_NEXT;
}

/* ---- The tun driver ---- */

static __always_inline int tap_frame(struct net_device *dev, u32 hook, u32 counter, u32 kind)
{
	u32 ifindex = BPF_CORE_READ(dev, ifindex);
	struct device *d = bpf_map_lookup_elem(&devices, &ifindex);

	hit(hook);
	if (!d || (d->netns && d->netns != BPF_CORE_READ(dev, nd_net.net, ns.inum)))
		return 0;
	count(d->slot, counter, 1);
	mark_of(0, d->slot, kind, hook, bpf_ktime_get_ns());
	return 0;
}

#define tap_out(dev) tap_frame(dev, HOOK_TAP_OUT, COUNT_TAP_OUT, MARK_FRAME_OUT)
#define tap_in(dev) tap_frame(dev, HOOK_TAP_IN, COUNT_TAP_IN, MARK_FRAME_IN)

SEC("kprobe/tun_get_user")
int BPF_KPROBE(kprobe_tap_out, struct tun_struct *tun)
{
	return tap_out(BPF_CORE_READ(tun, dev));
}

SEC("fentry/tun_get_user")
int BPF_PROG(fentry_tap_out, struct tun_struct *tun)
{
	return tap_out(BPF_CORE_READ(tun, dev));
}

SEC("tp_btf/netif_receive_skb")
int BPF_PROG(tp_btf_tap_out, struct sk_buff *skb)
{
	return tap_out(BPF_CORE_READ(skb, dev));
}

SEC("raw_tp/netif_receive_skb")
int raw_tp_tap_out(struct bpf_raw_tracepoint_args *ctx)
{
	struct sk_buff *skb = (struct sk_buff *)ctx->args[0];

	return tap_out(BPF_CORE_READ(skb, dev));
}

SEC("kprobe/tun_net_xmit")
int BPF_KPROBE(kprobe_tap_in, struct sk_buff *skb, struct net_device *dev)
{
	return tap_in(dev);
}

SEC("fentry/tun_net_xmit")
int BPF_PROG(fentry_tap_in, struct sk_buff *skb, struct net_device *dev)
{
	return tap_in(dev);
}

SEC("tp_btf/net_dev_start_xmit")
int BPF_PROG(tp_btf_tap_in, struct sk_buff *skb, struct net_device *dev)
{
	return tap_in(dev);
}

SEC("raw_tp/net_dev_start_xmit")
int raw_tp_tap_in(struct bpf_raw_tracepoint_args *ctx)
{
	return tap_in((struct net_device *)ctx->args[1]);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
