// SPDX-License-Identifier: Apache-2.0

package overhead

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ukprobe/ukprobe/guests/reference"
	"github.com/ukprobe/ukprobe/orchestrate/overhead/rig"
	"github.com/ukprobe/ukprobe/probe"
	"github.com/ukprobe/ukprobe/results"
)

// allTasks makes the guest pass every hook that a guest without a network can.
var allTasks = reference.Cmdline{PIO: 8000, CPUID: 8000, HLT: 5}

// programs runs the guest once per rung under the kernel's BPF statistics. They
// cost time themselves, so this is not part of the rounds. A program that never ran
// is left out.
func (m *measurement) programs(ctx context.Context, have []rig.Condition) ([]results.OverheadProgram, error) {
	var out []results.OverheadProgram
	seen := map[string]bool{}
	for _, c := range singleRungs(have) {
		m.tell("BPF statistics, " + c.Name)
		stats, err := m.programTimes(ctx, c)
		if err != nil {
			return nil, fmt.Errorf("BPF statistics, %s: %w", c.Name, err)
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

// singleRungs are the conditions that show each rung once; of those by auto, boot
// stands for them.
func singleRungs(have []rig.Condition) []rig.Condition {
	return rig.SingleRungs(slices.DeleteFunc(slices.Clone(have), func(c rig.Condition) bool { return c.Full }))
}

// programTimes runs one guest under one condition.
func (m *measurement) programTimes(ctx context.Context, c rig.Condition) (_ []probe.ProgramStat, err error) {
	p, err := c.Open()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	on, err := probe.CountRuns()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, on.Close()) }()
	if _, err = m.boot(ctx, allTasks, p, c.Full); err != nil {
		return nil, err
	}
	return p.ProgramStats()
}
