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
	// The first report is of a short interval: of none it would be empty.
	tick := time.NewTicker(min(sc.Interval, firstInterval))
	defer tick.Stop()
	view := view{by: sc.Style().Sort}
	for {
		if err := sc.draw(view); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			view.next(sc.Next())
			tick.Reset(sc.Interval)
		case <-resized:
		case key := <-keys:
			switch key {
			case 'q', 'Q', 3, 4: // raw mode: Ctrl-C and Ctrl-D are bytes
				return nil
			case 's':
				view.by = Sorts[(slices.Index(Sorts, view.by)+1)%len(Sorts)]
			case 'h', '?':
				view.why = !view.why
			case ' ':
				view.next(sc.Next())
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

// firstInterval is the longest that the first report is waited for.
const firstInterval = 500 * time.Millisecond

// view is what a screen shows.
type view struct {
	report *Report // nil: none yet
	by     Sort
	why    bool // why something is not counted, in place of the VMs
}

func (v *view) next(r Report) { v.report = &r }

// draw writes a whole frame with one write.
func (sc Screen) draw(v view) error {
	style := sc.Style()
	style.Sort, style.Only = v.by, v.why
	if style.Rows == 0 {
		style.Rows = 24
	}
	style.Rows = max(style.Rows-1, 5) // the last line is ours
	var b bytes.Buffer
	b.WriteString(beginFrame)
	var lines []string
	if v.report != nil {
		lines = v.report.lines(style)
	}
	for len(lines) < style.Rows {
		lines = append(lines, "")
	}
	for _, l := range lines {
		b.WriteString(l + endOfLine)
	}
	b.WriteString(style.dim(style.cut(v.keys(), style.width())))
	b.WriteString(endFrame)
	_, err := sc.Out.Write(b.Bytes())
	return err
}

// keys is the last line: what can be pressed.
func (v view) keys() string {
	h := "h what is not counted"
	if v.why {
		h = "h back"
	}
	return fmt.Sprintf("q quit  s sort (%s)  space now  %s", v.by, h)
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
