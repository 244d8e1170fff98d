// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/ukprobe/ukprobe/results"
)

// overhead says in a line what the run's probes cost on its host, or why that is
// not known. Files from before it was measured say nothing, nor runs without probes.
func (o Options) overhead(f *results.File) []string {
	cost := f.Host.Overhead
	levels := probed(f.Cells)
	switch {
	case cost == nil || len(levels) == 0:
		return nil
	case cost.Reason != "":
		return []string{"Overhead of the probes: " + o.Clean(cost.Reason) + "."}
	}
	var parts []string
	for _, level := range levels {
		c, ok := f.Host.OverheadOf(level)
		if !ok {
			parts = append(parts, "probes "+o.Clean(level)+": not measured with these rungs")
			continue
		}
		parts = append(parts, o.longer(cost, o.Clean(level), c.Cost[results.OverheadBootWall]))
	}
	if part, ok := cost.Noise(results.OverheadBootWall); ok {
		parts = append(parts, fmt.Sprintf("differences under %s %% mean nothing", number(part*100)))
	}
	when := ""
	if cost.Measured != nil {
		when = " on " + cost.Measured.Format("2006-01-02")
	}
	return []string{fmt.Sprintf("Overhead of the probes, measured here%s in %d rounds: %s.", when, cost.Rounds, strings.Join(parts, "; "))}
}

// probed are the levels of probes that samples were taken with.
func probed(cells []results.Cell) []string {
	var out []string
	for i := range cells {
		level := cells[i].Probes
		if level == "" {
			level = results.ProbesBoot
		}
		if level != results.ProbesNone && len(cells[i].Samples) > 0 && !slices.Contains(out, level) {
			out = append(out, level)
		}
	}
	return out
}

// longer shows what a boot takes more, and at most, where that can be told. Where it
// cannot there is no estimate: people would quote it.
func (o Options) longer(of *results.Overhead, level string, c results.OverheadCost) string {
	ci := c.ExtraCI95
	what := "what a boot with probes " + level + " takes longer could not be told"
	switch {
	case of.Rounds < results.OverheadMinRounds || ci == nil:
		return fmt.Sprintf("%s: fewer than %d rounds", what, results.OverheadMinRounds)
	case of.Restless():
		return what + ": the machine was too restless"
	case !c.Told():
		return fmt.Sprintf("%s: between %s and %s", what, o.delta(ci[0]), o.delta(ci[1]))
	case withinNoise(of, c):
		return fmt.Sprintf("%s: less than two equal boots differ by", what)
	case *c.ExtraNs < 0:
		return fmt.Sprintf("a boot with probes %s takes %s (%s %%) less", level, o.delta(-*c.ExtraNs), number((1-*c.Ratio)*100))
	}
	return fmt.Sprintf("a boot with probes %s takes %s (%s %%) longer, at most %s", level, o.delta(*c.ExtraNs), number((*c.Ratio-1)*100), o.delta(ci[1]))
}

// withinNoise: two equal conditions could differ by as much.
func withinNoise(of *results.Overhead, c results.OverheadCost) bool {
	part, ok := of.Noise(results.OverheadBootWall)
	return ok && math.Abs(*c.Ratio-1) <= part
}

// delta shows a difference of nanoseconds.
func (o Options) delta(ns float64) string {
	if ns < 0 {
		return "-" + o.duration(-ns)
	}
	return o.duration(ns)
}
