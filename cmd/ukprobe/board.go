// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ukprobe/ukprobe/internal/live"
	"github.com/ukprobe/ukprobe/internal/units"
	"github.com/ukprobe/ukprobe/orchestrate"
	"github.com/ukprobe/ukprobe/probe"
	"github.com/ukprobe/ukprobe/results"
	"github.com/ukprobe/ukprobe/results/report"
)

// board is the live view of a run: a few lines at the bottom of a terminal with how far
// it is, the cell that is being booted with its timeline as it forms, and the medians of
// the cells that were sampled last. What has ended scrolls by above.
//
// It must not disturb what it shows. Seen, which the waiting goroutine calls, stores a
// pointer and wakes nobody. Frames are drawn at most four times a second, on ukprobe's own
// CPUs; while a guest boots only if these are not the guest's, and from ready on, when a
// client may be loading it from them, not before the sample has ended. On a host that is
// too small for that the board changes between samples.
type board struct {
	out   *os.File
	style report.Options
	units units.Style
	now   func() time.Time

	forming atomic.Pointer[probe.Timeline] // of the guest that boots
	apart   atomic.Bool

	mu    sync.Mutex // of all below
	area  *live.Area // nil: nothing has begun
	drawn time.Time  // by Begin
	at    orchestrate.Progress
	begun time.Time
	ended string       // of the sample; "" as long as it runs
	cells []*boardCell // the last sampled first
}

// boardCell is what was measured in a cell, as far as its figures need.
type boardCell struct {
	at   orchestrate.Progress // its last sample's
	cell results.Cell
	last string
	row  []string // in the table; nil: to be made
}

func newBoard(out *os.File) *board {
	o := streamOptions(out)
	return &board{out: out, style: o, units: units.Style{ASCII: o.ASCII}, now: time.Now}
}

// Log implements orchestrate.Observer.
func (b *board) Log(format string, args ...any) {
	b.say(fmt.Sprintf(format, args...))
}

// say prints a line above the area.
func (b *board) say(line string) {
	b.mu.Lock()
	area := b.area
	b.mu.Unlock()
	if area == nil {
		fmt.Fprintln(b.out, line)
		return
	}
	area.Print(line + "\n")
}

// Begin implements orchestrate.Observer.
func (b *board) Begin(at orchestrate.Progress) {
	b.forming.Store(nil)
	done := b.begin(at)
	if done != "" {
		b.say(done)
	}
	b.apart.Store(at.Apart)
	if at.Apart {
		b.area.Resume()
		return
	}
	b.area.Pause()
	if now := b.now(); now.Sub(b.drawn) >= live.Every {
		b.drawn = now
		b.area.Draw()
	}
}

// begin notes a sample's beginning. It returns what is to be said of the cell that ended
// with the sample before.
func (b *board) begin(at orchestrate.Progress) (done string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.area == nil {
		b.area = live.New(b.out, b.lines)
	} else if at.CellsDone > b.at.CellsDone && len(b.cells) > 0 {
		done = b.summary(b.cells[0])
	}
	b.at, b.begun, b.ended = at, b.now(), ""
	return done
}

// Seen implements orchestrate.Watcher.
func (b *board) Seen(t probe.Timeline) {
	b.forming.Store(&t)
	if !b.apart.Load() {
		return
	}
	if t.Ready() {
		b.area.Hold()
	} else {
		b.area.Resume()
	}
}

// End implements orchestrate.Observer.
func (b *board) End(at orchestrate.Progress, s results.Sample) {
	b.mu.Lock()
	c := b.cellOf(at)
	if !at.Warmup {
		c.add(s)
	}
	c.last = outcomeWord(at.Experiment, s, b.units)
	b.at, b.ended = at, c.last
	b.mu.Unlock()
	if s.Status != results.SampleOK {
		s.Reason = b.style.Clean(s.Reason) // a guest's words may be in it
		b.say(finishedLine(at, s, b.units))
	}
	b.area.Resume()
}

// Close removes the area; what was printed stays.
func (b *board) Close() {
	b.mu.Lock()
	area := b.area
	b.area = nil
	b.mu.Unlock()
	if area != nil {
		area.Close()
	}
}

// cellOf finds a cell and puts it first.
func (b *board) cellOf(at orchestrate.Progress) *boardCell {
	i := slices.IndexFunc(b.cells, func(c *boardCell) bool { return c.at.Cell == at.Cell && c.at.Accel == at.Accel })
	c := &boardCell{cell: results.Cell{Experiment: at.Experiment}}
	if i >= 0 {
		c = b.cells[i]
		b.cells = slices.Delete(b.cells, i, i+1)
	}
	c.at, c.row = at, nil
	b.cells = slices.Insert(b.cells, 0, c)
	return c
}

// add keeps a sample's figures, if it counts.
func (c *boardCell) add(s results.Sample) {
	n := len(c.cell.Samples)
	counts, instead := place(&s, n)
	if !counts {
		return
	}
	if instead {
		c.cell.Samples = c.cell.Samples[:n-1]
	}
	c.cell.Samples = append(c.cell.Samples, results.Sample{Status: s.Status, Reason: s.Reason, Phases: s.Phases, Values: s.Values})
}

// figure is the summary of the cell's main figure.
func (c *boardCell) figure() (name string, s results.Summary, ok bool) {
	for _, name = range results.MainFigures(c.cell.Experiment) {
		if s, ok = c.cell.SummaryOf(name); ok {
			return name, s, true
		}
	}
	return "", s, false
}

// summary is the line of a cell that has all its samples.
func (b *board) summary(c *boardCell) string {
	taken, ok := len(c.cell.Samples), c.cell.OKSamples()
	text := fmt.Sprintf("%s (%s): %d samples", c.at.Cell, c.at.Accel, taken)
	if ok < taken {
		text += fmt.Sprintf(", %d of them ok", ok)
	}
	if figure, s, found := c.figure(); found {
		words := b.median(figure, s)
		text += ", median " + words[0]
		if words[1] != "" {
			text += " (" + units.Ends(words[0], words[1]) + ")"
		}
	}
	return b.style.Clean(text)
}

// median is a median and the ends of its interval, if it has one.
func (b *board) median(figure string, s results.Summary) []string {
	out := []string{b.units.Quantity(figure, s.Median), ""}
	if s.CI95 != nil {
		out[1] = b.units.Interval(figure, s.Median, s.CI95[0], s.CI95[1])
	}
	return out
}
