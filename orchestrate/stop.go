// SPDX-License-Identifier: Apache-2.0

package orchestrate

import (
	"time"

	"github.com/ukprobe/ukprobe/orchestrate/experiment"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/results"
)

// enough asks a cell's stopping rule, after one of its samples was stored.
func (r *Run) enough(step matrix.Step, c *cell) error {
	if step.Warmup || c.Until.WithinPercent == 0 {
		return nil
	}
	return r.judge(step.Cell, c)
}

func (r *Run) judge(i int, c *cell) error {
	rule := results.Until{WithinPercent: c.Until.WithinPercent, AtMost: c.Until.AtMost}
	rec := r.store.Cell(i)
	c.expected = rec.Expected(c.Samples, rule)
	why, stop := rec.Stop(c.Samples, rule)
	if !stop {
		return nil
	}
	c.over = true
	r.opt.Observer.Log("%s: %s", c.ID(), why.Reason)
	return r.store.SetCellStopped(i, why)
}

// timeLimit is how long a start may take.
func (c *cell) timeLimit() time.Duration {
	if !c.TimeoutLearnt {
		return c.Timeout
	}
	return c.limit.Now()
}

// learn takes the limit of a cell's starts from those that were ready, warm-ups too,
// and tells one that was not under which limit that was.
func (r *Run) learn(c *cell, s *experiment.Sample, cell int) error {
	if !c.TimeoutLearnt {
		return nil
	}
	if s.Status == experiment.Timeout && s.ReadyAfter == 0 {
		s.Value(results.TimeLimitNs, float64(c.limit.Now().Nanoseconds()))
		s.Reason += "; the limit: " + c.limit.String()
	}
	if s.ReadyAfter == 0 || c.limit.Known() {
		return nil
	}
	if c.limit.Worked(s.ReadyAfter); !c.limit.Known() {
		return nil
	}
	slowest, n := c.limit.Slowest()
	return r.store.SetCellLimit(cell, results.Limit{NS: c.limit.Now().Nanoseconds(), Samples: n, SlowestNS: slowest.Nanoseconds()})
}
