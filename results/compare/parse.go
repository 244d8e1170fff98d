// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"fmt"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/ukprobe/ukprobe/internal/only"
)

// ParseThreshold reads a percentage, such as "5%", "2.5 %" or "0": how large a change must
// be at least to count. The result is in percent.
func ParseThreshold(text string) (float64, error) {
	number := strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(text), "%"))
	v, err := strconv.ParseFloat(number, 64)
	switch {
	case err != nil || strings.ContainsAny(number, "xX_pP") || math.IsNaN(v) || math.IsInf(v, 0):
		return 0, fmt.Errorf("threshold %q is no percentage: write for example 5%%", text)
	case v < 0:
		return 0, fmt.Errorf("threshold %q is below 0: it holds for changes in both directions, write it without a sign", text)
	case v > 0 && v < 1 && !strings.Contains(text, "%"):
		return 0, fmt.Errorf("threshold %q: are that percent, or a part of 1? Write %s%% or %s%%", text, number, strconv.FormatFloat(v*100, 'g', 6, 64))
	}
	return v, nil
}

// Select keeps the cells of the sets that one of the selectors picks; all if there are
// none. A value that no cell of any of the sets has is an error that says which ones there
// are; one that a set lacks and another has is a finding.
func Select(sets []Set, selectors []only.Selector) ([]Set, error) {
	if len(selectors) == 0 {
		return sets, nil
	}
	var about []only.Cell
	for _, s := range sets {
		for _, c := range s.Cells {
			about = append(about, c.chosenBy())
		}
	}
	picked, err := only.Pick(about, selectors)
	if err != nil {
		return nil, err
	}
	out := slices.Clone(sets)
	for i := range out {
		out[i].Cells = nil
		for _, c := range sets[i].Cells {
			if picked[0] {
				out[i].Cells = append(out[i].Cells, c)
			}
			picked = picked[1:]
		}
	}
	return out, nil
}

func (k Key) chosenBy() only.Cell {
	return only.Cell{System: k.System, App: k.App, Platform: k.Platform, Experiment: k.Experiment,
		Image: imageWord(k.Variant), Variant: k.Variant, Accel: k.Accel, Probes: k.Probes}
}

// ParseMetric checks a metric's name, in which * and ? stand for anything.
func ParseMetric(pattern string) error {
	if _, err := path.Match(pattern, ""); err != nil || pattern == "" || strings.ContainsFunc(pattern, func(r rune) bool { return unicode.IsSpace(r) || r == ',' }) {
		return fmt.Errorf("metric %q is no name: write one, such as total_ns, a pattern such as '*_latency_p99_ns', or %s; give the flag again for another", pattern, AllMetrics)
	}
	return nil
}
