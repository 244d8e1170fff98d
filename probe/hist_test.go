// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/ukprobe/ukprobe/bpf"
)

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root for BPF")
	}
	if err := rlimit.RemoveMemlock(); err != nil {
		t.Fatal(err)
	}
}

// packet is an Ethernet frame that carries a u64 behind its header.
func packet(n uint64) []byte {
	p := make([]byte, 64)
	binary.NativeEndian.PutUint64(p[14:], n)
	return p
}

// clientIndex asks client_golang itself into which native bucket it puts ns.
func clientIndex(t *testing.T, ns uint64) int {
	t.Helper()
	h := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "x", NativeHistogramBucketFactor: math.Exp2(1.0 / (1 << HistogramSchema)), NativeHistogramZeroThreshold: prometheus.NativeHistogramZeroThresholdZero})
	h.Observe(float64(ns) / 1e9)
	var m dto.Metric
	if err := h.Write(&m); err != nil {
		t.Fatal(err)
	}
	if got := m.Histogram.GetSchema(); got != HistogramSchema {
		t.Fatalf("client_golang chose schema %d", got)
	}
	return int(m.Histogram.PositiveSpan[0].GetOffset())
}

// values are all the interesting ones: around every bound, powers of two and
// ten, and random ones of every size.
func values() []uint64 {
	vs := []uint64{1, 2, 3, 31_999_999_999, 32_000_000_000}
	for i := histMinIndex; i <= histMinIndex+histBuckets; i++ {
		b := math.Exp2(float64(i)/(1<<HistogramSchema)) * 1e9
		for d := -2.0; d <= 2; d++ {
			if v := b + d; v >= 1 {
				vs = append(vs, uint64(v))
			}
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		vs = append(vs, 1+r.Uint64()>>(29+r.IntN(34)))
	}
	return vs
}

func TestHistogramIndexIsClientGolangs(t *testing.T) {
	needRoot(t)
	var objs bpf.HistTestObjects
	if err := bpf.LoadHistTestObjects(&objs, nil); err != nil {
		t.Fatal(err)
	}
	defer objs.Close()
	for _, ns := range values() {
		opts := ebpf.RunOptions{Data: packet(ns), DataOut: make([]byte, 128)}
		ret, err := objs.TestHistIndex.Run(&opts)
		if err != nil || ret != 0 {
			t.Fatalf("run for %d ns: returned %d, %v", ns, ret, err)
		}
		got := int(int64(binary.NativeEndian.Uint64(opts.DataOut[14:])))
		if want := clientIndex(t, ns); got != want {
			t.Errorf("%d ns: index %d, client_golang says %d", ns, got, want)
		}
	}
}

func TestHistogramObserve(t *testing.T) {
	needRoot(t)
	var objs bpf.HistTestObjects
	if err := bpf.LoadHistTestObjects(&objs, nil); err != nil {
		t.Fatal(err)
	}
	defer objs.Close()
	vs := append([]uint64{0, 0, 33e9, 100e9}, values()[:500]...)
	for _, ns := range vs {
		if ret, err := objs.TestHistObserve.Run(&ebpf.RunOptions{Data: packet(ns)}); err != nil || ret != 0 {
			t.Fatalf("observe %d ns: returned %d, %v", ns, ret, err)
		}
	}
	p := &Probe{loader: &loader{maps: map[string]*ebpf.Map{bpf.KVMMapExitHist: objs.ExitHist}}}
	h, err := p.readHist(bpf.KVMMapExitHist, 0)
	if err != nil {
		t.Fatal(err)
	}
	var sum uint64
	for _, ns := range vs {
		sum += ns
	}
	if h.Count != uint64(len(vs)) || h.SumNS != sum || h.Zero != 2 {
		t.Errorf("count %d, sum %d, zero %d; want %d, %d, 2", h.Count, h.SumNS, h.Zero, len(vs), sum)
	}
	if over := h.Buckets[histMinIndex+histBuckets-1]; over < 2 {
		t.Errorf("overflow bucket holds %d, want the 2 above 32 s", over)
	}
	checkQuantiles(t, h, vs)
}

// checkQuantiles holds the histogram's quantiles against the exact ones.
func checkQuantiles(t *testing.T, h Histogram, vs []uint64) {
	t.Helper()
	slices.Sort(vs)
	for _, q := range []float64{0.1, 0.5, 0.9} {
		exact := float64(vs[int(math.Ceil(q*float64(len(vs))))-1])
		got := float64(h.Quantile(q))
		if width := math.Exp2(1.0 / (1 << HistogramSchema)); got < exact*0.999-1 || got > exact*width*1.001+1 {
			t.Errorf("quantile %v: %v, exact %v: not within one bucket", q, got, exact)
		}
	}
}

func BenchmarkHistogramObserve(b *testing.B) {
	needRoot(b)
	var objs bpf.HistTestObjects
	if err := bpf.LoadHistTestObjects(&objs, nil); err != nil {
		b.Fatal(err)
	}
	defer objs.Close()
	_, d, err := objs.TestHistObserve.Benchmark(packet(123456), b.N, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(d.Nanoseconds()), "ns/observe")
}
