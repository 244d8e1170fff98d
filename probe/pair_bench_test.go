// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"testing"

	"github.com/ukprobe/ukprobe/bpf"
)

// BenchmarkExitPair is the time of the programs of an exit and the entry after it,
// of what of that are the two clocks, and of a program that does nothing.
func BenchmarkExitPair(b *testing.B) {
	for _, bm := range []struct {
		name, program string
		watched       bool
	}{
		{"watched", bpf.HistTestProgTestExitPair, true}, {"of another guest", bpf.HistTestProgTestExitPair, false},
		{"two clocks", bpf.HistTestProgTestTwoClocks, false}, {"nothing", bpf.HistTestProgTestNothing, false},
	} {
		b.Run(bm.name, func(b *testing.B) {
			bench := newBench(b, 2, SVM)
			if bm.watched {
				bench.open(Target{CgroupID: ownCgroup(b), KVM: true})
			}
			prog, err := bench.loader.load(objTest, bm.program, "")
			if err != nil {
				b.Skipf("needs Linux 6.10 for the thread's id in tc programs: %v", err)
			}
			defer prog.Close()
			_, d, err := prog.Benchmark(make([]byte, 64), b.N, nil)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(d.Nanoseconds()), "ns/pair")
		})
	}
}
