// SPDX-License-Identifier: Apache-2.0

package report

import (
	"strings"
	"testing"

	"github.com/ukprobe/ukprobe/results"
)

func TestQuantity(t *testing.T) {
	for _, tt := range []struct {
		metric string
		v      float64
		want   string
	}{
		{"file_bytes", 0, "0 B"}, {"file_bytes", 1023, "1023 B"}, {"file_bytes", 1 << 20, "1.00 MiB"}, {"file_bytes", 13970224, "13.3 MiB"},
		{"read_bytes_per_second", 1 << 30, "1.00 GiB/s"}, {"latency_p99_ns", 1.5e6, "1.50 ms"}, {"cpu_percent", 12.34, "12.3 %"},
		{"entropy_bits", 8.5, "8.50 bit"}, {"requests_per_second", 98234.5, "98.2 k"}, {"requests_per_second", 123.4, "123"},
		{"instances", 17, "17"}, {"errors", 0, "0"}, {"errors", 2.5, "2.50"}, {"instances", 1234567, "1.23 M"},
	} {
		if got := (Options{}).quantity(tt.metric, tt.v); got != tt.want {
			t.Errorf("%s %v: %q, want %q", tt.metric, tt.v, got, tt.want)
		}
	}
}

// TestExperimentTable: an experiment's own columns, with their units; a cell that has
// not been measured says why.
func TestExperimentTable(t *testing.T) {
	cell := func(app, status, reason string, values ...float64) results.Cell {
		c := results.Cell{System: "linux", App: app, Platform: "qemu1nic", Experiment: "throughput", Accel: "kvm", Status: status, Reason: reason}
		for _, v := range values {
			c.Samples = append(c.Samples, results.Sample{Status: results.SampleOK, Values: map[string]float64{"requests_per_second": v, "latency_p50_ns": 2e5, "errors": 0}})
		}
		c.Summary = c.Summarize()
		return c
	}
	f := &results.File{Cells: []results.Cell{
		cell("nginx", results.CellOK, "", 11000, 12000, 13000, 12500, 11500, 12100),
		cell("hello", results.CellUnsupported, "hello serves nothing"),
	}}
	var b strings.Builder
	if err := Table(&b, f, Options{Width: 120}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"throughput, accelerator kvm", "requests/s", "12.1 k", "200 µs", "unsupported: hello serves nothing", "exits/req"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "firmware") {
		t.Errorf("a boot's columns in\n%s", b.String())
	}
}

// TestImageSizeTable: parts of an image, and by a footnote what no figure says; nothing
// is a median.
func TestImageSizeTable(t *testing.T) {
	c := results.Cell{System: "unikraft", App: "nginx", Platform: "qemu", Experiment: "image-size", Accel: "none", Probes: "none", Status: results.CellOK,
		Settings: &results.Settings{Image: "nginx-lto"},
		Samples: []results.Sample{{Status: results.SampleOK, Values: map[string]float64{"file_bytes": 1 << 20, "unikernel_bytes": 1 << 20, "unikernel_stripped_bytes": 1 << 19},
			Facts: map[string]string{"unikernel_stripped": "no: symbols", "optimisations": "LTO", "libc": "not known"}}}}
	c.Summary = c.Summarize()
	var b strings.Builder
	if err := Table(&b, &results.File{Cells: []results.Cell{c}}, Options{Width: 160}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"image-size\n", "unikernel", "1.00 MiB", "nginx-lto", "stripped: no: symbols (512 KiB without); optimisations LTO; C library not known"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "median") || strings.Contains(b.String(), "clock") {
		t.Errorf("medians or clocks in\n%s", b.String())
	}
}

func TestTaintsWithoutTheirFigures(t *testing.T) {
	for in, want := range map[string]string{
		"foreign task cc1 ran 34.1ms (3.4 %) on cpu 1":                                                   "foreign task cc1 on cpu 1",
		"foreign tasks and interrupts ran 970µs (1.2 %) on cpu 1, the most of it foreign task a (0.7 %)": "foreign tasks and interrupts on cpu 1, the most of it foreign task a",
		"the hypervisor below took 1m0.2s (4.0 %) of cpu 1 (steal)":                                      "the hypervisor below of cpu 1 (steal)",
		"vcpu and vmm share cpu 1":                                                                       "vcpu and vmm share cpu 1",
	} {
		if got := kindOfTaint(in); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}
