// SPDX-License-Identifier: Apache-2.0

package orchestrate

import (
	"time"

	"github.com/ukprobe/ukprobe/orchestrate/matrix"
)

// mean is a running mean of durations.
type mean struct {
	n   int
	sum time.Duration
}

func (r *Run) note(cell int, d time.Duration) {
	m := r.took[cell]
	if m == nil {
		m = &mean{}
		r.took[cell] = m
	}
	m.n++
	m.sum += d
}

// progress says where the run is before the step of that index.
func (r *Run) progress(i int, step matrix.Step, c *cell) Progress {
	p := Progress{Step: r.done + 1, Steps: r.done, Warmups: r.warm, Index: step.Cell, Cell: c.ID(), Accel: c.accel, Sample: step.Sample + 1,
		Samples: c.Samples, Warmup: step.Warmup, Left: r.left(i), Experiment: c.Experiment, Apart: r.lab.apart(c)}
	if c.Until.WithinPercent > 0 {
		p.AtMost = c.Until.AtMost
	}
	open := map[int]bool{}
	for _, s := range r.order[i:] {
		if r.likely(s) {
			open[s.Cell] = true
			p.Steps++
			if s.Warmup {
				p.Warmups++
			}
			p.Estimated = p.Estimated || r.cells[s.Cell].Until.WithinPercent > 0
		}
	}
	for _, c := range r.cells {
		if c.status == "" {
			p.Cells++
		}
	}
	p.CellsDone = p.Cells - len(open)
	return p
}

// likely says whether a step is needed, as far as can be told now.
func (r *Run) likely(step matrix.Step) bool {
	if !r.needed(step) {
		return false
	}
	c := r.cells[step.Cell]
	if step.Warmup || c.Until.WithinPercent == 0 {
		return true
	}
	return step.Sample < max(c.expected, c.Samples)
}

// left estimates the time that the remaining samples take: a cell's own mean, or
// the mean of all cells for one that has not been sampled.
func (r *Run) left(from int) time.Duration {
	var all mean
	for _, m := range r.took {
		all.n++
		all.sum += m.sum / time.Duration(m.n)
	}
	if all.n == 0 {
		return -1
	}
	var left time.Duration
	for _, s := range r.order[from:] {
		if !r.likely(s) {
			continue
		}
		if m := r.took[s.Cell]; m != nil {
			left += m.sum / time.Duration(m.n)
		} else {
			left += all.sum / time.Duration(all.n)
		}
	}
	return left
}
