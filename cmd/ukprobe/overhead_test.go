// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
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
	want := []string{"overhead: 36 steps, each a second on an idle machine and more on a busy one", "[3/36] none, about 2m12s left", "[6/36] none, about 2m0s left"}
	if diff := cmp.Diff(want, lines[:3]); diff != "" || len(lines) != 12 {
		t.Errorf("%d lines (-want +got):\n%s", len(lines), diff)
	}
}

// TestOverheadBar: on a terminal there is a bar with the time left.
func TestOverheadBar(t *testing.T) {
	var b strings.Builder
	begun := time.Unix(1000, 0)
	now := begun
	s := &steps{w: &b, terminal: true, now: func() time.Time { return now }, begun: begun}
	for done := range 4 {
		s.step(done, 36, "raw_tp")
		now = now.Add(4 * time.Second)
	}
	s.close()
	if got := b.String(); !strings.Contains(got, "(3/36)") || !strings.Contains(got, "raw_tp, about 2m12s left") {
		t.Errorf("%q", got)
	}
}
