// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"
)

// Screen shows reports like top: anew every interval, in place if its output is a
// terminal and one after another if not.
type Screen struct {
	Out      *os.File
	In       *os.File // keys, if it is a terminal
	Interval time.Duration
	Style    func() Style // asked at each drawing: a terminal changes its size
	Next     func() Report
}

// Escape sequences of xterm, which every terminal of today follows.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l" // the other screen, no cursor
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	beginFrame  = "\x1b[?2026h\x1b[H" // nothing is shown until the frame's end, where that is known
	endOfLine   = "\x1b[K\r\n"
	endFrame    = "\x1b[J\x1b[?2026l"
)

// Show draws until the context ends or q is pressed, and puts the terminal back.
func (sc Screen) Show(ctx context.Context) (err error) {
	if !term.IsTerminal(int(sc.Out.Fd())) || os.Getenv("TERM") == "dumb" {
		return sc.plain(ctx)
	}
	keys, restore, err := sc.keys()
	if err != nil {
		return err
	}
	defer restore()
	if _, err := io.WriteString(sc.Out, enterScreen); err != nil {
		return err
	}
	defer func() {
		if _, e := io.WriteString(sc.Out, leaveScreen); err == nil {
			err = e
		}
	}()
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, syscall.SIGWINCH)
	defer signal.Stop(resized)
	tick := time.NewTicker(sc.Interval)
	defer tick.Stop()
	by := sc.Style().Sort
	last := sc.Next()
	for {
		if err := sc.draw(last, by); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			last = sc.Next()
		case <-resized:
		case key := <-keys:
			switch key {
			case 'q', 'Q', 3, 4: // raw mode: Ctrl-C and Ctrl-D are bytes
				return nil
			case 's':
				by = Sorts[(slices.Index(Sorts, by)+1)%len(Sorts)]
			case ' ':
				last = sc.Next()
				tick.Reset(sc.Interval)
			}
		}
	}
}

// keys reads single keys in raw mode. The reading goroutine ends with the
// process: a read from a terminal cannot be called off.
func (sc Screen) keys() (<-chan byte, func(), error) {
	keys := make(chan byte)
	fd := int(sc.In.Fd())
	if !term.IsTerminal(fd) {
		return keys, func() {}, nil
	}
	before, err := term.MakeRaw(fd)
	if err != nil {
		return nil, nil, fmt.Errorf("read keys from the terminal: %w", err)
	}
	go func() {
		var b [1]byte
		for {
			if n, err := sc.In.Read(b[:]); n == 0 || err != nil {
				return
			}
			keys <- b[0]
		}
	}()
	return keys, func() { _ = term.Restore(fd, before) }, nil
}

// draw writes a whole frame with one write.
func (sc Screen) draw(r Report, by Sort) error {
	style := sc.Style()
	style.Sort = by
	if style.Rows == 0 {
		style.Rows = 24
	}
	style.Rows = max(style.Rows-1, 5) // the last line is ours
	var b bytes.Buffer
	b.WriteString(beginFrame)
	lines := r.lines(style)
	for len(lines) < style.Rows {
		lines = append(lines, "")
	}
	for _, l := range lines {
		b.WriteString(l + endOfLine)
	}
	b.WriteString(style.dim(style.cut(fmt.Sprintf("q quit  s sort (%s)  space now", by), style.width())))
	b.WriteString(endFrame)
	_, err := sc.Out.Write(b.Bytes())
	return err
}

// plain writes one report after another.
func (sc Screen) plain(ctx context.Context) error {
	tick := time.NewTicker(sc.Interval)
	defer tick.Stop()
	for first := true; ; first = false {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		style := sc.Style()
		style.Color, style.Rows = false, 0
		if !first {
			if _, err := fmt.Fprintln(sc.Out, strings.Repeat("-", min(style.width(), 20))); err != nil {
				return err
			}
		}
		if err := sc.Next().Write(sc.Out, style); err != nil {
			return err
		}
	}
}
