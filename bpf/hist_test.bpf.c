//go:build ignore
// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * For tests and benchmarks only, by PROG_TEST_RUN: the histogram's index and
 * its observation, and an exit with its entry.
 */
#include "exit.h"

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

/*
 * An exit because of an I/O instruction, and the entry after it. As a tc program,
 * because those the kernel runs many times in one call (Linux 6.10 for the thread's
 * id). What it leaves out of the real ones is where the arguments come from.
 */
SEC("tc")
int test_exit_pair(struct __sk_buff *skb)
{
	struct vcpu_state *v = current_vcpu(HOOK_KVM_EXIT);

	if (v) {
		guest_exit(v, bpf_ktime_get_ns(), host_isa, host_isa == KVM_ISA_SVM ? 0x7b : 30);
		wanted(v);
	}
	guest_entry(0);
	return 0;
}

/* What of that are the two clocks. */
SEC("tc")
int test_two_clocks(struct __sk_buff *skb)
{
	return bpf_ktime_get_ns() == bpf_ktime_get_ns();
}

SEC("tc")
int test_nothing(struct __sk_buff *skb)
{
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
