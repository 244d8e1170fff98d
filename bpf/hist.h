/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Histograms whose buckets are Prometheus native-histogram buckets.
 *
 * A native histogram of schema s puts the observation v (here: seconds) in
 * bucket i with 2^((i-1)/2^s) < v <= 2^(i/2^s). The index is computed here from
 * nanoseconds in integer arithmetic, without a loop and without branches, and
 * equals client_golang's own (tested value by value in hist_test.go).
 */
#ifndef UKPROBE_HIST_H
#define UKPROBE_HIST_H

#include "kernel.h"

#define HIST_SCHEMA 3
/* Index of bucket 0 of the array: (2^-30.x s, ...], below 1 ns. */
#define HIST_MIN_INDEX (-240)
/* Up to and including index 40, 2^5 s = 32 s. What is longer goes into the last. */
#define HIST_BUCKETS 282

struct hist {
	u64 count; /* all observations, zero and overflow included */
	u64 sum_ns;
	u64 zero; /* observations of 0 ns */
	u64 buckets[HIST_BUCKETS]; /* [HIST_BUCKETS-1]: above 32 s */
};

static __always_inline u32 ilog2(u64 v)
{
	u32 r, s;

	r = (v > 0xffffffff) << 5;
	v >>= r;
	s = (v > 0xffff) << 4;
	v >>= s;
	r |= s;
	s = (v > 0xff) << 3;
	v >>= s;
	r |= s;
	s = (v > 0xf) << 2;
	v >>= s;
	r |= s;
	s = (v > 0x3) << 1;
	v >>= s;
	r |= s;
	return r | (u32)(v >> 1);
}

/*
 * hist_index returns the native-histogram index of ns nanoseconds (ns > 0).
 *
 * v = ns * 1e-9 s = ns * (2^36 / 1e9) * 2^-36, and 2^36 / 1e9 = 1.073741824 * 2^6.
 * ns is normalised to 64 bits and multiplied by 1.073741824 * 2^31 =
 * 2305843009.213693952 in two parts (0.213693952 * 2^32 = 917808535.2), rounded
 * down, which leaves a relative error below 2^-61, always downwards; an
 * exact power of two therefore stays on the inclusive side of its bound.
 */
static __always_inline s32 hist_index(u64 ns)
{
	const u64 c_hi = 2305843009ULL, c_lo = 917808535ULL;
	u32 e = ilog2(ns);
	u64 n = ns << (63 - e);
	u64 hi = n >> 32, lo = n & 0xffffffff;
	u64 p = hi * c_hi + ((lo * c_hi) >> 32) + ((hi * c_lo) >> 32);
	u32 carry = p >> 63; /* the product reached 2: one octave higher */
	s32 octave = (s32)e + 6 - 36 + (s32)carry;
	u32 below;

	p <<= 1 - carry; /* now 1 <= p / 2^63 < 2 */
	/* How many of the bounds 2^(j/8), j = 0..7, lie strictly below. */
	below = (p > 0x8000000000000000ULL) + (p > 0x8b95c1e3ea8bd6e6ULL) +
		(p > 0x9837f0518db8a96fULL) + (p > 0xa5fed6a9b15138eaULL) +
		(p > 0xb504f333f9de6484ULL) + (p > 0xc5672a115506daddULL) +
		(p > 0xd744fccad69d6af4ULL) + (p > 0xeac0c6e7dd24392eULL);
	return octave * (1 << HIST_SCHEMA) + (s32)below;
}

static __always_inline void hist_observe(struct hist *h, u64 ns)
{
	u32 i;

	h->count++;
	h->sum_ns += ns;
	if (!ns) {
		h->zero++;
		return;
	}
	i = (u32)(hist_index(ns) - HIST_MIN_INDEX);
	if (i >= HIST_BUCKETS)
		i = HIST_BUCKETS - 1;
	h->buckets[i]++;
}

#endif
