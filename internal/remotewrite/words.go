// SPDX-License-Identifier: Apache-2.0

package remotewrite

import "strings"

// maxWords is how much of what a receiver says is told, in characters: of its status, of
// its answer, and of an address that it names.
const maxWords = 200

// said is what a receiver says, as one line that a terminal takes and a person reads.
func said(text string) string {
	text = strings.Map(printable, strings.ToValidUTF8(text, "?"))
	n := 0
	for i := range text {
		if n++; n > maxWords {
			return text[:i] + "…"
		}
	}
	return text
}

// first is the first line of a text.
func first(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}
