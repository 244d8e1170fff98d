// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// feedAll gives each write its number as its time.
func feedAll(writes ...string) (lines []Line, rest Line) {
	for i, w := range writes {
		lines = append(lines, rest.feed(int64(i+1), []byte(w))...)
	}
	return lines, rest
}

func TestFeed(t *testing.T) {
	full := strings.Repeat("a", maxLine)
	line := func(first, last int64, text string) Line {
		return Line{FirstNS: first, LastNS: last, Text: text, Hook: HookSyscall}
	}
	partial := func(first, last int64, text string) Line {
		l := line(first, last, text)
		l.Partial = true
		return l
	}
	tests := []struct {
		name   string
		writes []string
		lines  []Line
		rest   Line
	}{
		{"nothing", []string{""}, nil, Line{}},
		{"one line", []string{"a\n"}, []Line{line(1, 1, "a\n")}, Line{}},
		{"split over writes", []string{"re", "ad", "y\n"}, []Line{line(1, 3, "ready\n")}, Line{}},
		{"several in one", []string{"a\nb\n\nc"}, []Line{line(1, 1, "a\n"), line(1, 1, "b\n"), line(1, 1, "\n")}, partial(1, 1, "c")},
		{"carriage return", []string{"a\r", "\nb"}, []Line{line(1, 2, "a\r\n")}, partial(2, 2, "b")},
		{"no line end", []string{"a", "b"}, nil, partial(1, 2, "ab")},
		{"NULs", []string{"\x00a\x00\n"}, []Line{line(1, 1, "\x00a\x00\n")}, Line{}},
		{"just full", []string{full}, []Line{line(1, 1, full)}, Line{}},
		{"full with its end", []string{full[1:] + "\n"}, []Line{line(1, 1, full[1:]+"\n")}, Line{}},
		{"longer than a line", []string{full + "b\n"}, []Line{line(1, 1, full), line(1, 1, "b\n")}, Line{}},
		{"full over writes", []string{full[1:], "bc\n"}, []Line{line(1, 2, full[1:]+"b"), line(2, 2, "c\n")}, Line{}},
		{"three pieces", []string{full + full + "b"}, []Line{line(1, 1, full), line(1, 1, full)}, partial(1, 1, "b")},
	}
	for _, tt := range tests {
		lines, rest := feedAll(tt.writes...)
		if diff := cmp.Diff(tt.lines, lines); diff != "" {
			t.Errorf("%s: lines (-want +got):\n%s", tt.name, diff)
		}
		if diff := cmp.Diff(tt.rest, rest); diff != "" {
			t.Errorf("%s: rest (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestClean(t *testing.T) {
	for text, want := range map[string]string{
		"ready\r\n":               "ready",
		"ready\n\r\n":             "ready",
		"a\tb":                    "a\tb",
		"grün €":                  "grün €",
		"\x1b[2J\x1b]0;title\x07": "\uFFFD[2J\uFFFD]0;title\uFFFD",
		"a\rb":                    "a\uFFFDb",
		"\x00":                    "\uFFFD",
		"\x7f":                    "\uFFFD",
		"\u009b31m":               "\uFFFD31m", // CSI as one character
		"\xff\xfea":               "\uFFFDa",
		"\x9b31m":                 "\uFFFD31m", // and as one byte
		"":                        "",
	} {
		if got := (Line{Text: text}).Clean(); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// FuzzFeed: no byte is lost or made up, and no line can drive a terminal.
func FuzzFeed(f *testing.F) {
	f.Add([]byte("hello\r\nworld"), 3)
	f.Add([]byte("\x1b[31m\x00\xff\n\n"), 1)
	f.Add([]byte(strings.Repeat("long", 200)), 100)
	f.Add([]byte("\xe2\x82\xac\n"), 2) // a character split over writes
	f.Fuzz(func(t *testing.T, data []byte, chunk int) {
		chunk = max(1, min(chunk, maxLine)) // what one record carries
		var rest Line
		var lines []Line
		for i := 0; i < len(data); i += chunk {
			lines = append(lines, rest.feed(int64(i+1), data[i:min(i+chunk, len(data))])...)
		}
		var all strings.Builder
		for _, l := range lines {
			if l.Partial || l.Text == "" || len(l.Text) > maxLine || !strings.HasSuffix(l.Text, "\n") && len(l.Text) != maxLine {
				t.Fatalf("line %+v", l)
			}
			if l.FirstNS > l.LastNS {
				t.Fatalf("line %+v ends before it begins", l)
			}
			all.WriteString(l.Text)
		}
		all.WriteString(rest.Text)
		if all.String() != string(data) {
			t.Fatalf("%q became %q", data, all.String())
		}
		for _, l := range append(lines, rest) {
			clean := l.Clean()
			if !utf8.ValidString(clean) || strings.ContainsFunc(clean, func(r rune) bool { return unicode.IsControl(r) && r != '\t' }) {
				t.Fatalf("%q is not clean: %q", l.Text, clean)
			}
		}
	})
}

// TestFloodIsBounded: the first lines of a flood are kept, the rest is counted,
// and the line that makes the guest ready is kept wherever it comes, once.
func TestFloodIsBounded(t *testing.T) {
	var c Console
	ready := regexp.MustCompile("^ready$")
	for range MaxLines + 10 {
		c.Add(Line{Text: "noise\n"}, ready)
	}
	for range 5 {
		c.Add(Line{Text: "ready\n"}, ready)
	}
	c.Add(Line{Text: "noise\n"}, ready)
	if len(c.Lines) != MaxLines+1 || c.Beyond != 10+4+1 {
		t.Errorf("%d lines kept, %d counted as beyond the bound: want %d and 15", len(c.Lines), c.Beyond, MaxLines+1)
	}
	if got := c.Lines[len(c.Lines)-1].Text; got != "ready\n" {
		t.Errorf("the last line is %q", got)
	}
}
