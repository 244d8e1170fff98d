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

	"github.com/ukprobe/ukprobe/internal/suggest"
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

// keys of a selector.
var selectable = []string{"system", "app", "platform", "experiment", "variant", "accel", "probes"}

func (k Key) dimension(i int) string {
	return [...]string{k.System, k.App, k.Platform, k.Experiment, k.Variant, k.Accel, k.Probes}[i]
}

// Selector picks cells: for every key that it names, the cell has one of the values.
type Selector struct {
	text   string
	values map[int][]string // by the place in selectable
}

// String is the selector as it was written.
func (s Selector) String() string { return s.text }

// ParseSelector reads key=value|value,key=value: the form of `ukprobe run --only`, with
// the keys system, app, platform, experiment, variant, accel and probes.
func ParseSelector(text string) (Selector, error) {
	s := Selector{text: text, values: map[int][]string{}}
	for _, part := range strings.Split(text, ",") {
		key, list, found := strings.Cut(part, "=")
		key = strings.TrimSpace(key)
		at := slices.Index(selectable, key)
		switch {
		case !found:
			return Selector{}, fmt.Errorf("selector %q: %q is not of the form key=value: write for example system=linux|process,app=nginx", text, part)
		case at < 0:
			return Selector{}, fmt.Errorf("selector %q: unknown key %q%s (known: %s)", text, key, suggest.DidYouMean(key, selectable), strings.Join(selectable, ", "))
		case s.values[at] != nil:
			return Selector{}, fmt.Errorf("selector %q: %s comes twice: write %s=a|b for either", text, key, key)
		}
		for _, v := range strings.Split(list, "|") {
			v = strings.TrimSpace(v)
			if v == "" && key != "variant" { // most cells have none
				return Selector{}, fmt.Errorf("selector %q: %s has an empty value", text, key)
			}
			s.values[at] = append(s.values[at], v)
		}
	}
	return s, nil
}

func (s Selector) matches(k Key) bool {
	for at, values := range s.values {
		if !slices.Contains(values, k.dimension(at)) {
			return false
		}
	}
	return true
}

// Select keeps the cells that one of the selectors picks; all if there are none. A value
// that no cell has is an error that says which ones there are.
func (s Set) Select(selectors []Selector) (Set, error) {
	if len(selectors) == 0 {
		return s, nil
	}
	for _, sel := range selectors {
		if err := s.known(sel); err != nil {
			return s, err
		}
	}
	all := s.Cells
	s.Cells = nil
	for _, c := range all {
		if slices.ContainsFunc(selectors, func(sel Selector) bool { return sel.matches(c.Key) }) {
			s.Cells = append(s.Cells, c)
		}
	}
	return s, nil
}

func (s Set) known(sel Selector) error {
	for at, wanted := range sel.values {
		var have []string
		for _, c := range s.Cells {
			if v := c.dimension(at); !slices.Contains(have, v) {
				have = append(have, v)
			}
		}
		slices.Sort(have)
		for _, v := range wanted {
			if !slices.Contains(have, v) {
				return fmt.Errorf("%s: no cell has %s %q%s (there are: %s)", s.Label, selectable[at], v, suggest.DidYouMean(v, have), strings.Join(have, ", "))
			}
		}
	}
	return nil
}

// ParseMetric checks a metric's name, in which * and ? stand for anything.
func ParseMetric(pattern string) error {
	if _, err := path.Match(pattern, ""); err != nil || pattern == "" || strings.ContainsFunc(pattern, func(r rune) bool { return unicode.IsSpace(r) || r == ',' }) {
		return fmt.Errorf("metric %q is no name: write one, such as total_ns, a pattern such as '*_latency_p99_ns', or %s; give the flag again for another", pattern, AllMetrics)
	}
	return nil
}
