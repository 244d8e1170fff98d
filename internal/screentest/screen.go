// SPDX-License-Identifier: Apache-2.0

// Package screentest is a terminal for tests: a real pseudo-terminal, with an emulator
// behind it whose screen can be read. It is for tests.
package screentest

import (
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/hinshun/vt10x"
)

// Screen is a terminal whose screen can be looked at.
type Screen struct {
	TTY *os.File // the program's side

	vt vt10x.Terminal

	mu  sync.Mutex
	raw strings.Builder
	end chan struct{}
}

// New makes a terminal of that size; the test is skipped where there are none.
func New(t *testing.T, width, height int) *Screen {
	t.Helper()
	master, tty, err := pty.Open()
	if err != nil {
		t.Skipf("needs pseudo-terminals: %v", err)
	}
	s := &Screen{TTY: tty, vt: vt10x.New(vt10x.WithSize(width, height)), end: make(chan struct{})}
	s.Resize(t, width, height)
	go func() {
		defer close(s.end)
		buf := make([]byte, 64<<10)
		for {
			n, err := master.Read(buf)
			if err != nil {
				return
			}
			s.mu.Lock()
			s.raw.Write(buf[:n])
			_, _ = s.vt.Write(buf[:n])
			s.mu.Unlock()
		}
	}()
	t.Cleanup(func() { _ = tty.Close(); _ = master.Close() })
	return s
}

// Resize changes the size, as a window manager does.
func (s *Screen) Resize(t *testing.T, width, height int) {
	t.Helper()
	if err := pty.Setsize(s.TTY, &pty.Winsize{Cols: uint16(width), Rows: uint16(height)}); err != nil {
		t.Fatal(err)
	}
	s.vt.Resize(width, height)
}

// Mark prints a mark as the shell would afterwards, and returns the screen once it is
// there: all that was written before is there then too. Nobody else may be writing.
func (s *Screen) Mark(t *testing.T, text string) []string {
	t.Helper()
	if _, err := s.TTY.WriteString(text); err != nil {
		t.Fatal(err)
	}
	var lines []string
	s.Wait(t, text, func() bool {
		lines = s.Lines()
		return slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, text) })
	})
	return lines
}

// patience is how long something may take to be shown, far more than it needs.
const patience = 30 * time.Second

// Wait waits until something is so, and names it if it never is: then the test ends, with
// the screen.
func (s *Screen) Wait(t testing.TB, what string, so func() bool) {
	t.Helper()
	s.wait(t, patience, what, so)
}

func (s *Screen) wait(t testing.TB, limit time.Duration, what string, so func() bool) {
	t.Helper()
	late := time.After(limit)
	for !so() {
		var why string
		select {
		case <-s.end:
			why = "the terminal has gone"
		case <-t.Context().Done():
			why = "the test is over"
		case <-late:
			why = "it took more than " + limit.String()
		case <-time.After(time.Millisecond):
			continue
		}
		t.Fatalf("never shown: %q: %s; the screen:\n%s", what, why, strings.Join(s.Lines(), "\n"))
	}
}

// Lines are what the screen shows now, without empty ones at its end.
func (s *Screen) Lines() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var lines []string
	for line := range strings.Lines(s.vt.String()) {
		lines = append(lines, strings.TrimRight(line, " \n"))
	}
	for len(lines) > 0 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

// Raw is all that was written so far.
func (s *Screen) Raw() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.raw.String()
}
