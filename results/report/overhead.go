// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
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
		return []string{"Overhead of the probes: " + o.clean(cost.Reason) + "."}
	}
	var parts []string
	for _, level := range levels {
		c, ok := f.Host.OverheadOf(level)
		if !ok {
			parts = append(parts, "probes "+o.clean(level)+": not measured with these rungs")
			continue
		}
		parts = append(parts, "a boot with probes "+o.clean(level)+" takes "+o.longer(c.Cost[results.OverheadBootWall]))
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

// longer shows what a boot takes more, and at most.
func (o Options) longer(c results.OverheadCost) string {
	if c.ExtraNs == nil || c.Ratio == nil {
		return "an unknown time longer"
	}
	text := fmt.Sprintf("%s (%s %%) longer", o.delta(*c.ExtraNs), number((*c.Ratio-1)*100))
	if c.ExtraCI95 == nil {
		return text + ", with too few rounds for an interval"
	}
	return fmt.Sprintf("%s, at most %s", text, o.delta(c.ExtraCI95[1]))
}

// delta shows a difference of nanoseconds.
func (o Options) delta(ns float64) string {
	if ns < 0 {
		return "-" + o.duration(-ns)
	}
	return o.duration(ns)
}
