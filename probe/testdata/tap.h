/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * For quantile_test.go, which compiles the programs once more with this in front of
 * them (clang -include): the very nanoseconds that go into a histogram also go, with
 * the map and row, into a ring buffer.
 */
#ifndef UKPROBE_TAP_H
#define UKPROBE_TAP_H

#include "maps.h"

/* Order: tapped in quantile_test.go. */
enum tap_table { TAP_EXIT, TAP_GUEST, TAP_USER_EXIT, TAP_SPAN };

struct tap {
	u32 table;
	u32 key;
	u64 ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 24);
} taps SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} taps_lost SEC(".maps");

static __always_inline void tap(u32 table, u32 key, u64 ns)
{
	struct tap *t = bpf_ringbuf_reserve(&taps, sizeof(*t), 0);
	u32 zero = 0;
	u64 *lost;

	if (t) {
		t->table = table;
		t->key = key;
		t->ns = ns;
		bpf_ringbuf_submit(t, BPF_RB_NO_WAKEUP);
		return;
	}
	lost = bpf_map_lookup_elem(&taps_lost, &zero);
	if (lost)
		__sync_fetch_and_add(lost, 1);
}

#define TAP_TABLE(map)                                                                             \
	((void *)(map) == (void *)&exit_hist	    ? TAP_EXIT                                     \
	 : (void *)(map) == (void *)&user_exit_hist ? TAP_USER_EXIT                                \
						    : TAP_SPAN)

#define observe(map, row, ns)                                                                      \
	({                                                                                         \
		u64 tap_ns = (ns);                                                                 \
		u32 tap_row = (row);                                                               \
		tap(TAP_TABLE(map), tap_row, tap_ns);                                              \
		observe(map, tap_row, tap_ns);                                                     \
	})

/* Only guest_exit calls it from here on; `key` is its row. */
#define hist_bucket(h, ns)                                                                         \
	({                                                                                         \
		u64 tap_ns = (ns);                                                                 \
		tap(TAP_GUEST, key, tap_ns);                                                       \
		hist_bucket(h, tap_ns);                                                            \
	})

#endif
