// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"strings"
	"testing"
	"time"

	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/orchestrate/workload"
	"github.com/ukprobe/ukprobe/probe"
)

// A latency of zero is a clock that does not tell it, not a latency; flushes have no bytes.
func TestFioFigures(t *testing.T) {
	l := &Live{Sample: &Sample{}}
	l.fioFigures("block_512_", workload.FioResult{Kind: "randread", BlockBytes: 512, Count: 10, Bytes: 5120, Duration: 2 * time.Second,
		Latency: map[string]time.Duration{"mean": time.Millisecond, "p50": 0}})
	l.fioFigures("", workload.FioResult{Kind: "fsync", BlockBytes: 512, Count: 9, Latency: map[string]time.Duration{"p50": time.Second}})
	want := map[string]float64{
		"block_512_block_bytes": 512, "block_bytes": 512, "block_512_reads": 10, "block_512_reads_per_second": 5, "block_512_read_bytes": 5120, "block_512_read_bytes_per_second": 2560,
		"block_512_read_latency_mean_ns": 1e6, "flushes": 9, "flush_latency_p50_ns": 1e9,
	}
	for name, v := range l.Sample.Values {
		if w, ok := want[name]; !ok || w != v {
			t.Errorf("%s is %v, want %v", name, v, w)
		}
	}
	if len(l.Sample.Values) != len(want) {
		t.Errorf("values %v", l.Sample.Values)
	}
	if m := l.Sample.Lacking; len(m) != 1 || m[0].Name != "block_512_read_latency_p50_ns" || !strings.Contains(m[0].Reason, "clock") {
		t.Errorf("missing %v", m)
	}
}

// Without BPF there is nothing of the host's, and the reason is told.
func TestHostFiguresMissing(t *testing.T) {
	b := &Boot{DiskIO: true}
	b.Settings.Probes = matrix.ProbesNone
	l := &Live{Sample: &Sample{}}
	_, l.Sample.noDisk = b.disk(nil, platform.Launch{}, "")
	if err := l.hostFigures(probe.DiskIO{}, false); err != nil {
		t.Fatal(err)
	}
	if len(l.Sample.Values) != 0 || len(l.Sample.Lacking) != 3 || !strings.Contains(l.Sample.Lacking[0].Reason, "--probes none") {
		t.Errorf("%v, missing %v", l.Sample.Values, l.Sample.Lacking)
	}
}
