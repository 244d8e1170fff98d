// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Index 0 ends at 1 s, 8 at 2 s, -8 at half a second.
func sample() Histogram {
	return Histogram{Schema: DefaultSchema, Count: 10, SumNS: 12e9, Zero: 2, Buckets: map[int]uint64{-8: 1, 0: 4, 8: 2, 41: 1}}
}

func TestQuantile(t *testing.T) {
	for q, want := range map[float64]time.Duration{
		0: 0, 0.1: 0, 0.2: 0, 0.21: 500 * time.Millisecond, 0.3: 500 * time.Millisecond, 0.31: time.Second, 0.7: time.Second,
		0.71: 2 * time.Second, 0.9: 2 * time.Second, 0.91: UpperBound(DefaultSchema, 41), 1: UpperBound(DefaultSchema, 41),
	} {
		if got := sample().Quantile(q); got != want {
			t.Errorf("%v: %v, want %v", q, got, want)
		}
	}
	for name, h := range map[string]Histogram{"empty": {}, "zeros": {Count: 3, Zero: 3}} {
		if got := h.Quantile(0.99); got != 0 {
			t.Errorf("%s: %v, want 0", name, got)
		}
	}
	if got := UpperBound(DefaultSchema, 41); got <= 32*time.Second || got > 35*time.Second {
		t.Errorf("the last bucket ends at %v, want the next after 32 s", got)
	}
}

func TestClassic(t *testing.T) {
	h := sample()
	h.Buckets[-300], h.Count = 1, h.Count+1 // far below 1 µs
	got := h.Classic()
	if len(got) != 25 {
		t.Errorf("%d buckets, want 25: 2^-20 to 2^4", len(got))
	}
	for bound, want := range map[float64]uint64{math.Exp2(-20): 3, 0.25: 3, 0.5: 4, 1: 8, 2: 10, 16: 10} {
		if got[bound] != want {
			t.Errorf("up to %v s: %d, want %d", bound, got[bound], want)
		}
	}
	before := uint64(0)
	for e := -20; e <= 4; e++ {
		n := got[math.Exp2(float64(e))]
		if n < before || n > h.Count {
			t.Errorf("up to 2^%d s: %d after %d of %d: not cumulative", e, n, before, h.Count)
		}
		before = n
	}
}

func TestHistogramAdd(t *testing.T) {
	var sum Histogram
	sum.Add(sample())
	sum.Add(Histogram{})
	sum.Add(Histogram{Count: 2, SumNS: 5, Zero: 1, Buckets: map[int]uint64{0: 1}})
	want := Histogram{Schema: DefaultSchema, Count: 12, SumNS: 12e9 + 5, Zero: 3, Buckets: map[int]uint64{-8: 1, 0: 5, 8: 2, 41: 1}}
	if diff := cmp.Diff(want, sum); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(Histogram{Schema: DefaultSchema, Count: 10, SumNS: 12e9, Zero: 2, Buckets: map[int]uint64{-8: 1, 0: 4, 8: 2, 41: 1}}, sample()); diff != "" {
		t.Errorf("what was added has changed:\n%s", diff)
	}
}

func TestCountsAdd(t *testing.T) {
	a := Counts{ISA: SVM, Values: map[string]uint64{"halts": 1}, Ports: map[Port]uint64{{1, true}: 1},
		Exits: map[string]Histogram{"io": sample()}, UserExitCounts: map[string]uint64{"io": 2}}
	var sum Counts
	sum.Add(a)
	sum.Add(a)
	if sum.ISA != SVM || sum.Values["halts"] != 2 || sum.Ports[Port{1, true}] != 2 || sum.Exits["io"].Count != 20 || sum.UserExitCounts["io"] != 4 {
		t.Errorf("twice %+v is %+v", a, sum)
	}
	if a.Exits["io"].Count != 10 || a.Exits["io"].Buckets[0] != 4 {
		t.Errorf("what was added has changed: %+v", a)
	}
}

// one is a collector of a single metric.
type one struct {
	desc   *prometheus.Desc
	metric prometheus.Metric
}

func (o one) Describe(ch chan<- *prometheus.Desc) { ch <- o.desc }
func (o one) Collect(ch chan<- prometheus.Metric) { ch <- o.metric }

// TestMetricIsANativeHistogram: what client_model carries decodes to the same
// buckets, and holds together by itself.
func TestMetricIsANativeHistogram(t *testing.T) {
	desc := prometheus.NewDesc("ukprobe_test_seconds", "Help.", []string{"reason"}, nil)
	for name, h := range map[string]Histogram{"sample": sample(), "empty": {Schema: 3}, "zeros": {Schema: 5, Count: 4, Zero: 4}, "one": {Schema: 3, Count: 1, SumNS: 7, Buckets: map[int]uint64{-200: 1}}} {
		t.Run(name, func(t *testing.T) {
			registry := prometheus.NewPedanticRegistry()
			if err := registry.Register(one{desc, h.Both(desc, time.Unix(1, 0), "io")}); err != nil {
				t.Fatal(err)
			}
			families, err := registry.Gather()
			if err != nil {
				t.Fatal(err)
			}
			got := families[0].GetMetric()[0].GetHistogram()
			checkHistogram(t, got)
			if got.GetSampleCount() != h.Count || got.GetSampleSum() != float64(h.SumNS)/1e9 || got.GetZeroCount() != h.Zero || int(got.GetSchema()) != h.Schema {
				t.Errorf("got %v, want %+v", got, h)
			}
			buckets := map[int]uint64{}
			for i, n := range nativeBuckets(got) {
				if n > 0 {
					buckets[i] = n
				}
			}
			want := h.Buckets
			if want == nil {
				want = map[int]uint64{}
			}
			if diff := cmp.Diff(want, buckets); diff != "" {
				t.Errorf("buckets (-want +got):\n%s", diff)
			}
		})
	}
	if m := (Histogram{}).Both(desc, time.Unix(1, 0), "io", "too many"); m.Write(&dto.Metric{}) == nil {
		t.Error("labels that do not fit are no error")
	}
}

// nativeBuckets undoes the encoding: spans of indexes, deltas of counts.
func nativeBuckets(h *dto.Histogram) map[int]uint64 {
	out := map[int]uint64{}
	index, next, n := 0, 0, int64(0)
	for _, span := range h.GetPositiveSpan() {
		index += int(span.GetOffset())
		for range span.GetLength() {
			n += h.GetPositiveDelta()[next]
			out[index] = uint64(n)
			index, next = index+1, next+1
		}
	}
	return out
}

// checkHistogram holds a histogram against the rules of Prometheus: the count is
// the sum of the native buckets, and the classic ones rise up to it.
func checkHistogram(t *testing.T, h *dto.Histogram) {
	t.Helper()
	sum := h.GetZeroCount()
	for _, n := range nativeBuckets(h) {
		sum += n
	}
	if sum != h.GetSampleCount() {
		t.Errorf("count %d, the native buckets hold %d", h.GetSampleCount(), sum)
	}
	if len(h.GetBucket()) == 0 {
		t.Error("no classic buckets for old servers")
	}
	bound, n := math.Inf(-1), uint64(0)
	for _, b := range h.GetBucket() {
		if b.GetUpperBound() <= bound || b.GetCumulativeCount() < n || b.GetCumulativeCount() > h.GetSampleCount() {
			t.Errorf("classic bucket %v after bound %v and count %d of %d", b, bound, n, h.GetSampleCount())
		}
		bound, n = b.GetUpperBound(), b.GetCumulativeCount()
	}
}
