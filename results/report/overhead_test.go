// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/ukprobe/ukprobe/results"
)

// TestOverheadLine: the line says what the levels in use cost, or why that is not
// known; old files and runs without probes have none.
func TestOverheadLine(t *testing.T) {
	when, v := time.Date(2026, 11, 23, 6, 0, 0, 0, time.UTC), func(f float64) *float64 { return &f }
	cost := func(lo, ratio, hi float64) map[string]results.OverheadCost { // of a boot of 100 ms
		ms := func(ratio float64) float64 { return math.Round((ratio-1)*1e4) * 1e4 }
		return map[string]results.OverheadCost{"boot": {Ratio: v(ratio), ExtraNs: v(ms(ratio)), RatioCI95: &[2]float64{lo, hi}, ExtraCI95: &[2]float64{ms(lo), ms(hi)}}}
	}
	with := func(rounds int, control, boot map[string]results.OverheadCost) *results.Overhead {
		return &results.Overhead{Measured: &when, Rounds: rounds, Conditions: []results.OverheadCondition{{Name: "none again", Cost: control}, {Name: "boot", Cost: boot}}}
	}
	const before = "Overhead of the probes, measured here on 2026-11-23 in "
	quiet := cost(0.96, 1, 1.02)
	measured := with(8, quiet, cost(1.03, 1.05, 1.08))
	measured.Conditions = append(measured.Conditions, results.OverheadCondition{Name: "full", Rungs: map[string]string{"kvm_pio": "tp_btf"}, Cost: cost(0.9, 0.94, 0.97)})
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
		{"boot", measured, []string{"boot", "none", "boot"}, "", before + "8 rounds: a boot with probes boot takes 5.00 ms (5.00 %) longer, at most 8.00 ms; differences under 4.00 % mean nothing."},
		{"both levels", measured, []string{"boot", "full"}, "tp_btf", before + "8 rounds: a boot with probes boot takes 5.00 ms (5.00 %) longer, at most 8.00 ms; " +
			"a boot with probes full takes 6.00 ms (6.00 %) less; differences under 4.00 % mean nothing."},
		{"other rungs", measured, []string{"full"}, "kprobe", before + "8 rounds: probes full: not measured with these rungs; differences under 4.00 % mean nothing."},
		{"no difference to see", with(8, quiet, cost(0.98, 1.05, 1.1)), []string{"boot"}, "", before + "8 rounds: what a boot with probes boot takes longer could not be told: between -2.00 ms and 10.0 ms; differences under 4.00 % mean nothing."},
		{"a difference within the noise", with(8, quiet, cost(1.01, 1.03, 1.05)), []string{"boot"}, "", before + "8 rounds: what a boot with probes boot takes longer could not be told: less than two equal boots differ by; differences under 4.00 % mean nothing."},
		{"a restless machine", with(8, cost(0.7, 1, 1.2), cost(1.4, 1.5, 1.6)), []string{"boot"}, "", before + "8 rounds: what a boot with probes boot takes longer could not be told: the machine was too restless; differences under 30.0 % mean nothing."},
		{"few rounds", with(2, nil, map[string]results.OverheadCost{"boot": {Ratio: v(1.1), ExtraNs: v(2e6)}}), []string{"boot"}, "", before + "2 rounds: what a boot with probes boot takes longer could not be told: fewer than 6 rounds."},
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
