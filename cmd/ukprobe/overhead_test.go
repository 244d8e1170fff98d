// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/internal/screentest"
)

// TestOverheadProgress: without a terminal a measurement of many steps says from time
// to time where it is and how long it will take.
func TestOverheadProgress(t *testing.T) {
	var b strings.Builder
	begun := time.Unix(1000, 0)
	now := begun
	s := &steps{w: &b, now: func() time.Time { return now }, begun: begun}
	for done := range 36 {
		s.step(done, 36, "none")
		now = now.Add(4 * time.Second)
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	want := []string{"overhead: 36 steps, each a second on an idle machine and more on a busy one", "[3/36] none, about 2m10s left", "[6/36] none, about 2m left"}
	if diff := cmp.Diff(want, lines[:3]); diff != "" || len(lines) != 12 {
		t.Errorf("%d lines (-want +got):\n%s", len(lines), diff)
	}
}

// TestOverheadOnATerminal: there a line with the time left stays in its place, and is
// gone at the end.
func TestOverheadOnATerminal(t *testing.T) {
	screen := screentest.New(t, 60, 10)
	now := time.Unix(1000, 0)
	s := &steps{terminal: screen.TTY, now: func() time.Time { return now }, begun: now}
	for done := range 4 {
		s.step(done, 36, "raw_tp")
		now = now.Add(4 * time.Second)
	}
	if got := screen.Mark(t, "$"); len(got) != 2 || got[0] != "[3/36] raw_tp, about 2m10s left" {
		t.Errorf("the screen shows %q", got)
	}
	s.close()
	if got := screen.Mark(t, "#"); len(got) != 1 {
		t.Errorf("left behind: %q", got)
	}
}
