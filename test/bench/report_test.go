// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/internal/paired"
	"github.com/ukprobe/ukprobe/orchestrate/overhead/rig"
)

// fixed is a run whose probes cost a tenth, and a bystander whose cost is nothing.
func fixed() slowdown {
	s := slowdown{Seed: 1, TicksPerNS: 2, Rounds: 8, Samples: map[string]map[string][]times{"port write": {}},
		Conditions: []conditionInfo{
			{Name: none, What: "no program attached"},
			{Name: "auto", What: "all hooks", Rungs: map[string]string{"a": "tp_btf", "b": "raw_tp", "c": "tp_btf"}},
			{Name: "kprobe", What: "hooks by kprobe", Missing: "kvm_run: no kprobes"},
		},
		Workloads: []workloadInfo{{Name: "port write", Cmdline: "pio=100", Ops: 100}},
	}
	for _, c := range withoutTool([]rig.Condition{{Name: none}, {Name: "bystander"}, {Name: "auto"}}) {
		s.have = append(s.have, c)
		for i := range uint64(8) {
			ticks := 200_000 + 100*(i%3)
			if c.Name == "auto" {
				ticks += 20_000
			}
			s.Samples["port write"][c.Name] = append(s.Samples["port write"][c.Name],
				times{Times: rig.Times{Ticks: ticks}, CPU: time.Duration(ticks)})
		}
	}
	return s
}

func TestWriteSlowdown(t *testing.T) {
	var out strings.Builder
	writeSlowdown(&out, fixed())
	want := `
Slowdown of the reference guest (microvm), probes on against off
n = 8 rounds, seed 1, 0 conditions run again (other BPF programs came or went); the guest's TSC runs at 2000.0 MHz
  none                 no program attached
  auto                 all hooks (hooks: 1 raw_tp, 2 tp_btf)
  kprobe               not here: kvm_run: no kprobes

ns per port write (guest: "pio=100")
 condition  median [95 %]      ratio to none [95 %]    more than none [95 %]  ratio of QEMU's CPU time [95 %]
──────────────────────────────────────────────────────────────────────────────────────────────────────────────
 none       1000 [1000, 1001]
 bystander  1000 [1000, 1001]  ~ 1.000 [1.000, 1.000]  ~ 0.0 [0.0, 0.0]       ~ 1.000 [1.000, 1.000]
 auto       1100 [1100, 1101]  1.100 [1.100, 1.100]    100 [100, 100]         1.100 [1.100, 1.100]
`
	got := trimLines(out.String())
	if diff := cmp.Diff(trimLines(want), got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// trimLines takes the padding from the ends of lines.
func trimLines(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		b.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	return b.String()
}

// Too few rounds for an interval: it is shown as infinite, the two as not told apart.
func TestRatioOfFewRounds(t *testing.T) {
	c := paired.Compare([]float64{1, 1, 1, 1, 1}, []float64{9, 9, 9, 9, 9}, rand.New(rand.NewPCG(9, 9)))
	if got, want := ratio(c), "~ 9.000 ± ∞"; got != want {
		t.Errorf("printed as %q, want %q", got, want)
	}
}

// A run in which two equal conditions differ says so.
func TestControlWarns(t *testing.T) {
	s := fixed()
	s.have = append(s.have, condition{Condition: rig.Condition{Name: control}})
	for _, differs := range []bool{false, true} {
		from := none
		if differs {
			from = "auto"
		}
		s.Samples["port write"][control] = s.Samples["port write"][from]
		var out strings.Builder
		writeWorkload(&out, s, s.Workloads[0])
		if got := strings.Contains(out.String(), "warning: "); got != differs {
			t.Errorf("control differs %v: warned %v:\n%s", differs, got, out.String())
		}
	}
}
