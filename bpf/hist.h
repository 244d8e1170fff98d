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

#define HIST_SCHEMA 3 /* the default; 0 to HIST_MAX_SCHEMA are possible */
#define HIST_MAX_SCHEMA 5
/* Bucket 0 of the array has the index of the bound 2^-30 s, just below 1 ns. */
#define HIST_MIN_OCTAVE (-30)
/* Up to and including 2^5 s = 32 s. What is longer goes into the last bucket. */
#define HIST_OCTAVES 35
#define HIST_BUCKETS ((HIST_OCTAVES << HIST_SCHEMA) + 2)

/*
 * With another schema than the default the array is longer or shorter: user space
 * sizes the maps' values and sets hist_schema before a program is loaded, so that
 * the verifier knows both.
 */
struct hist {
	u64 count; /* all observations, zero and overflow included */
	u64 sum_ns;
	u64 zero; /* observations of 0 ns */
	u64 buckets[HIST_BUCKETS]; /* the last: above 32 s */
};

volatile const u32 hist_schema = HIST_SCHEMA;

/* floor(2^(j/32) * 2^63): the bounds within an octave at HIST_MAX_SCHEMA. */
static const u64 hist_bounds[1 << HIST_MAX_SCHEMA] = {
	0x8000000000000000ULL, 0x82cd8698ac2ba1d7ULL, 0x85aac367cc487b14ULL, 0x88980e8092da8527ULL,
	0x8b95c1e3ea8bd6e6ULL, 0x8ea4398b45cd53c0ULL, 0x91c3d373ab11c336ULL, 0x94f4efa8fef70961ULL,
	0x9837f0518db8a96fULL, 0x9b8d39b9d54e5538ULL, 0x9ef5326091a111adULL, 0xa27043030c496818ULL,
	0xa5fed6a9b15138eaULL, 0xa9a15ab4ea7c0ef8ULL, 0xad583eea42a14ac6ULL, 0xb123f581d2ac258fULL,
	0xb504f333f9de6484ULL, 0xb8fbaf4762fb9ee9ULL, 0xbd08a39f580c36beULL, 0xc12c4cca66709456ULL,
	0xc5672a115506daddULL, 0xc9b9bd866e2f27a2ULL, 0xce248c151f8480e3ULL, 0xd2a81d91f12ae45aULL,
	0xd744fccad69d6af4ULL, 0xdbfbb797daf23755ULL, 0xe0ccdeec2a94e111ULL, 0xe5b906e77c8348a8ULL,
	0xeac0c6e7dd24392eULL, 0xefe4b99bdcdaf5cbULL, 0xf5257d152486cc2cULL, 0xfa83b2db722a033aULL,
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

/* coarser is the index of the same value at a schema that is lower by `shift`. */
static __always_inline s32 coarser(s32 index, u32 shift)
{
	return (index + (1 << shift) - 1) >> shift;
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
	/*
	 * How many of the bounds lie strictly below. The schema is a constant to the
	 * verifier, which drops the other way.
	 */
	if (hist_schema <= 3) {
		below = (p > 0x8000000000000000ULL) + (p > 0x8b95c1e3ea8bd6e6ULL) +
			(p > 0x9837f0518db8a96fULL) + (p > 0xa5fed6a9b15138eaULL) +
			(p > 0xb504f333f9de6484ULL) + (p > 0xc5672a115506daddULL) +
			(p > 0xd744fccad69d6af4ULL) + (p > 0xeac0c6e7dd24392eULL);
		return coarser(octave * 8 + (s32)below, 3 - hist_schema);
	}
	below = (u32)(p > hist_bounds[15]) << 4;
	below += (u32)(p > hist_bounds[(below + 7) & 31]) << 3;
	below += (u32)(p > hist_bounds[(below + 3) & 31]) << 2;
	below += (u32)(p > hist_bounds[(below + 1) & 31]) << 1;
	below += (u32)(p > hist_bounds[below & 31]);
	below += (u32)(p > hist_bounds[below & 31]); /* the 32nd */
	return coarser(octave * 32 + (s32)below, (5 - hist_schema) & 7);
}

/* hist_bucket is hist_observe for an observation that was counted before. */
static __always_inline void hist_bucket(struct hist *h, u64 ns)
{
	u32 last = (HIST_OCTAVES << (hist_schema & 7)) + 1, i;

	h->sum_ns += ns;
	if (!ns) {
		h->zero++;
		return;
	}
	i = (u32)(hist_index(ns) - HIST_MIN_OCTAVE * (1 << (hist_schema & 7)));
	if (i > last)
		i = last;
	h->buckets[i]++;
}

static __always_inline void hist_observe(struct hist *h, u64 ns)
{
	h->count++;
	hist_bucket(h, ns);
}

#endif
