// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"strings"
	"testing"
	"time"
)

// TestLimit: the bound until four have worked, then five times the slowest of the last
// three and a second, but never less than what has worked nor more than the bound.
func TestLimit(t *testing.T) {
	const s = time.Second
	for name, tt := range map[string]struct {
		bound time.Duration
		from  int
		took  []time.Duration
		want  time.Duration
		known bool
	}{
		"nothing":                  {30 * s, 0, nil, 30 * s, false},
		"three":                    {30 * s, 0, []time.Duration{s, s, s}, 30 * s, false},
		"four":                     {30 * s, 0, []time.Duration{3 * s, s, 2 * s, s}, 11 * s, true},
		"a very slow first one":    {30 * s, 0, []time.Duration{20 * s, s, s, s}, 20 * s, true},
		"no more than the bound":   {30 * s, 0, []time.Duration{s, s, s, 10 * s}, 30 * s, true},
		"what comes later":         {30 * s, 0, []time.Duration{s, s, s, s, 5 * s, 5 * s}, 6 * s, true},
		"from five, of which four": {30 * s, 5, []time.Duration{s, s, s, s, s}, 30 * s, false},
		"from five":                {30 * s, 5, []time.Duration{s, s, s, s, s, 2 * s}, 11 * s, true},
	} {
		l := Limit{Bound: tt.bound, From: tt.from}
		for _, took := range tt.took {
			l.Worked(took)
		}
		if l.Now() != tt.want || l.Known() != tt.known {
			t.Errorf("%s: %v, known %v; want %v", name, l.Now(), l.Known(), tt.want)
		}
	}
}

// TestLimitRestored: what a run before it has learnt holds, as if it had gone on.
func TestLimitRestored(t *testing.T) {
	var was Limit
	was.Bound = time.Minute
	for range 4 {
		was.Worked(2 * time.Second)
	}
	slowest, n := was.Slowest()
	now := Limit{Bound: time.Minute}
	now.Restore(was.Now(), slowest, n)
	now.Worked(time.Minute)
	if !now.Known() || now.Now() != was.Now() || now.Now() != 11*time.Second {
		t.Errorf("%v, was %v", now.Now(), was.Now())
	}
	if text := now.String(); !strings.HasPrefix(text, "learnt from 4 starts, the slowest 2s") {
		t.Error(text)
	}
	if text := (&Limit{Bound: time.Second}).String(); text != "it is the matrix's: 0 of 4 starts to learn from were ready" {
		t.Error(text)
	}
}
