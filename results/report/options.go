// SPDX-License-Identifier: Apache-2.0

package report

import (
	"strings"
	"unicode"

	"github.com/jedib0t/go-pretty/v6/text"
)

// Options say what the output device can show.
type Options struct {
	Width int  // columns of a timeline; 0 means 80
	Color bool // escape sequences for colour
	ASCII bool // nothing but ASCII
}

// OptionsFor returns the options for a device of the given width in columns (0
// when unknown); anything but ASCII needs a UTF-8 locale.
func OptionsFor(getenv func(string) string, terminal bool, width int) Options {
	return Options{Width: width, Color: colored(getenv, terminal), ASCII: !utf8Locale(getenv)}
}

// colored says whether there are colours: never with NO_COLOR (no-color.org), then always
// with CLICOLOR_FORCE other than 0 (bixense.com/clicolors), else on a terminal that is not
// "dumb" unless CLICOLOR is 0.
func colored(getenv func(string) string, terminal bool) bool {
	force := getenv("CLICOLOR_FORCE")
	switch {
	case getenv("NO_COLOR") != "":
		return false
	case force != "" && force != "0":
		return true
	}
	return terminal && getenv("TERM") != "dumb" && getenv("CLICOLOR") != "0"
}

// utf8Locale applies POSIX' order: LC_ALL, LC_CTYPE, LANG.
func utf8Locale(getenv func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := strings.ToLower(getenv(name)); v != "" {
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return false
}

func (o Options) width() int {
	const least = 20
	if o.Width <= 0 {
		return 80
	}
	return max(o.Width, least)
}

// Pick returns the first string, or the second where only ASCII is shown.
func (o Options) Pick(utf8, ascii string) string {
	if o.ASCII {
		return ascii
	}
	return utf8
}

// Paint writes a text in a colour where there are colours.
func (o Options) Paint(c text.Color, s string) string {
	if !o.Color || s == "" {
		return s
	}
	return c.EscapeSeq() + s + text.Reset.EscapeSeq()
}

// Clean makes a text from a guest or a program safe to print on one line: no
// control characters, so no escape sequences and no line breaks.
func (o Options) Clean(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case unicode.IsControl(r) || unicode.Is(unicode.Cf, r):
			return -1
		case o.ASCII && r > unicode.MaxASCII:
			return '?'
		}
		return r
	}, text.StripEscape(s))
	return strings.TrimSpace(s)
}

// Wrap breaks a text at spaces into lines of at most width columns; each line
// but the first is indented by indent columns, which count.
func Wrap(s string, width, indent int) string {
	lines := strings.Split(text.WrapSoft(s, width-indent), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n"+strings.Repeat(" ", indent))
}
