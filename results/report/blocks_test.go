// SPDX-License-Identifier: Apache-2.0

package report

import (
	"strings"
	"testing"

	"github.com/ukprobe/ukprobe/results"
)

// TestQuantilesOfAnotherRun: it is said, with its rate.
func TestQuantilesOfAnotherRun(t *testing.T) {
	c := results.Cell{System: "linux", App: "dnsmasq", Platform: "qemu", Experiment: "dns", Accel: "kvm", Status: results.CellOK,
		Samples: []results.Sample{{Status: results.SampleOK, Values: map[string]float64{"requests_per_second": 9000, "quantiles_requests_per_second": 2500}}}}
	c.Summary = c.Summarize()
	var b strings.Builder
	if err := Table(&b, &results.File{Cells: []results.Cell{c}}, Options{Width: 200}); err != nil || !strings.Contains(b.String(), "[1] quantiles are of another run, at 2.50 k/s") {
		t.Errorf("%v\n%s", err, b.String())
	}
}

// TestBlockSizes: a row for each block size, with its own figures; what the host saw of
// all of them is shown once, and the cell's footnote too.
func TestBlockSizes(t *testing.T) {
	c := results.Cell{System: "linux", App: "fio", Platform: "qemu", Experiment: "fs", Accel: "kvm", Status: results.CellOK, Reason: "a remark",
		Settings: &results.Settings{Load: &results.Workload{BlockBytes: []int{4096, 65536}}},
		Samples: []results.Sample{{Status: results.SampleOK, Values: map[string]float64{
			"block_bytes": 4096, "block_4096_block_bytes": 4096, "block_65536_block_bytes": 65536,
			"read_latency_p50_ns": 1e6, "block_4096_read_latency_p50_ns": 1e6, "block_65536_read_latency_p50_ns": 7e6,
			"host_reads": 1234, "host_read_latency_p50_ns": 5e3}}}}
	c.Summary = c.Summarize()
	var b strings.Builder
	if err := Table(&b, &results.File{Cells: []results.Cell{c}}, Options{Width: 200}); err != nil {
		t.Fatal(err)
	}
	var rows []string
	for line := range strings.Lines(b.String()) {
		if strings.Contains(line, "fio") {
			rows = append(rows, line)
		}
	}
	if len(rows) != 2 {
		t.Fatalf("%d rows in\n%s", len(rows), b.String())
	}
	for i, want := range [][]string{{"4.00 KiB", "1.00 ms", "1234", "5.0"}, {"64.0 KiB", "7.00 ms"}} {
		for _, w := range want {
			if !strings.Contains(rows[i], w) {
				t.Errorf("row %d has no %q: %s", i, w, rows[i])
			}
		}
	}
	if strings.Contains(rows[1], "1234") || strings.Contains(rows[1], "1.00 ms") || strings.Count(b.String(), "a remark") != 1 || !strings.Contains(b.String(), "all jobs") {
		t.Errorf("\n%s", b.String())
	}
}
