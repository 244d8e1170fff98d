// SPDX-License-Identifier: Apache-2.0

package strictyaml

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxErrors are shown at once.
const maxErrors = 20

// Error is a mistake in a file.
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

// Pos is a place in a file.
type Pos struct{ Line, Col int }

// Source is the text that errors quote.
type Source struct {
	Name  string // of the file
	lines []string
}

func newSource(name string, text []byte) *Source {
	s := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(text))
	return &Source{Name: name, lines: strings.Split(s, "\n")}
}

// Text is the whole text, with line feeds between its lines.
func (s *Source) Text() string { return strings.Join(s.lines, "\n") }

// Position writes a place as file:line:column.
func (s *Source) Position(p Pos) string { return fmt.Sprintf("%s:%d:%d", s.Name, p.Line, p.Col) }

// ErrorAt makes an error at a place.
func (s *Source) ErrorAt(p Pos, format string, args ...any) *Error {
	return &Error{s.Name, p.Line, p.Col, fmt.Sprintf(format, args...), s.excerpt(p)}
}

// excerpt quotes the line, or of a long one the part around the place.
func (s *Source) excerpt(p Pos) string {
	if p.Line < 1 || p.Line > len(s.lines) {
		return ""
	}
	const before, width = 50, 76
	line := []rune(strings.Map(printable, s.lines[p.Line-1]))
	col := min(max(p.Col-1, 0), len(line))
	if col > before {
		line, col = line[col-before:], before
	}
	line = line[:min(len(line), width)]
	number := fmt.Sprintf("%4d | ", p.Line)
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

// ErrorList collects mistakes, so that a file is corrected in one go.
type ErrorList struct {
	errs []error
	more int
}

// Add adds a mistake; of many only the first are kept.
func (l *ErrorList) Add(err error) {
	if l.full() {
		l.more++
		return
	}
	l.errs = append(l.errs, err)
}

// full tells that a further one is only counted.
func (l *ErrorList) full() bool { return len(l.errs) == maxErrors }

// Len is how many were added.
func (l *ErrorList) Len() int { return len(l.errs) + l.more }

// Err joins them, or is nil.
func (l *ErrorList) Err() error {
	if l.more > 0 {
		return errors.Join(append(l.errs, fmt.Errorf("and %d more mistakes", l.more))...)
	}
	return errors.Join(l.errs...)
}
