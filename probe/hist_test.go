// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
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
func clientIndex(t *testing.T, schema int, ns uint64) int {
	t.Helper()
	h := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "x", NativeHistogramBucketFactor: 1.000001 * math.Exp2(math.Ldexp(1, -schema)), NativeHistogramZeroThreshold: prometheus.NativeHistogramZeroThresholdZero})
	h.Observe(float64(ns) / 1e9)
	var m dto.Metric
	if err := h.Write(&m); err != nil {
		t.Fatal(err)
	}
	if got := m.Histogram.GetSchema(); int(got) != schema {
		t.Fatalf("client_golang chose schema %d", got)
	}
	return int(m.Histogram.PositiveSpan[0].GetOffset())
}

// values are all the interesting ones: around every bound, powers of two and
// ten, and random ones of every size.
func values(schema int) []uint64 {
	vs := []uint64{1, 2, 3, 31_999_999_999, 32_000_000_000}
	for i := histMinIndex(schema); i <= histMinIndex(schema)+histBuckets(schema); i++ {
		b := math.Exp2(float64(i)/float64(int(1)<<schema)) * 1e9
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

// histPrograms are the test programs of the histogram, on maps for a schema.
type histPrograms struct {
	*loader
	index, observe *ebpf.Program
}

func loadHistTest(t testing.TB, schema int) *histPrograms {
	t.Helper()
	needRoot(t)
	spec, err := bpf.LoadHistTest()
	if err != nil {
		t.Fatal(err)
	}
	l := &loader{slots: 1, schema: schema, cache: btf.NewCache(), maps: map[string]*ebpf.Map{}, specs: map[object]*ebpf.CollectionSpec{objTest: spec}}
	if err := errors.Join(l.setConstants(), l.createMaps()); err != nil {
		t.Fatal(err)
	}
	h := &histPrograms{loader: l}
	for name, prog := range map[string]**ebpf.Program{bpf.HistTestProgTestHistIndex: &h.index, bpf.HistTestProgTestHistObserve: &h.observe} {
		if *prog, err = l.load(objTest, name, ""); err != nil {
			t.Fatalf("%+v", err)
		}
	}
	t.Cleanup(func() { _, _, _ = h.index.Close(), h.observe.Close(), l.Close() })
	return h
}

func eachSchema(t *testing.T, test func(t *testing.T, schema int)) {
	t.Helper()
	for schema := MinSchema; schema <= MaxSchema; schema++ {
		t.Run(strconv.Itoa(schema), func(t *testing.T) { test(t, schema) })
	}
}

func TestHistogramIndexIsClientGolangs(t *testing.T) {
	eachSchema(t, func(t *testing.T, schema int) {
		objs := loadHistTest(t, schema)
		for _, ns := range values(schema) {
			opts := ebpf.RunOptions{Data: packet(ns), DataOut: make([]byte, 128)}
			ret, err := objs.index.Run(&opts)
			if err != nil || ret != 0 {
				t.Fatalf("run for %d ns: returned %d, %v", ns, ret, err)
			}
			got := int(int64(binary.NativeEndian.Uint64(opts.DataOut[14:])))
			if want := clientIndex(t, schema, ns); got != want {
				t.Errorf("%d ns: index %d, client_golang says %d", ns, got, want)
			}
		}
	})
}

func TestHistogramObserve(t *testing.T) {
	eachSchema(t, func(t *testing.T, schema int) {
		objs := loadHistTest(t, schema)
		vs := append([]uint64{0, 0, 33e9, 100e9}, values(schema)[:500]...)
		for _, ns := range vs {
			if ret, err := objs.observe.Run(&ebpf.RunOptions{Data: packet(ns)}); err != nil || ret != 0 {
				t.Fatalf("observe %d ns: returned %d, %v", ns, ret, err)
			}
		}
		p := &Probe{loader: objs.loader}
		h, events, err := p.readHist(bpf.KVMMapExitHist, 0)
		if err != nil {
			t.Fatal(err)
		}
		var sum uint64
		for _, ns := range vs {
			sum += ns
		}
		if h.Count != uint64(len(vs)) || events != h.Count || h.SumNS != sum || h.Zero != 2 || h.Schema != schema {
			t.Errorf("count %d, events %d, sum %d, zero %d, schema %d; want %d, the same, %d, 2, %d", h.Count, events, h.SumNS, h.Zero, h.Schema, len(vs), sum, schema)
		}
		if over := h.Buckets[histMinIndex(schema)+histBuckets(schema)-1]; over < 2 {
			t.Errorf("overflow bucket holds %d, want the 2 above 32 s", over)
		}
		checkQuantiles(t, h, vs)
	})
}

// checkQuantiles holds the histogram's quantiles against the exact ones.
func checkQuantiles(t *testing.T, h Histogram, vs []uint64) {
	t.Helper()
	slices.Sort(vs)
	for _, q := range []float64{0.1, 0.5, 0.9} {
		exact := float64(vs[int(math.Ceil(q*float64(len(vs))))-1])
		got := float64(h.Quantile(q))
		if width := math.Exp2(math.Ldexp(1, -h.Schema)); got < exact*0.999-1 || got > exact*width*1.001+1 {
			t.Errorf("quantile %v: %v, exact %v: not within one bucket", q, got, exact)
		}
	}
}

func BenchmarkHistogramObserve(b *testing.B) {
	objs := loadHistTest(b, DefaultSchema)
	_, d, err := objs.observe.Benchmark(packet(123456), b.N, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(d.Nanoseconds()), "ns/observe")
}
