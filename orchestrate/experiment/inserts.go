// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/workload"
	"github.com/ukprobe/ukprobe/probe"
)

// Inserts measures a guest that works for itself and prints a line after each so many
// requests: sqlite's throughput. The times are those of the lines as the host saw them.
func Inserts(line string, perLine int, w matrix.Workload, timeout time.Duration) *During {
	return &During{Limit: loadLimit(w, timeout), Console: true, Do: func(ctx context.Context, l *Live) error {
		return l.inserts(ctx, line, perLine, w)
	}}
}

// curveRate is the name of the curve of requests per second.
const curveRate = "requests_per_second"

func (l *Live) inserts(ctx context.Context, line string, perLine int, w matrix.Workload) error {
	s := series{line: line, warmup: w.Warmup, duration: w.Duration}
	if w.Requests > 0 {
		s.lines, s.duration = (w.Requests+perLine-1)/perLine, 0
	}
	var before meter
	for {
		seen := s.begun()
		s.read(l.Watch.Lines())
		if !seen && s.begun() {
			var err error
			if before, err = l.meter(); err != nil {
				return err
			}
		}
		if s.over() {
			break
		}
		if s.lost(l) {
			return errors.New("the guest printed more lines than are kept: a shorter load.duration, please")
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-l.Watch.Progress():
		case <-time.After(20 * time.Millisecond):
		}
	}
	after, err := l.meter()
	if err != nil {
		return err
	}
	took := s.at[s.last] - s.at[s.first]
	if took <= 0 {
		return errors.New("the lines came in one read: a longer load.duration, or more load.requests, please")
	}
	n := (s.last - s.first) * perLine
	f := workload.Figures{Requests: uint64(n), Duration: took, PerSecond: float64(n) / took.Seconds()}
	l.figures("", f)
	for _, name := range []string{"p50", "p90", "p99"} {
		l.Sample.Lacks("latency_"+name+"_ns", fmt.Sprintf("the guest prints a line after %d inserts, not after each", perLine))
	}
	l.curve(&s, perLine)
	// The readings are a moment later than the lines: what was done between them is by
	// the rate.
	l.costs("", before, after, uint64(math.Round(f.PerSecond*after.at.Sub(before.at).Seconds())))
	return nil
}

// curve notes the rate between each two lines.
func (l *Live) curve(s *series, perLine int) {
	var points []Point
	for i := s.first + 1; i <= s.last; i++ {
		if d := s.at[i] - s.at[i-1]; d > 0 {
			points = append(points, Point{NS: s.at[i].Nanoseconds(), Value: float64(perLine) / d.Seconds()})
		}
	}
	l.Sample.Curves = map[string][]Point{curveRate: points}
}

// series are the times of the lines of one kind.
type series struct {
	line             string
	warmup, duration time.Duration
	lines            int // that are measured, in place of a duration; 0: by that

	at          []time.Duration // of all lines so far, CLOCK_MONOTONIC
	first, last int             // what is measured: from the end of one to the end of the other; 0 if not known yet
}

// read takes the lines that a guest has printed, again and again.
func (s *series) read(lines []probe.Line) {
	s.at = s.at[:0]
	for _, l := range lines {
		if !l.Partial && strings.Contains(l.Clean(), s.line) {
			s.at = append(s.at, time.Duration(l.LastNS))
		}
	}
	for i := 1; s.first == 0 && i < len(s.at); i++ {
		if s.at[i]-s.at[0] >= s.warmup {
			s.first = i
		}
	}
	for i := s.first + 1; s.first > 0 && s.last == 0 && i < len(s.at); i++ {
		if s.lines > 0 && i-s.first >= s.lines || s.lines == 0 && s.at[i]-s.at[s.first] >= s.duration {
			s.last = i
		}
	}
}

func (s *series) begun() bool { return s.first > 0 }
func (s *series) over() bool  { return s.last > 0 }

// lost tells that later lines are not kept: a watch keeps so many, and the ready one.
func (s *series) lost(l *Live) bool { return len(l.Watch.Lines()) >= probe.MaxLines }
