// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"path"
	"slices"
	"strings"

	"github.com/ukprobe/ukprobe/results"
)

// Better is the direction in which a metric is the better one.
type Better string

// The directions. Of what is neither, a difference is told and no regression.
const (
	Less    Better = "less"
	More    Better = "more"
	Neither Better = ""
)

// noFigures are metrics that describe how it was measured, what was asked for, or what is
// good in no direction; by their beginnings.
var noFigures = []string{
	"interference_", "irq_", "softirq_", "steal_", "throttled_", "client_", "cache_", "time_limit_", "boot_limit_", "load_limit_", "load_ns",
	"boots", "guests", "slowest_guest", "requests", "answers_", "reads", "writes", "flushes", "host_reads", "host_writes", "host_flushes",
	"sequential_reads", "sequential_writes", "block_", "layers", "aligned_", "starts_spread_", "addresses_", "heap_", "stack_", "vdso_", "program_",
}

// moreIsBetter are those, beside rates, of which more is wanted.
var moreIsBetter = []string{"instances", "instances_at_least", "entropy_bits", "entropy_at_least_bits", "varying_bits"}

// BetterOf is the direction of a metric by its name, whose end is the unit: of rates more
// is better; of times, bytes and counts (exits, frames, faults, errors) less.
func BetterOf(metric string) Better {
	switch {
	case strings.HasSuffix(metric, "_per_second") || slices.Contains(moreIsBetter, metric):
		return More
	case strings.HasSuffix(metric, "_per_request_ns") || strings.HasSuffix(metric, "_per_request"):
		return Less
	case strings.Contains(metric, "_latency_"): // also of parts that are no figures otherwise
		return Less
	case slices.ContainsFunc(noFigures, func(p string) bool { return strings.HasPrefix(metric, p) }):
		return Neither
	}
	return Less
}

// exact: the metric is read off files. Where it differs it differs, by one sample each.
func exact(experiment string) bool { return experiment == "image-size" }

// byDefault are the metrics that are compared if none are named: those by which an
// experiment's stopping rule decides, and of a boot its phases.
func byDefault(experiment string) []string {
	main := results.MainFigures(experiment)
	if len(main) == 1 && main[0] == totalNs {
		return []string{totalNs, "vmm_ns", "firmware_ns", "guest_ns"}
	}
	return main
}

// chosen are the metrics of two cells that are compared, in order.
func chosen(patterns []string, a, b *Cell) []string {
	if len(patterns) == 0 {
		var out []string
		for _, m := range byDefault(a.Experiment) {
			_, inA := a.Metrics[m]
			_, inB := b.Metrics[m]
			if inA && inB {
				out = append(out, m)
			}
		}
		return out
	}
	var out []string
	for _, m := range names(a.Metrics) {
		if _, both := b.Metrics[m]; both && matchesAny(patterns, m) {
			out = append(out, m)
		}
	}
	return out
}

// AllMetrics is the pattern that all metrics match.
const AllMetrics = "all"

func matchesAny(patterns []string, metric string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, _ := path.Match(p, metric) // the pattern was tried by ParseMetric
		return ok || p == AllMetrics
	})
}
