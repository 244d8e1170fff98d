// SPDX-License-Identifier: Apache-2.0

package suggest

import "testing"

func TestNearest(t *testing.T) {
	words := []string{"samples", "seed", "timeout"}
	for s, want := range map[string]string{"sampels": "samples", "sample": "samples", "sead": "seed", "tmeout": "timeout", "bogus": "", "": "", "samples": ""} {
		if got := Nearest(s, words); got != want {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
	}
	commands := []string{"run", "runs", "report"}
	for s, want := range map[string]string{"runz": "runs", "ru": "run", "runss": "runs", "rpeort": "report"} {
		if got := Nearest(s, commands); got != want {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
	}
	if got := Nearest("x", nil); got != "" {
		t.Errorf("of no words: %q", got)
	}
}

func TestDidYouMean(t *testing.T) {
	for s, want := range map[string]string{"sampels": `; did you mean "samples"?`, "bogus": ""} {
		if got := DidYouMean(s, []string{"samples", "seed"}); got != want {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
	}
}
