// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// DefaultSchema is the resolution of the kernel's histograms if nothing else is
// asked for: a Prometheus native histogram of schema 3, eight buckets per power of
// two, so that a bucket is 9 % wide. Of schema 0 it is 100 %, of 5, 2.2 %.
const (
	DefaultSchema = 3
	MinSchema     = 0
	MaxSchema     = 5
)

// histMinOctave, histOctaves and histHeader are of bpf/hist.h.
const (
	histMinOctave = -30
	histOctaves   = 35
	histHeader    = 24 // bytes before the buckets
)

// histBuckets is the number of a histogram's buckets.
func histBuckets(schema int) int { return histOctaves<<schema + 2 }

// histMinIndex is the native index of the first.
func histMinIndex(schema int) int { return histMinOctave << schema }

// Histogram is a distribution of durations in the buckets of a Prometheus native
// histogram, counted in the kernel.
type Histogram struct {
	Schema  int            // 2^Schema buckets per power of two
	Count   uint64         // all observations
	SumNS   uint64         // their sum in nanoseconds
	Zero    uint64         // observations of 0 ns
	Buckets map[int]uint64 // by native index i: (2^((i-1)/2^Schema), 2^(i/2^Schema)] seconds; not cumulative
}

// Add adds another histogram's observations. Both must have the same schema,
// unless one is empty.
func (h *Histogram) Add(o Histogram) {
	if h.Count == 0 {
		h.Schema = o.Schema
	}
	h.Count += o.Count
	h.SumNS += o.SumNS
	h.Zero += o.Zero
	if h.Buckets == nil {
		h.Buckets = map[int]uint64{}
	}
	for i, n := range o.Buckets {
		h.Buckets[i] += n
	}
}

// UpperBound is the inclusive upper bound of a bucket.
func UpperBound(schema, index int) time.Duration {
	return time.Duration(math.Exp2(math.Ldexp(float64(index), -schema)) * 1e9)
}

// Quantile returns the upper bound of the bucket that holds the q-quantile, 0 for
// an empty histogram. The exact quantile is at most one bucket below.
func (h Histogram) Quantile(q float64) time.Duration {
	rank := uint64(math.Ceil(q * float64(h.Count)))
	if h.Count == 0 || rank <= h.Zero {
		return 0
	}
	seen := h.Zero
	for _, i := range slices.Sorted(maps.Keys(h.Buckets)) {
		if seen += h.Buckets[i]; seen >= rank {
			return UpperBound(h.Schema, i)
		}
	}
	return UpperBound(h.Schema, histMinIndex(h.Schema)+histBuckets(h.Schema)-1)
}

// Classic is the cumulative buckets for servers that know no native histograms:
// one per power of two from 1 µs to 16 s. Native bounds at powers of two make
// them exact.
func (h Histogram) Classic() map[float64]uint64 {
	out := map[float64]uint64{}
	for e := -20; e <= 4; e++ {
		n := h.Zero
		for i, c := range h.Buckets {
			if i <= e<<h.Schema {
				n += c
			}
		}
		out[math.Exp2(float64(e))] = n
	}
	return out
}

// Metric makes a Prometheus metric of it, with native buckets.
func (h Histogram) Metric(desc *prometheus.Desc, created time.Time, labels ...string) (prometheus.Metric, error) {
	buckets := make(map[int]int64, len(h.Buckets))
	count := h.Zero
	for i, n := range h.Buckets {
		buckets[i] = int64(n)
		count += n
	}
	return prometheus.NewConstNativeHistogram(desc, count, float64(h.SumNS)/1e9, buckets, nil, h.Zero,
		int32(h.Schema), 0, created, labels...)
}

// Mean is the mean of the observations, 0 for an empty histogram.
func (h Histogram) Mean() time.Duration {
	if h.Count == 0 {
		return 0
	}
	return time.Duration(h.SumNS / h.Count)
}

// Max is the upper bound of the highest bucket that holds something.
func (h Histogram) Max() time.Duration { return h.Quantile(1) }

// readHist sums a histogram over the CPUs. Count is taken from the buckets, so
// that both are of one moment; events is the kernel's own, which in guest_hist
// includes exits that are in no bucket.
func (p *Probe) readHist(name string, key uint32) (h Histogram, events uint64, err error) {
	raw, err := p.loader.maps[name].LookupBytes(key)
	if err != nil {
		return h, 0, fmt.Errorf("read BPF map %s: %w", name, err)
	}
	if raw == nil {
		return h, 0, fmt.Errorf("read BPF map %s: no row %d", name, key)
	}
	h, events = sumHist(raw, p.loader.schema)
	return h, events, nil
}

// sumHist sums what a per-CPU map has of a histogram.
func sumHist(raw []byte, schema int) (h Histogram, events uint64) {
	size := histHeader + 8*histBuckets(schema)
	h = Histogram{Schema: schema, Buckets: map[int]uint64{}}
	for ; len(raw) >= size; raw = raw[size:] {
		word := func(i int) uint64 { return binary.NativeEndian.Uint64(raw[8*i:]) }
		events += word(0)
		h.SumNS += word(1)
		h.Zero += word(2)
		if word(0) == 0 {
			continue // nothing in the buckets either
		}
		for b := range histBuckets(schema) {
			if n := word(histHeader/8 + b); n > 0 {
				h.Buckets[b+histMinIndex(schema)] += n
				h.Count += n
			}
		}
	}
	h.Count += h.Zero
	return h, events
}
