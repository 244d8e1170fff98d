// SPDX-License-Identifier: Apache-2.0

package results

import (
	"math"
	"testing"
	"time"
)

// anOverhead uses every field but the reason.
func anOverhead() *Overhead {
	when, f := time.Date(2026, 11, 23, 6, 0, 0, 0, time.UTC), 1.25
	cost := func(lo, hi float64) map[string]OverheadCost {
		return map[string]OverheadCost{OverheadBootWall: {MedianNs: 1e8, Ratio: &f, RatioCI95: &[2]float64{lo, hi}, ExtraNs: &f, ExtraCI95: &[2]float64{-1, 3}}}
	}
	tp, raw := map[string]string{"kvm_pio": "tp_btf", "sched_exec": "tp_btf"}, map[string]string{"kvm_pio": "raw_tp", "sched_exec": "raw_tp"}
	return &Overhead{Measured: &when, Rounds: 8, Seed: math.MaxUint64, Disturbed: 1, Foreign: 2,
		Conditions: []OverheadCondition{
			{Name: OverheadNone, Cost: map[string]OverheadCost{OverheadBootWall: {MedianNs: 1e8}}},
			{Name: OverheadControl, Cost: cost(0.97, 1.02)}, {Name: OverheadBystander, Rungs: tp, Cost: cost(1, 1)},
			{Name: OverheadBoot, Rungs: tp, Cost: cost(1, 2)}, {Name: OverheadFull, Rungs: tp, Cost: cost(1, 2)},
			{Name: "fentry", Missing: "forbidden"}, {Name: "raw_tp", Rungs: raw, Cost: cost(1, 2)},
		},
		Programs: []OverheadProgram{{Hook: "kvm_pio", Rung: "tp_btf", Program: "tp_btf_pio", Runs: 9, NsRun: 12.5}}}
}

func TestNoise(t *testing.T) {
	if part, ok := anOverhead().Noise(OverheadBootWall); !ok || math.Abs(part-0.03) > 1e-9 {
		t.Errorf("interval 0.97 to 1.02: %v, %v, want 0.03", part, ok)
	}
	for name, o := range map[string]*Overhead{"no control": {}, "no interval": {Conditions: []OverheadCondition{{Name: OverheadControl}}},
		"control missing": {Conditions: []OverheadCondition{{Name: OverheadControl, Missing: "x"}}}} {
		if part, ok := o.Noise(OverheadBootWall); ok || part != 0 {
			t.Errorf("%s: %v, %v", name, part, ok)
		}
	}
}

// TestOverheadOf: a figure is for a level of probes and for the rungs that it was
// measured with.
func TestOverheadOf(t *testing.T) {
	host := func(rung string) *Host {
		return &Host{Overhead: anOverhead(), Rungs: map[string]Rung{"kvm_pio": {Rung: rung}, "sched_exec": {Rung: rung}, "tc_out": {Rung: "tcx"}}}
	}
	for _, tt := range []struct {
		host   *Host
		probes string
		want   string // "" for none
	}{
		{host("tp_btf"), ProbesBoot, "boot"}, {host("tp_btf"), ProbesFull, "full"}, {host("tp_btf"), ProbesNone, ""},
		{host("raw_tp"), ProbesBoot, "raw_tp"}, {host("raw_tp"), ProbesFull, ""}, {host("kprobe"), ProbesBoot, ""},
		{&Host{}, ProbesBoot, ""}, {&Host{Overhead: &Overhead{Reason: "x"}}, ProbesBoot, ""},
	} {
		got, ok := tt.host.OverheadOf(tt.probes)
		if got.Name != tt.want || ok != (tt.want != "") {
			t.Errorf("rungs %v, probes %s: %q, %v: want %q", tt.host.Rungs, tt.probes, got.Name, ok, tt.want)
		}
	}
}
