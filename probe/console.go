// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"bytes"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Line is one line of the guest's console with the times of its first and last
// byte.
type Line struct {
	FirstNS, LastNS int64
	Text            string // as sent, line end included; at most 256 bytes
	Hook            string
	Partial         bool // no line end (yet)
}

// Clean is the line's text without line ends, with control characters and
// invalid UTF-8 made visible: a hostile guest cannot drive a person's terminal.
func (l Line) Clean() string {
	text := strings.TrimRight(l.Text, "\r\n")
	if !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, "\uFFFD")
	}
	return strings.Map(func(r rune) rune {
		if r < 0x20 && r != '\t' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '\uFFFD'
		}
		return r
	}, text)
}

// maxLine is LINE_MAX of bpf/event.h.
const maxLine = 256

// feed appends what one write(2) carried and returns the lines that it ended.
func (l *Line) feed(ns int64, data []byte) []Line { return l.Feed(HookSyscall, ns, data) }

// Feed appends to an unfinished line what came at a time (CLOCK_MONOTONIC, ns)
// from a hook, and returns the lines that it ended; l is then what is left over.
// A line is ended by a newline or by its 256th byte.
func (l *Line) Feed(hook string, ns int64, data []byte) []Line {
	var done []Line
	for len(data) > 0 {
		n := bytes.IndexByte(data, '\n') + 1
		ended := n > 0
		if !ended {
			n = len(data)
		}
		if room := maxLine - len(l.Text); n > room {
			n, ended = room, true
		}
		if l.Text == "" {
			l.FirstNS = ns
		}
		l.Text += string(data[:n])
		l.LastNS, l.Hook, l.Partial = ns, hook, true
		data = data[n:]
		if ended || len(l.Text) >= maxLine {
			l.Partial = false
			done = append(done, *l)
			*l = Line{}
		}
	}
	return done
}

// MaxLines bounds what one guest can make a [Console] keep: so many lines, and the one
// that makes it ready.
const MaxLines = 4096

// LostBeyondBound is the name in [Counts.Lost] of what came in time and was not kept:
// lines beyond [MaxLines] and, of a [Watch], halts beyond its own bound.
const LostBeyondBound = "records_beyond_bound"

// Console is what is kept of a guest's console. Its zero value has nothing yet. It is not
// safe for concurrent use.
type Console struct {
	Lines  []Line
	Ready  *Line  // the first that matched the ready pattern
	Beyond uint64 // lines that were not kept
}

// Add keeps the first lines of a flood and counts the rest; the line that makes the guest
// ready is kept wherever it comes. Without a pattern none does.
func (c *Console) Add(l Line, ready *regexp.Regexp) {
	matched := c.Ready == nil && ready != nil && ready.MatchString(l.Clean())
	if matched {
		c.Ready = &l
	}
	if len(c.Lines) >= MaxLines && !matched {
		c.Beyond++
		return
	}
	c.Lines = append(c.Lines, l)
}
