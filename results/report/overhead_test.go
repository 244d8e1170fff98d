// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/ukprobe/ukprobe/results"
)

// TestOverheadLine: the line says what the levels in use cost, or why that is not
// known; old files and runs without probes have none.
func TestOverheadLine(t *testing.T) {
	when, v := time.Date(2026, 11, 23, 6, 0, 0, 0, time.UTC), func(f float64) *float64 { return &f }
	cost := func(ms, ratio, most float64) map[string]results.OverheadCost {
		return map[string]results.OverheadCost{"boot": {Ratio: v(ratio), ExtraNs: v(ms * 1e6), RatioCI95: &[2]float64{0.96, 1.02}, ExtraCI95: &[2]float64{0, most * 1e6}}}
	}
	measured := &results.Overhead{Measured: &when, Rounds: 8, Conditions: []results.OverheadCondition{
		{Name: "none again", Cost: cost(0, 1, 1)}, {Name: "boot", Cost: cost(1.5, 1.02, 3)}, {Name: "full", Rungs: map[string]string{"kvm_pio": "tp_btf"}, Cost: cost(-2, 0.97, -1)}}}
	few := &results.Overhead{Measured: &when, Rounds: 2, Conditions: []results.OverheadCondition{
		{Name: "boot", Cost: map[string]results.OverheadCost{"boot": {Ratio: v(1.1), ExtraNs: v(2e6)}}}}}
	for _, tt := range []struct {
		name   string
		cost   *results.Overhead
		levels []string
		rung   string
		want   string
	}{
		{"an old file", nil, []string{""}, "", ""},
		{"without probes", measured, []string{"none"}, "", ""},
		{"not measured", &results.Overhead{Reason: "not measured\x07 on this host: run `ukprobe overhead`"}, []string{"boot"}, "",
			"Overhead of the probes: not measured on this host: run `ukprobe overhead`."},
		{"boot", measured, []string{"boot", "none", "boot"}, "", "Overhead of the probes, measured here on 2026-11-23 in 8 rounds: a boot with probes boot takes 1.50 ms (2.00 %) longer, at most 3.00 ms; differences under 4.00 % mean nothing."},
		{"both levels", measured, []string{"boot", "full"}, "tp_btf", "Overhead of the probes, measured here on 2026-11-23 in 8 rounds: a boot with probes boot takes 1.50 ms (2.00 %) longer, at most 3.00 ms; " +
			"a boot with probes full takes -2.00 ms (-3.00 %) longer, at most -1.00 ms; differences under 4.00 % mean nothing."},
		{"other rungs", measured, []string{"full"}, "kprobe", "Overhead of the probes, measured here on 2026-11-23 in 8 rounds: probes full: not measured with these rungs; differences under 4.00 % mean nothing."},
		{"few rounds", few, []string{"boot"}, "", "Overhead of the probes, measured here on 2026-11-23 in 2 rounds: a boot with probes boot takes 2.00 ms (10.0 %) longer, with too few rounds for an interval."},
	} {
		f := &results.File{Host: results.Host{Overhead: tt.cost, Rungs: map[string]results.Rung{"kvm_pio": {Rung: tt.rung}}}}
		for _, level := range tt.levels {
			f.Cells = append(f.Cells, results.Cell{Probes: level, Samples: []results.Sample{boot(1, 1, 1)}})
		}
		if got := strings.Join((Options{}).overhead(f), "\n"); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.want)
		}
	}
}

// TestLevelsAreKeptApart: the same cell under two levels of probes stands in two
// blocks whose headings say which.
func TestLevelsAreKeptApart(t *testing.T) {
	f := &results.File{}
	for _, level := range []string{"boot", "none", "full"} {
		f.Cells = append(f.Cells, results.Cell{System: "reference", App: "hello", Platform: "qemu", Experiment: "boot", Accel: "kvm", Status: results.CellOK, Probes: level})
	}
	var b bytes.Buffer
	if err := Table(&b, f, Options{}); err != nil {
		t.Fatal(err)
	}
	for _, heading := range []string{"boot, accelerator kvm\n", "boot, accelerator kvm, probes none (user space's clock: upper bounds)\n", "boot, accelerator kvm, probes full\n"} {
		if strings.Count(b.String(), heading) != 1 {
			t.Errorf("no %q in\n%s", heading, b.String())
		}
	}
	if got := f.Cells[1].Name(); got != "reference/hello on qemu (kvm, probes none)" {
		t.Error(got)
	}
}
