// SPDX-License-Identifier: Apache-2.0

package client

import (
	"testing"
	"time"
)

// TestPace: how many SYNs go out is what the documentation says, and from the first
// hundredth on what is not known is never more than a hundredth of the time passed.
func TestPace(t *testing.T) {
	for length, want := range map[time.Duration]int{10 * time.Millisecond: 100, time.Second: 564, 30 * time.Second: 3464} {
		gaps := paceOf(DefaultInterval, length)
		if n := len(gaps); n < want-2 || n > want+2 {
			t.Errorf("%d SYNs in %v, want %d", n, length, want)
		}
		at := time.Duration(0)
		for _, gap := range gaps {
			if gap > max(DefaultInterval, at/100) || gap > LongestInterval || gap < DefaultInterval {
				t.Fatalf("after %v the next comes after %v", at, gap)
			}
			at += gap
		}
	}
	if got := pace(time.Second, time.Minute); got != time.Second {
		t.Errorf("an interval of a second becomes %v", got)
	}
}

// TestPassed: the time that counts begins with the service's start, if that is told.
func TestPassed(t *testing.T) {
	const ms = int64(time.Millisecond)
	for _, tt := range []struct {
		name                string
		now, first, started int64
		want                time.Duration
	}{
		{"from the first", 30 * ms, 10 * ms, 10 * ms, 20 * time.Millisecond},
		{"not started yet", 500 * ms, 10 * ms, 0, 0},
		{"not started for too long", 1510 * ms, 10 * ms, 0, 1500 * time.Millisecond},
		{"started", 510 * ms, 10 * ms, 500 * ms, 10 * time.Millisecond},
	} {
		if got := passed(tt.now, tt.first, tt.started); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}
