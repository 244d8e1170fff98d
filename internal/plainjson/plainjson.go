// SPDX-License-Identifier: Apache-2.0

// Package plainjson writes JSON that does nothing to a terminal: what is no sign to be
// seen, but told to the terminal or to the order of the signs (C1 controls, DEL, U+202E
// and its like), is escaped as \uXXXX. It reads as the same values. Go's encoder escapes
// C0 controls, U+2028 and U+2029 itself; this package does not know what is written.
package plainjson

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// NewEncoder is Go's, over a [Writer].
func NewEncoder(w io.Writer) *json.Encoder { return json.NewEncoder(NewWriter(w)) }

// Escape is JSON without what a terminal would act on. Outside of strings JSON has none of
// that.
func Escape(text []byte) []byte {
	var out []byte
	done := 0
	for i := 0; i < len(text); {
		if text[i] < 0x7f {
			i++
			continue
		}
		r, size := utf8.DecodeRune(text[i:])
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			out = append(append(out, text[done:i]...), escaped(r)...)
			done = i + size
		}
		i += size
	}
	if done == 0 {
		return text
	}
	return append(out, text[done:]...)
}

func escaped(r rune) string {
	if high, low := utf16.EncodeRune(r); high != unicode.ReplacementChar {
		return fmt.Sprintf(`\u%04x\u%04x`, high, low)
	}
	return fmt.Sprintf(`\u%04x`, r)
}

// Writer escapes the JSON that is written to it, in pieces of any size.
type Writer struct {
	to   io.Writer
	rest []byte // the beginning of a rune that its end has not come of yet
}

// NewWriter writes to w.
func NewWriter(w io.Writer) *Writer { return &Writer{to: w} }

// Write writes what is whole of it: JSON never ends within a rune.
func (w *Writer) Write(p []byte) (int, error) {
	text := p
	if len(w.rest) > 0 {
		text = slices.Concat(w.rest, p)
	}
	end := len(text)
	for back := 1; back < utf8.UTFMax && back <= len(text); back++ {
		if at := len(text) - back; utf8.RuneStart(text[at]) {
			if !utf8.FullRune(text[at:]) {
				end = at
			}
			break
		}
	}
	whole := text[:end]
	w.rest = append([]byte(nil), text[end:]...)
	if _, err := w.to.Write(Escape(whole)); err != nil {
		return 0, err
	}
	return len(p), nil
}
