// SPDX-License-Identifier: Apache-2.0

package live

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ukprobe/ukprobe/internal/screentest"
)

func want(t *testing.T, got []string, lines ...string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(lines, "\n") {
		t.Errorf("the screen shows\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(lines, "\n"))
	}
}

// TestArea: it is redrawn in place, what is printed scrolls above it, and at its end
// nothing of it is left.
func TestArea(t *testing.T) {
	s := screentest.New(t, 40, 10)
	var n atomic.Int64
	a := New(s.TTY, func(int, int) []string {
		return []string{fmt.Sprintf("bar %d", n.Load()), "one", "two"}[:3-n.Load()%2]
	})
	a.Pause()
	a.Draw()
	n.Store(1)
	a.Draw()
	a.Print("first\n")
	want(t, s.Mark(t, "$"), "first", "bar 1", "one", "$")
	n.Store(2)
	a.Print("second\nthird\n")
	want(t, s.Mark(t, "%"), "first", "second", "third", "bar 2", "one", "two", "%")
	a.Close()
	want(t, s.Mark(t, "#"), "first", "second", "third", "#")
	a.Print("after\n")
	want(t, s.Mark(t, "end"), "first", "second", "third", "#after", "end")
}

// TestAreaAfterCtrlC: the terminal's echo of it moves the cursor; nothing of it is left,
// nor of the area.
func TestAreaAfterCtrlC(t *testing.T) {
	s := screentest.New(t, 40, 10)
	a := New(s.TTY, func(int, int) []string { return []string{"one", "two"} })
	a.Pause()
	a.Draw()
	s.Mark(t, "^C")
	a.Print("said\n")
	want(t, s.Mark(t, "$"), "said", "one", "two", "$")
	s.Mark(t, "^C")
	a.Close()
	want(t, s.Mark(t, "#"), "said", "#")
}

// TestAreaFits: lines are cut to the width, and those that do not fit the height are left
// out, after a resize too; a screen that wraps the old ones has nothing of them left.
func TestAreaFits(t *testing.T) {
	s := screentest.New(t, 30, 6)
	var sizes sync.Map
	a := New(s.TTY, func(width, height int) []string {
		sizes.Store([2]int{width, height}, true)
		var lines []string
		for i := range 9 {
			lines = append(lines, fmt.Sprint(i)+"-234567890123456789012345678901234567")
		}
		return lines
	})
	a.Pause()
	a.Draw()
	got := s.Mark(t, "$")
	if len(got) != 6 || len(got[0]) != 29 || !strings.HasPrefix(got[4], "4-") || got[5] != "$" {
		t.Errorf("the screen shows\n%s", strings.Join(got, "\n"))
	}
	s.Resize(t, 20, 4)
	a.Draw()
	got = s.Mark(t, "%")
	if len(got) != 4 || len(got[0]) != 19 || !strings.HasPrefix(got[2], "2-") || got[3] != "%" {
		t.Errorf("made smaller, the screen shows\n%s", strings.Join(got, "\n"))
	}
	for _, size := range [][2]int{{29, 5}, {19, 3}} {
		if _, ok := sizes.Load(size); !ok {
			t.Errorf("lines were never asked for %v", size)
		}
	}
	a.Close()
}

// TestRows: a frame that a narrower terminal has wrapped is taller.
func TestRows(t *testing.T) {
	s := screentest.New(t, 20, 10)
	c := &console{out: s.TTY, last: []string{strings.Repeat("x", 39), "\x1b[31mred\x1b[0m", ""}}
	if n := c.rows(); n != 4 {
		t.Errorf("%d rows, want 4", n)
	}
	s.Resize(t, 10, 3)
	if n := c.rows(); n != 2 {
		t.Errorf("%d rows of a screen of 3, want 2", n)
	}
}

// TestAreaTicks: frames are drawn by themselves, but not while it is paused.
func TestAreaTicks(t *testing.T) {
	s := screentest.New(t, 40, 10)
	frames := make(chan struct{})
	a := New(s.TTY, func(int, int) []string {
		select {
		case frames <- struct{}{}:
		case <-t.Context().Done():
		}
		return []string{"x"}
	})
	<-frames
	<-frames
	done := make(chan struct{})
	go func() { a.Pause(); close(done) }()
	for paused := false; !paused; {
		select {
		case <-frames: // one may be under way
		case <-done:
			paused = true
		}
	}
	go a.Draw()
	<-frames
	a.Resume()
	<-frames
	go a.Close()
	for {
		select {
		case <-frames:
		case <-a.gone:
			return
		}
	}
}

// TestAreaWithoutTerminal: a terminal that has gone ends the drawing and nothing else.
func TestAreaWithoutTerminal(t *testing.T) {
	s := screentest.New(t, 40, 10)
	a := New(s.TTY, func(int, int) []string { return []string{"x"} })
	a.Pause()
	a.Draw()
	if err := s.TTY.Close(); err != nil {
		t.Fatal(err)
	}
	a.Draw()
	a.Draw()
	a.Print("lost\n")
	a.Close()
}
