// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"strings"
	"unicode"
)

// maxText is how much of a registry's own words is repeated, in characters.
const maxText = 300

// told is an error in a registry's words, which are for a terminal.
type told struct{ err error }

// said bounds what a registry says and leaves out what a terminal would act upon.
func said(err error) error {
	if err == nil {
		return nil
	}
	return told{err}
}

// Error implements error.
func (t told) Error() string { return printable(t.err.Error()) }

// Unwrap is for errors.Is and errors.As.
func (t told) Unwrap() error { return t.err }

func printable(s string) string {
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n++; n > maxText {
			b.WriteRune('…')
			break
		}
		if !unicode.IsPrint(r) {
			r = '.'
		}
		b.WriteRune(r)
	}
	return b.String()
}
