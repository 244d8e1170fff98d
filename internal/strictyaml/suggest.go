// SPDX-License-Identifier: Apache-2.0

package strictyaml

import (
	"fmt"

	"github.com/ukprobe/ukprobe/internal/suggest"
)

// Suggestion returns "; did you mean …?" for the word nearest to s, or "" when
// none is near.
func Suggestion(s string, words []string) string {
	best := suggest.Nearest(s, words)
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}
