// SPDX-License-Identifier: Apache-2.0

package matrix

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Error is a mistake in a matrix file.
type Error struct {
	File      string
	Line, Col int // from 1; Col counts characters
	Msg       string
	Excerpt   string // the line with a marker below the place; "" when there is none
}

func (e *Error) Error() string {
	s := fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Col, e.Msg)
	if e.Excerpt != "" {
		s += "\n" + e.Excerpt
	}
	return s
}

type pos struct{ line, col int }

// source is the text that errors quote.
type source struct {
	name  string
	lines []string
}

func newSource(name string, text []byte) *source {
	s := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(text))
	return &source{name: name, lines: strings.Split(s, "\n")}
}

func (s *source) position(p pos) string { return fmt.Sprintf("%s:%d:%d", s.name, p.line, p.col) }

func (s *source) errorAt(p pos, format string, args ...any) *Error {
	return &Error{s.name, p.line, p.col, fmt.Sprintf(format, args...), s.excerpt(p)}
}

// excerpt quotes the line, or of a long one the part around the place.
func (s *source) excerpt(p pos) string {
	if p.line < 1 || p.line > len(s.lines) {
		return ""
	}
	const before, width = 50, 76
	line := []rune(strings.Map(printable, s.lines[p.line-1]))
	col := min(max(p.col-1, 0), len(line))
	if col > before {
		line, col = line[col-before:], before
	}
	line = line[:min(len(line), width)]
	number := fmt.Sprintf("%4d | ", p.line)
	return number + string(line) + "\n" + strings.Repeat(" ", utf8.RuneCountInString(number)-2) + "| " +
		strings.Repeat(" ", col) + "^"
}

func printable(r rune) rune {
	if r == '\t' {
		return ' '
	}
	if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
		return '\uFFFD'
	}
	return r
}

// errorList collects mistakes, so that a file is corrected in one go.
type errorList struct {
	errs []error
	more int
}

func (l *errorList) add(err error) {
	if len(l.errs) == maxErrors {
		l.more++
		return
	}
	l.errs = append(l.errs, err)
}

func (l *errorList) err() error {
	if l.more > 0 {
		return errors.Join(append(l.errs, fmt.Errorf("and %d more mistakes", l.more))...)
	}
	return errors.Join(l.errs...)
}
