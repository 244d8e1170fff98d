// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"fmt"
	"time"
)

// What something may take that has been seen to work: so many times the slowest, and a
// moment for very short ones.
const (
	slowdown = 5
	grace    = time.Second
)

// learnBoots is from how many times it is learnt at least.
const learnBoots = 3

// Limit is a time limit that is learnt from how long something took that worked: until
// From of them have been seen, and one before that found cold caches and sets no
// measure, it is Bound. Then it stays as it is, so that all samples after that had the same.
type Limit struct {
	Bound time.Duration
	From  int // 0: learnBoots

	seen           int
	first, slowest time.Duration
}

func (l *Limit) from() int { return max(l.From, learnBoots) }

// Worked notes how long it took.
func (l *Limit) Worked(took time.Duration) {
	switch {
	case l.seen > l.from():
		return
	case l.seen == 0:
		l.first = took
	default:
		l.slowest = max(l.slowest, took)
	}
	l.seen++
}

// Known says whether enough has been seen.
func (l *Limit) Known() bool { return l.seen > l.from() }

// Now is the limit. It is never less than what has worked, so that what exceeds it has
// taken longer than all that worked.
func (l *Limit) Now() time.Duration {
	if !l.Known() {
		return l.Bound
	}
	return min(l.Bound, max(slowdown*l.slowest+grace, l.first))
}

// Slowest is what it was learnt from: the longest of how many.
func (l *Limit) Slowest() (time.Duration, int) { return l.slowest, l.seen }

// Restore makes it one that was learnt before.
func (l *Limit) Restore(now, slowest time.Duration, seen int) {
	l.first, l.slowest, l.seen = min(l.Bound, now), slowest, max(seen, l.from()+1)
}

// String says where the limit is from.
func (l *Limit) String() string {
	if !l.Known() {
		return fmt.Sprintf("it is the matrix's: %d of %d starts to learn from were ready", l.seen, l.from()+1)
	}
	return fmt.Sprintf("learnt from %d starts, the slowest %v; the matrix's bound is %v", l.seen, l.slowest.Round(time.Millisecond), l.Bound)
}
