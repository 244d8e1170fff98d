// SPDX-License-Identifier: Apache-2.0

package rig

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/probe"
)

func TestWanting(t *testing.T) {
	hooks := []probe.HookStatus{
		{Hook: "sched_exec", Rung: probe.TPBTF},
		{Hook: "kvm_run", Refused: []probe.Refusal{{Rung: probe.Fentry, Reason: "forbidden"}, {Rung: probe.Kprobe, Reason: "no kprobes"}}},
		{Hook: "kvm_pio", Rung: probe.RawTP, Refused: []probe.Refusal{{Rung: probe.Fentry, Reason: "other"}}},
		{Hook: "syscall", Rung: probe.TPBTF, OnDemand: true},
	}
	for rung, want := range map[probe.Rung]string{
		"": "", probe.Auto: "", probe.TPBTF: "", probe.RawTP: "", probe.Fentry: "kvm_run: forbidden", probe.Kprobe: "kvm_run: no kprobes",
		probe.Tracepoint: "no hook has it",
	} {
		if got := (Condition{Attach: rung}).wanting(hooks); got != want {
			t.Errorf("%s: %q, want %q", rung, got, want)
		}
	}
	if diff := cmp.Diff(map[string]string{"sched_exec": "tp_btf", "kvm_pio": "raw_tp"}, rungsOf(hooks)); diff != "" {
		t.Errorf("rungs (-want +got):\n%s", diff)
	}
}

// TestSingleRungs: conditions by auto count only where there is no other.
func TestSingleRungs(t *testing.T) {
	none, bystander := Condition{Name: "none"}, Condition{Name: "bystander", Attach: probe.Auto}
	auto, full := Condition{Name: "auto", Attach: probe.Auto, Watch: true}, Condition{Name: "full", Attach: probe.Auto, Watch: true, Full: true}
	kprobe := Condition{Name: "kprobe", Attach: probe.Kprobe, Watch: true}
	for _, tt := range []struct{ have, want []Condition }{
		{[]Condition{none, bystander, auto, full, kprobe}, []Condition{kprobe}},
		{[]Condition{none, bystander, auto, full}, []Condition{auto, full}},
		{[]Condition{none, bystander}, nil},
	} {
		if diff := cmp.Diff(tt.want, SingleRungs(tt.have)); diff != "" {
			t.Errorf("of %v (-want +got):\n%s", tt.have, diff)
		}
	}
}
