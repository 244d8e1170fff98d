// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ukprobe/ukprobe/bpf"
)

// HistogramSchema is the resolution of the kernel's histograms: a Prometheus
// native histogram of schema 3, eight buckets per power of two, so that a bucket
// is 9 % wide.
const HistogramSchema = 3

// histMinIndex and histBuckets are HIST_MIN_INDEX and HIST_BUCKETS of bpf/hist.h.
const (
	histMinIndex = -240
	histBuckets  = 282
)

// Histogram is a distribution of durations in the buckets of a Prometheus native
// histogram, counted in the kernel.
type Histogram struct {
	Count   uint64         // all observations
	SumNS   uint64         // their sum in nanoseconds
	Zero    uint64         // observations of 0 ns
	Buckets map[int]uint64 // by native index: (2^((i-1)/8), 2^(i/8)] seconds; not cumulative
}

// Add adds another histogram's observations.
func (h *Histogram) Add(o Histogram) {
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
func UpperBound(index int) time.Duration {
	return time.Duration(math.Exp2(float64(index)/(1<<HistogramSchema)) * 1e9)
}

// Quantile returns the upper bound of the bucket that holds the q-quantile, 0 for
// an empty histogram. The exact quantile is at most one bucket (9 %) below.
func (h Histogram) Quantile(q float64) time.Duration {
	rank := uint64(math.Ceil(q * float64(h.Count)))
	if h.Count == 0 || rank <= h.Zero {
		return 0
	}
	seen := h.Zero
	for _, i := range slices.Sorted(maps.Keys(h.Buckets)) {
		if seen += h.Buckets[i]; seen >= rank {
			return UpperBound(i)
		}
	}
	return UpperBound(histMinIndex + histBuckets - 1)
}

// Classic is the cumulative buckets for servers that know no native histograms:
// one per power of two from 1 µs to 16 s. Native bounds at powers of two make
// them exact.
func (h Histogram) Classic() map[float64]uint64 {
	out := map[float64]uint64{}
	for e := -20; e <= 4; e++ {
		n := h.Zero
		for i, c := range h.Buckets {
			if i <= e<<HistogramSchema {
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
		HistogramSchema, 0, created, labels...)
}

// readHist sums a histogram over the CPUs. Count is taken from the buckets, so
// that both are of one moment.
func (p *Probe) readHist(name string, key uint32) (Histogram, error) {
	var perCPU []bpf.KVMHist
	if err := p.loader.maps[name].Lookup(key, &perCPU); err != nil {
		return Histogram{}, fmt.Errorf("read BPF map %s: %w", name, err)
	}
	h := Histogram{Buckets: map[int]uint64{}}
	for i := range perCPU {
		h.Zero += perCPU[i].Zero
		h.SumNS += perCPU[i].SumNs
		for b, n := range perCPU[i].Buckets {
			if n > 0 {
				h.Buckets[b+histMinIndex] += n
				h.Count += n
			}
		}
	}
	h.Count += h.Zero
	return h, nil
}
