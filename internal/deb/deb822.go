// SPDX-License-Identifier: Apache-2.0

package deb

import (
	"fmt"
	"slices"
	"strings"
)

// field is one "Name: value" of a deb822 stanza. A value of several lines
// keeps its line breaks and the leading spaces of its further lines.
type field struct{ name, value string }

// stanza is one paragraph of a deb822 file.
type stanza []field

func (s stanza) get(name string) string {
	for _, f := range s {
		if strings.EqualFold(f.name, name) {
			return f.value
		}
	}
	return ""
}

// with returns a copy of s with one field set.
func (s stanza) with(name, value string) stanza {
	c := slices.Clone(s)
	for i := range c {
		if strings.EqualFold(c[i].name, name) {
			c[i].value = value
			return c
		}
	}
	return append(c, field{name, value})
}

// parseStanzas reads deb822 text (deb-control(5)), leaving comments out.
func parseStanzas(text string) []stanza {
	var all []stanza
	var cur stanza
	flush := func() {
		if len(cur) > 0 {
			all = append(all, cur)
		}
		cur = nil
	}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case strings.HasPrefix(line, "#"):
		case strings.TrimSpace(line) == "":
			flush()
		case line[0] == ' ' || line[0] == '\t':
			if len(cur) > 0 {
				cur[len(cur)-1].value += "\n" + line
			}
		default:
			if name, value, ok := strings.Cut(line, ":"); ok {
				cur = append(cur, field{name, strings.TrimSpace(value)})
			}
		}
	}
	flush()
	return all
}

// format writes stanzas as deb822 text.
func format(all []stanza) string {
	var b strings.Builder
	for i, s := range all {
		if i > 0 {
			b.WriteByte('\n')
		}
		for _, f := range s {
			if strings.HasPrefix(f.value, "\n") {
				fmt.Fprintf(&b, "%s:%s\n", f.name, f.value)
			} else {
				fmt.Fprintf(&b, "%s: %s\n", f.name, f.value)
			}
		}
	}
	return b.String()
}
