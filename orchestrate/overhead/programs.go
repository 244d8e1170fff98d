// SPDX-License-Identifier: Apache-2.0

package overhead

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ukprobe/ukprobe/guests/reference"
	"github.com/ukprobe/ukprobe/probe"
	"github.com/ukprobe/ukprobe/results"
)

// allTasks makes the guest pass every hook that a guest without a network can.
var allTasks = reference.Cmdline{PIO: 8000, CPUID: 8000, HLT: 5}

// programs runs the guest once per rung under the kernel's BPF statistics. They
// cost time themselves, so this is not part of the rounds. A program that never ran
// is left out.
func (m *measurement) programs(ctx context.Context, have []condition) ([]results.OverheadProgram, error) {
	var out []results.OverheadProgram
	seen := map[string]bool{}
	for _, c := range singleRungs(have) {
		m.tell("BPF statistics, " + c.name)
		stats, err := m.programTimes(ctx, c)
		if err != nil {
			return nil, fmt.Errorf("BPF statistics, %s: %w", c.name, err)
		}
		for _, s := range stats {
			if s.Runs == 0 || seen[s.Program] { // a hook without this rung fell back to one that was seen
				continue
			}
			seen[s.Program] = true
			out = append(out, results.OverheadProgram{Hook: s.Hook, Rung: string(s.Rung), Program: s.Program,
				Runs: s.Runs, NsRun: float64(s.Time) / float64(s.Runs) / float64(time.Nanosecond)})
		}
		m.steps++
	}
	return out, nil
}

// singleRungs are the conditions that show each rung once; boot stands for them
// only where none can be had by itself.
func singleRungs(have []condition) []condition {
	var single, auto []condition
	for _, c := range have {
		switch {
		case c.watch && c.attach != probe.Auto:
			single = append(single, c)
		case c.watch && !c.full:
			auto = append(auto, c)
		}
	}
	if len(single) > 0 {
		return single
	}
	return auto
}

// programTimes runs one guest under one condition.
func (m *measurement) programTimes(ctx context.Context, c condition) (_ []probe.ProgramStat, err error) {
	p, err := c.open()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	on, err := probe.CountRuns()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, on.Close()) }()
	if _, err = m.boot(ctx, allTasks, p, c.full); err != nil {
		return nil, err
	}
	return p.ProgramStats()
}
