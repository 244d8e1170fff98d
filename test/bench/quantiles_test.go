// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math"
	"os/exec"
	"testing"

	"github.com/ukprobe/ukprobe/probe"
)

// histOf counts values as the kernel does.
func histOf(values []uint64) probe.Histogram {
	h := probe.Histogram{Schema: probe.DefaultSchema, Buckets: map[int]uint64{}}
	for _, v := range values {
		h.Count++
		h.SumNS += v
		h.Buckets[bucketOf(h.Schema, float64(v))]++
	}
	return h
}

func TestCompareSpans(t *testing.T) {
	var exact, later []uint64
	for i := range uint64(1000) {
		exact = append(exact, 1000+i)
		later = append(later, 1000+i+500)
	}
	spans := map[string][]uint64{"io": exact, "rare": {1, 2}}
	rows := compareSpans(map[string]probe.Histogram{"io": histOf(exact), "rare": histOf([]uint64{1, 2})}, spans)
	if len(rows) != 1 || rows[0].Reason != "io" || rows[0].N != 1000 || rows[0].Later != 0 {
		t.Fatalf("%+v: want one row, io", rows)
	}
	for _, p := range rows[0].At {
		if p.Buckets != 0 || p.Bound < p.Exact || p.Bound > p.Exact*math.Exp2(1.0/8) {
			t.Errorf("the same values: %+v", p)
		}
	}
	rows = compareSpans(map[string]probe.Histogram{"io": histOf(later)}, spans)
	if got := rows[0]; got.Later != 500 || got.At[0].Buckets < 3 || got.At[0].BucketsCorrected != 0 {
		t.Errorf("500 ns later: %+v", got)
	}
}

// TestQuantiles runs the section itself, whatever its figures are.
func TestQuantiles(t *testing.T) {
	needKVM(t)
	if _, err := exec.LookPath("perf"); err != nil {
		t.Skip("perf is missing: install the package linux-perf")
	}
	b, err := openBench(options{toolPIO: 2000, pio: 1, seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.close(); err != nil {
			t.Error(err)
		}
	}()
	q, err := b.quantiles(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if q.Lost != 0 || len(q.Rows) == 0 || q.Rows[0].N < 2000 || q.Rows[0].N != q.Rows[0].TraceN {
		t.Errorf("%+v: want as many spans in the histogram as in the trace, at least 2000, and none lost", q)
	}
}
