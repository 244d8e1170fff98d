// SPDX-License-Identifier: Apache-2.0

// Package suggest finds the word that somebody who misspelt one will have meant.
package suggest

import (
	"fmt"

	"github.com/xrash/smetrics"
)

// Nearest is the word nearest to s, or "" when none is near: Jaro-Winkler similarity
// above 0.8, as command-line tools use it.
func Nearest(s string, words []string) string {
	const least = 0.8
	best, similarity := "", least
	for _, w := range words {
		if v := smetrics.JaroWinkler(s, w, 0.7, 4); v > similarity && w != s {
			best, similarity = w, v
		}
	}
	return best
}

// DidYouMean is "; did you mean …?" with the nearest word, or "" when none is near: the
// end of an error about a word that there is not.
func DidYouMean(s string, words []string) string {
	best := Nearest(s, words)
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}
