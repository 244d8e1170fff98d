// SPDX-License-Identifier: Apache-2.0

package overhead

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"time"

	"github.com/ukprobe/ukprobe/guests/reference"
	"github.com/ukprobe/ukprobe/orchestrate/overhead/rig"
	"github.com/ukprobe/ukprobe/probe"
)

const (
	// patience is how much time a measurement spends on other BPF programs, all in
	// all: waiting for them to go, and repeating what they disturbed. After that it
	// takes what it gets, and counts it.
	patience = 30 * time.Second
	// quiet is how long it waits at one time: the kernel takes our own programs away
	// some moments after they were closed.
	quiet = 2 * time.Second
	// calibrationOps makes the guests long that the TSC's rate is taken from, in port
	// writes.
	calibrationOps = 50_000
)

// calibrate measures the rate of the guests' TSC, in ticks per nanosecond.
func (m *measurement) calibrate(ctx context.Context) (float64, error) {
	return rig.TicksPerNs(func() (rig.Times, error) {
		return m.boot(ctx, reference.Cmdline{PIO: calibrationOps}, nil, false)
	})
}

// round runs every condition once, in random order. A condition after which other
// BPF programs are loaded than before is run again while there is patience; disturbed counts
// those that were kept.
func (m *measurement) round(ctx context.Context, have []rig.Condition) (got sampled, disturbed int, err error) {
	got = sampled{}
	for _, i := range m.rand.Perm(len(have)) {
		m.tell(have[i].Name)
		for {
			begun := time.Now()
			clean, err := m.runCondition(ctx, have[i], got)
			if err != nil {
				return nil, 0, fmt.Errorf("condition %s: %w", have[i].Name, err)
			}
			if clean {
				break
			}
			if m.patience -= time.Since(begun); m.patience <= 0 {
				disturbed++
				break
			}
		}
		m.steps++
	}
	return got, disturbed, nil
}

// runCondition attaches, runs all workloads in random order and detaches. It is
// clean if the BPF programs that are loaded before and after it are the same but for
// ours. One that came and went in between is not noticed: its number in the kernel
// would tell, but ours, loaded on demand, and what the kernel loads for cgroups take
// numbers as well.
func (m *measurement) runCondition(ctx context.Context, c rig.Condition, got sampled) (clean bool, err error) {
	alone, err := m.onlyBaseline(ctx)
	if err != nil {
		return false, err
	}
	m.ours = probe.Programs{}
	p, err := c.Open()
	if err != nil {
		return false, err
	}
	watched := p
	if p != nil {
		defer func() { err = errors.Join(err, p.Close()) }()
		if !c.Watch {
			watched = nil
			done, err := m.watchNobody(p)
			if err != nil {
				return false, err
			}
			defer func() { err = errors.Join(err, done()) }()
		}
		if err := m.own(p); err != nil {
			return false, err
		}
	}
	runtime.GC() // what loading left behind shall not be paid for by the guest
	if err := pause(ctx, 30*time.Millisecond); err != nil {
		return false, err
	}
	ws := workloads()
	for _, i := range m.rand.Perm(len(ws)) {
		t, err := m.boot(ctx, ws[i].task, watched, c.Full)
		if err != nil {
			return false, err
		}
		if got[ws[i].name] == nil {
			got[ws[i].name] = map[string]rig.Times{}
		}
		got[ws[i].name][c.Name] = t
	}
	still, err := m.baseline.Undisturbed(m.ours)
	return alone && still, err
}

// watchNobody watches a cgroup in which no guest ever starts: it keeps every hook
// attached that a guest about to boot has.
func (m *measurement) watchNobody(p *probe.Probe) (done func() error, err error) {
	g, err := m.group()
	if err != nil {
		return nil, err
	}
	w, err := p.Watch(m.guest.Target(g, false))
	if err != nil {
		return nil, errors.Join(err, g.Close())
	}
	return func() error { return errors.Join(w.Close(), g.Close()) }, nil
}

// own notes a probe's programs as ours, those attached on demand included.
func (m *measurement) own(p *probe.Probe) error {
	now, err := p.Programs()
	maps.Copy(m.ours, now)
	return err
}

// settle finds the baseline: the tracing programs of others that stay, such as a
// security agent's. Ours of a run that has just ended are given time to go.
func (m *measurement) settle(ctx context.Context) error {
	m.baseline = probe.Programs{}
	if alone, err := m.onlyBaseline(ctx); err != nil || alone {
		return err
	}
	var err error
	m.baseline, err = probe.TracingPrograms()
	return err
}

// onlyBaseline waits for a while, as far as there is patience, until nothing is
// loaded but the baseline.
func (m *measurement) onlyBaseline(ctx context.Context) (bool, error) {
	return m.baseline.Await(ctx, min(quiet, m.patience))
}

// pause is a sleep that an interrupt ends.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
