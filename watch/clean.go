// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds on what is taken over from processes.
const (
	// maxName is the longest name of a VM in characters. Libvirt's own limit is
	// what fits a file name; a longer name is cut.
	maxName = 64
	// maxCgroup is the longest cgroup path that is shown, in characters.
	maxCgroup = 256
)

// Clean makes a foreign text safe to be a label's value and to be printed in a
// terminal: valid UTF-8, at most max characters, letters, digits, ASCII's
// punctuation and single spaces. What is anything else (control characters,
// escape sequences' ESC, marks that pile up, marks that turn the direction)
// becomes "_", and a text that was cut ends in "…".
func Clean(s string, limit int) string {
	var b strings.Builder
	n := 0
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		s = s[size:]
		if n == limit-1 && len(s) > 0 {
			b.WriteRune('…')
			break
		}
		if r == utf8.RuneError || !plain(r) {
			r = '_'
		}
		b.WriteRune(r)
		n++
	}
	return strings.TrimSpace(b.String())
}

// plain reports whether a character is shown as one character of its own, whatever
// stands beside it.
func plain(r rune) bool {
	if r <= unicode.MaxASCII {
		return r >= ' ' && r != 0x7f
	}
	return r == '…' || unicode.IsLetter(r) || unicode.IsDigit(r)
}
