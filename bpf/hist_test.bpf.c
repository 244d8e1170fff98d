//go:build ignore
// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * For tests and benchmarks only, by PROG_TEST_RUN: the histogram's index and
 * its observation.
 */
#include "maps.h"

/* Input: nanoseconds, u64, from byte 14 on. Output: the index, s32, in their place. */
SEC("tc")
int test_hist_index(struct __sk_buff *skb)
{
	u64 ns = 0;
	s64 index;

	if (bpf_skb_load_bytes(skb, 14, &ns, sizeof(ns)) || !ns)
		return 1;
	index = hist_index(ns);
	return bpf_skb_store_bytes(skb, 14, &index, sizeof(index), 0) ? 1 : 0;
}

SEC("tc")
int test_hist_observe(struct __sk_buff *skb)
{
	u32 key = 0;
	struct hist *h = bpf_map_lookup_elem(&exit_hist, &key);
	u64 ns = 0;

	if (!h || bpf_skb_load_bytes(skb, 14, &ns, sizeof(ns)))
		return 1;
	hist_observe(h, ns);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
