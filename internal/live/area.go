// SPDX-License-Identifier: Apache-2.0

// Package live keeps a few lines at the bottom of a terminal up to date, in place, while
// other lines scroll by above them. It knows nothing of what they say. Drawing, and when a
// frame is due, is package mpb's; what is ours is the terminal's side of it: lines that a
// resize has wrapped, and a cursor that an echoed Ctrl-C has moved, leave nothing behind.
//
// The cursor is never hidden and no mode of the terminal is changed, so that there is
// nothing to put back after SIGKILL.
package live

import (
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// Every is how long a frame stays at least: a few in a second are enough for a person.
const Every = 250 * time.Millisecond

// maxLines is how tall an area can be.
const maxLines = 24

// Area is some lines at the bottom of a terminal.
type Area struct {
	out      *os.File
	lines    func(width, height int) []string
	progress *mpb.Progress
	bar      *mpb.Bar
	due      chan any      // a frame is
	drawn    chan struct{} // it is on the terminal
	gone     chan any      // closed once nothing can be drawn any more
	stop     chan struct{}
	ticking  sync.WaitGroup
	frame    []string   // what is being drawn; of mpb's goroutine
	mu       sync.Mutex // of who has a frame drawn
	paused   atomic.Bool
}

// New begins an area; the caller closes it. lines is asked for its content at every frame,
// by one goroutine: it is cut to the terminal's width and, from the end, to its height. It
// must not call the area's methods, which wait for it.
func New(out *os.File, lines func(width, height int) []string) *Area {
	a := &Area{out: out, lines: lines, due: make(chan any), drawn: make(chan struct{}, 1), gone: make(chan any), stop: make(chan struct{})}
	a.progress = mpb.New(mpb.WithConsoleWriter(&console{out: out, drawn: a.drawn}),
		mpb.WithManualRefresh(a.due), mpb.WithShutdownNotifier(a.gone))
	// One bar that never ends, of which each row is a line.
	rows := make([]mpb.BarFiller, maxLines-1)
	for i := range rows {
		rows[i] = a.row(i + 1)
	}
	first := mpb.BarFillerFunc(func(w io.Writer, _ decor.Statistics) error {
		a.frame = a.compose()
		_, err := io.WriteString(w, a.frame[0])
		return err
	})
	a.bar, _ = a.progress.Add(0, first, mpb.BarFillerTrim(), mpb.BarBtmExtender(rows...), mpb.BarRemoveOnComplete())
	a.ticking.Go(a.tick)
	return a
}

// row writes a line, or nothing where there is none.
func (a *Area) row(i int) mpb.BarFiller {
	return mpb.BarFillerFunc(func(w io.Writer, _ decor.Statistics) error {
		if i >= len(a.frame) {
			return nil
		}
		_, err := io.WriteString(w, a.frame[i]+"\n")
		return err
	})
}

// compose asks for the lines and makes them fit. There is at least one.
func (a *Area) compose() []string {
	width, height := size(a.out)
	// The last column stays free, for terminals that go on to the next line at once, and
	// the last line is the cursor's.
	most := min(max(height-1, 1), maxLines)
	lines := slices.Clone(a.lines(max(width-1, 1), most))
	if len(lines) > most {
		lines = lines[:most]
	}
	for i := range lines {
		lines[i] = text.Trim(lines[i], max(width-1, 1))
	}
	if len(lines) == 0 {
		lines = []string{""}
	}
	return lines
}

// tick has frames drawn until the area is closed.
func (a *Area) tick() {
	t := time.NewTicker(Every)
	defer t.Stop()
	for {
		select {
		case <-a.stop:
			return
		case <-t.C:
			a.mu.Lock()
			if !a.paused.Load() {
				a.draw()
			}
			a.mu.Unlock()
		}
	}
}

// draw has a frame drawn and waits for it; mu is held.
func (a *Area) draw() {
	select {
	case <-a.drawn: // one that mpb drew by itself
	default:
	}
	select {
	case a.due <- struct{}{}:
	case <-a.gone:
		return
	}
	select {
	case <-a.drawn:
	case <-a.gone:
	}
}

// Draw draws a frame now, and returns when it is on the terminal.
func (a *Area) Draw() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.draw()
}

// Pause holds back all frames but those of Draw and Print, until Resume: while the CPU is
// needed by what the lines tell of. No frame is being drawn when it returns.
func (a *Area) Pause() {
	a.paused.Store(true)
	a.mu.Lock()
	a.mu.Unlock() //nolint:staticcheck // who had it has drawn
}

// Hold is Pause for who cannot wait: a frame may be on its way still.
func (a *Area) Hold() { a.paused.Store(true) }

// Resume lets frames be drawn again.
func (a *Area) Resume() { a.paused.Store(false) }

// Print writes text, which has to end with a newline, above the area. After Close, and
// once nothing can be drawn any more, it is written as it is.
func (a *Area) Print(s string) {
	if _, err := io.WriteString(a.progress, s); err != nil { // drawing has failed, or it is closed
		_, _ = io.WriteString(a.out, s)
		return
	}
	a.Draw()
}

// Close removes the area, once. What was printed stays.
func (a *Area) Close() {
	close(a.stop)
	a.ticking.Wait()
	a.bar.Abort(true)
	a.progress.Wait()
}
