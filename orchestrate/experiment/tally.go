// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"maps"
	"regexp"
	"slices"
)

// tally counts the taints of the many boots of one sample.
type tally struct {
	boots int
	seen  map[string]int // without their figures
}

// figure is a time in a taint: each boot has another.
var figure = regexp.MustCompile(`[0-9.]+(ns|µs|ms|s)\b`)

func (t *tally) add(boot Sample) {
	if t.seen == nil {
		t.seen = map[string]int{}
	}
	t.boots++
	for _, taint := range boot.Taints {
		t.seen[figure.ReplaceAllString(taint, "…")]++
	}
}

// into taints the sample with what its boots had, and with how many had it. Those that
// it has itself are left out.
func (t *tally) into(s *Sample) {
	own := slices.Clone(s.Taints)
	for _, taint := range slices.Sorted(maps.Keys(t.seen)) {
		if !slices.Contains(own, taint) {
			s.Taint("%s (%d of %d boots)", taint, t.seen[taint], t.boots)
		}
	}
}
