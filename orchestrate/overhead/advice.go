// SPDX-License-Identifier: Apache-2.0

package overhead

import (
	"fmt"
	"strings"

	"github.com/ukprobe/ukprobe/internal/units"
	"github.com/ukprobe/ukprobe/results"
)

// advice says in plain words what figures of this machine should be read with.
func advice(o *results.Overhead) string {
	if o.Rounds < MinRounds {
		return strings.TrimSpace(fmt.Sprintf("Fewer than %d rounds: nothing can be concluded. Measure again with --rounds %d or more. %s", MinRounds, MinRounds, disturbance(o)))
	}
	parts := []string{"How to read figures of this machine:"}
	if part, ok := o.Noise(results.OverheadBootWall); ok && o.Restless() {
		parts = []string{fmt.Sprintf("The machine was too restless for a figure to rely on: boots under equal conditions differed by up to %s %%. Measure again when nothing else runs. Until then:", number(part*100))}
	}
	if s := boots(o); s != "" {
		parts = append(parts, s)
	}
	if s := exits(o); s != "" {
		parts = append(parts, s)
	}
	if c, ok := o.Condition(results.OverheadBystander); ok {
		parts = append(parts, fmt.Sprintf("For a guest that is not watched itself a port write costs %s more while another one is watched.", extra(c.Cost[results.OverheadPortWrite])))
	}
	if boot, ok := o.Noise(results.OverheadBootWall); ok {
		port, _ := o.Noise(results.OverheadPortWrite)
		parts = append(parts, fmt.Sprintf("Differences of less than %s %% between boots (%s %% between port writes) mean nothing here: two equal conditions could differ by that much.", number(boot*100), number(port*100)))
	}
	if s := disturbance(o); s != "" {
		parts = append(parts, s)
	}
	parts = append(parts, "It is one guest on one VMM: another guest pays for the exits that it has.")
	return strings.Join(parts, " ")
}

// disturbance says how often others' programs came or went, whatever else can be
// told.
func disturbance(o *results.Overhead) string {
	if o.Disturbed == 0 {
		return ""
	}
	return fmt.Sprintf("After %d of %d conditions other BPF programs were loaded than before: end what attaches them and measure again.", o.Disturbed, measured(o))
}

// boots says what a boot costs at each level.
func boots(o *results.Overhead) string {
	var out []string
	for _, level := range []string{results.OverheadBoot, results.OverheadFull} {
		if c, ok := o.Condition(level); ok {
			out = append(out, fmt.Sprintf("a boot measured with --probes %s %s", level, atMost(c.Cost[results.OverheadBootWall])))
		}
	}
	return join(out)
}

// atMost reads the upper end of the interval.
func atMost(c results.OverheadCost) string {
	if c.ExtraCI95 == nil || c.RatioCI95 == nil {
		return "was not measured often enough"
	}
	if c.ExtraCI95[1] <= 0 {
		return "took no longer than one with nothing attached"
	}
	return fmt.Sprintf("takes at most %s (%s %%) longer than with nothing attached", duration(c.ExtraCI95[1]), number((c.RatioCI95[1]-1)*100))
}

// exits says what an event costs at --probes full, else boot.
func exits(o *results.Overhead) string {
	c, ok := o.Condition(results.OverheadFull)
	if !ok {
		if c, ok = o.Condition(results.OverheadBoot); !ok {
			return ""
		}
	}
	return fmt.Sprintf("With --probes %s an exit to the VMM and back (port write) costs %s more, one that KVM handles itself (CPUID) %s.",
		c.Name, extra(c.Cost[results.OverheadPortWrite]), extra(c.Cost[results.OverheadCPUID]))
}

// extra shows a difference with its interval, or that there is none to see.
func extra(c results.OverheadCost) string {
	if c.ExtraNs == nil || c.ExtraCI95 == nil {
		return "an unknown time"
	}
	between := fmt.Sprintf("between %s and %s", duration(c.ExtraCI95[0]), duration(c.ExtraCI95[1]))
	if c.ExtraCI95[0] <= 0 && 0 <= c.ExtraCI95[1] {
		return "nothing that can be told from chance (" + between + ")"
	}
	return duration(*c.ExtraNs) + " (" + between + ")"
}

func duration(ns float64) string { return units.Style{}.Duration(ns) }

func join(clauses []string) string {
	if len(clauses) == 0 {
		return ""
	}
	return strings.Join(clauses, "; ") + "."
}

// measured is how many times a condition was run for the figure.
func measured(o *results.Overhead) int {
	n := 0
	for _, c := range o.Conditions {
		if c.Missing == "" {
			n += o.Rounds
		}
	}
	return n
}
