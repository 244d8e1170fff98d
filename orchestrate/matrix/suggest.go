// SPDX-License-Identifier: Apache-2.0

package matrix

import (
	"fmt"

	"github.com/xrash/smetrics"
)

// suggestion returns "; did you mean …?" for the word nearest to s, or "" when
// none is near: Jaro-Winkler similarity of 0.8, as command-line tools use it.
func suggestion(s string, words []string) string {
	const least = 0.8
	best, similarity := "", least
	for _, w := range words {
		if v := smetrics.JaroWinkler(s, w, 0.7, 4); v > similarity && w != s {
			best, similarity = w, v
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}
