//go:build ignore
// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The guest's network device: frames and bytes each way, the service's SYN-ACK
 * and the first byte of its answer, how long answers took, from the frames
 * themselves (tcx, clsact);
 * and the tun driver's own two functions, where the kernel has kprobes or
 * fentry. "out" is out of the guest.
 */
#include "flow.h"

#define TC_NEXT (-1) /* TCX_NEXT and TC_ACT_UNSPEC: as if we were not here */

/* A guest hands over large segments (TSO, USO) without saying how many they make. */
static __always_inline bool segments_unknown(struct __sk_buff *skb)
{
	return skb->gso_size && !skb->gso_segs;
}

/*
 * How many frames it will be, for which p is needed only if that is unknown. Of
 * what was not parsed the headers are taken for the shortest.
 */
static __always_inline u32 segments(struct __sk_buff *skb, struct packet *p, u32 what)
{
	u32 headers = ETH_LEN + sizeof(struct ip4) + sizeof(struct tcp), size = skb->gso_size;

	if (!segments_unknown(skb))
		return skb->gso_segs > 1 ? skb->gso_segs : 1;
	if (what == PACKET_TCP)
		headers = p->l4 + (p->tcp.offset >> 4) * 4;
	else if (what == PACKET_UDP)
		headers = p->l4 + 8;
	if (skb->len <= headers + size)
		return 1;
	return (skb->len - headers + size - 1) / size;
}

static __always_inline void account(struct __sk_buff *skb, struct packet *p, u32 what, u32 slot,
				    u32 frames, u32 bytes)
{
	count(slot, frames, segments(skb, p, what));
	count(slot, bytes, skb->len);
}

static __always_inline struct device *device_of(struct net_device *dev, u32 ifindex)
{
	struct device_key key = { .netns = BPF_CORE_READ(dev, nd_net.net, ns.inum),
				  .ifindex = ifindex };

	return bpf_map_lookup_elem(&devices, &key);
}

/*
 * The context of a tc program is the struct sk_buff itself, of which the verifier
 * lets it read little; the rest it may probe, with CAP_PERFMON.
 */
static __always_inline struct device *skb_device(struct __sk_buff *skb)
{
	return device_of(BPF_CORE_READ((struct sk_buff *)skb, dev), skb->ifindex);
}

/*
 * Whether the guest has begun, as far as that matters: a client that asks from before
 * the start on is answered by whoever holds the other end of a wire that is up already.
 */
static __always_inline bool has_begun(struct device *d)
{
	u32 slot = d->slot;
	struct slot *s;

	if (!(d->flags & DEVICE_FROM_EXEC))
		return true;
	s = bpf_map_lookup_elem(&slots, &slot);
	if (!s || !s->marks[MARK_VMM_EXEC].ns)
		return false;
	d->flags &= ~DEVICE_FROM_EXEC;
	return true;
}

static __always_inline void mark_out(struct device *d, struct packet *p, u64 now)
{
	if (bpf_ntohs(p->tcp.src) != d->service_port)
		return;
	if ((p->tcp.flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK))
		mark_of(0, d->slot, MARK_SYN_ACK, HOOK_TC_OUT, now);
	if (p->payload)
		mark_of(0, d->slot, MARK_FIRST_RESPONSE, HOOK_TC_OUT, now);
}

static __always_inline void mark_in(struct device *d, struct packet *p, u64 now)
{
	if (bpf_ntohs(p->tcp.dst) != d->service_port)
		return;
	if (p->tcp.flags & TCP_SYN)
		mark_of(0, d->slot, MARK_SYN, HOOK_TC_IN, now);
	if (p->payload)
		mark_of(0, d->slot, MARK_FIRST_REQUEST, HOOK_TC_IN, now);
}

/* look_into counts the frame, and reads it if anything in it is asked for. */
static __always_inline void look_into(struct __sk_buff *skb, struct device *d, bool out, u64 now)
{
	bool measured = d->flags & DEVICE_FLOWS;
	u32 what = PACKET_OTHER;
	struct packet p = {};

	if (d->service_port || measured || segments_unknown(skb))
		what = packet_parse(skb, &p);
	if (out)
		account(skb, &p, what, d->slot, COUNT_FRAMES_OUT, COUNT_BYTES_OUT);
	else
		account(skb, &p, what, d->slot, COUNT_FRAMES_IN, COUNT_BYTES_IN);
	if (what == PACKET_TCP && d->service_port) {
		if (out)
			mark_out(d, &p, now);
		else
			mark_in(d, &p, now);
	}
	if (measured)
		flow_of(d->slot, &p, what, out, now);
}

SEC("tc/out")
int tc_out(struct __sk_buff *skb)
{
	u64 now = bpf_ktime_get_ns();
	struct device *d = skb_device(skb);

	hit(HOOK_TC_OUT);
	if (!d || !has_begun(d))
		return TC_NEXT;
	mark_of(0, d->slot, MARK_FRAME_OUT, HOOK_TC_OUT, now);
	look_into(skb, d, true, now);
	return TC_NEXT;
}

SEC("tc/in")
int tc_in(struct __sk_buff *skb)
{
	u64 now = bpf_ktime_get_ns();
	struct device *d = skb_device(skb);

	hit(HOOK_TC_IN);
	if (!d || !has_begun(d))
		return TC_NEXT;
	mark_of(0, d->slot, MARK_FRAME_IN, HOOK_TC_IN, now);
	look_into(skb, d, false, now);
	return TC_NEXT;
}

/* ---- The tun driver ---- */

static __always_inline int tap_frame(struct net_device *dev, u32 hook, u32 counter, u32 kind)
{
	struct device *d = device_of(dev, BPF_CORE_READ(dev, ifindex));

	hit(hook);
	if (!d || !has_begun(d))
		return 0;
	count(d->slot, counter, 1);
	mark_of(0, d->slot, kind, hook, bpf_ktime_get_ns());
	return 0;
}

#define tap_out(dev) tap_frame(dev, HOOK_TAP_OUT, COUNT_TAP_OUT, MARK_FRAME_OUT)
#define tap_in(dev) tap_frame(dev, HOOK_TAP_IN, COUNT_TAP_IN, MARK_FRAME_IN)

/*
 * A write of a VMM to its tap. Some write nothing, to learn whether the tap is there
 * (HermiTux, after Solo5): what is shorter than a frame's header is no frame, and
 * refused.
 */
static __always_inline int tap_write(struct tun_struct *tun, struct iov_iter *from)
{
	if (BPF_CORE_READ(from, count) < ETH_LEN)
		return 0;
	return tap_out(BPF_CORE_READ(tun, dev));
}

SEC("kprobe/tun_get_user")
int BPF_KPROBE(kprobe_tap_out, struct tun_struct *tun, void *file, void *control,
	       struct iov_iter *from)
{
	return tap_write(tun, from);
}

SEC("fentry/tun_get_user")
int BPF_PROG(fentry_tap_out, struct tun_struct *tun, void *file, void *control,
	     struct iov_iter *from)
{
	return tap_write(tun, from);
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

/* For the generated bindings. */
const struct flow_key *unused_flow_key __attribute__((unused));
const struct flow *unused_flow __attribute__((unused));
const enum flow_kind *unused_flow_kind __attribute__((unused));
const enum flow_side *unused_flow_side __attribute__((unused));
const enum flow_state *unused_flow_state __attribute__((unused));
const enum flow_unparsed *unused_flow_unparsed __attribute__((unused));

char LICENSE[] SEC("license") = "Dual BSD/GPL";
