// SPDX-License-Identifier: Apache-2.0

// Package suggest finds the word that somebody who misspelt one will have meant.
package suggest

import (
	"cmp"
	"fmt"

	"github.com/xrash/smetrics"
)

// Nearest is the word nearest to s, or "" when none is near: Jaro-Winkler similarity
// above 0.8, as command-line tools use it. Of those near it is the one with the fewest
// edits; of as many, one of the same length, and then the most similar.
func Nearest(s string, words []string) string {
	const least = 0.8
	best, similarity := "", 0.0
	for _, w := range words {
		v := smetrics.JaroWinkler(s, w, 0.7, 4)
		if v <= least || w == s {
			continue
		}
		if best == "" || cmp.Or(cmp.Compare(edits(s, w), edits(s, best)), cmp.Compare(lonelier(s, w), lonelier(s, best)), cmp.Compare(similarity, v)) < 0 {
			best, similarity = w, v
		}
	}
	return best
}

// edits are the letters to put in, take out or change.
func edits(a, b string) int { return smetrics.WagnerFischer(a, b, 1, 1, 1) }

// lonelier is 0 for words of the same length.
func lonelier(a, b string) int { return min(1, max(len(a)-len(b), len(b)-len(a))) }

// DidYouMean is "; did you mean …?" with the nearest word, or "" when none is near: the
// end of an error about a word that there is not.
func DidYouMean(s string, words []string) string {
	best := Nearest(s, words)
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}
