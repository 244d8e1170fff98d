// SPDX-License-Identifier: Apache-2.0

package orchestrate

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/ukprobe/ukprobe/orchestrate/cgroup"
	"github.com/ukprobe/ukprobe/orchestrate/docker"
	"github.com/ukprobe/ukprobe/orchestrate/experiment"
	"github.com/ukprobe/ukprobe/orchestrate/interference"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/probe"
	"github.com/ukprobe/ukprobe/results"
)

// quiet sees who disturbs the samples.
type quiet struct {
	seer  *probe.Interference
	meter *interference.Meter // nil: not measured
	why   string              // then, if it was to be
	// group keeps the run's cgroup between samples: its id is what the programs know
	// the run's tasks by.
	group  *cgroup.Group
	window *interference.Window // of the sample that is being taken
	// engineUnknown is why a container engine's own work counts as foreign; "" if it does not.
	engineUnknown string
	// unneeded is why a hook that only engines need is still attached; "" if it is not.
	unneeded string
}

// groupName is that of an empty cgroup beside the samples'.
const groupName = "run"

func looksForInterference(c matrix.Cell) bool {
	return !c.Interference.Off && c.Probes != matrix.ProbesNone
}

// watchInterference makes a meter, if a cell wants one. That it cannot be had is a
// taint of every sample, and no error.
func (l *laboratory) watchInterference(ctx context.Context, attach probe.Rung, cells []matrix.Cell) (err error) {
	if !slices.ContainsFunc(cells, looksForInterference) {
		return nil
	}
	if l.quiet.group, err = l.cgroups.New(l.journal, l.runID, groupName); err != nil {
		return err
	}
	id, err := l.quiet.group.RunID()
	if err != nil {
		return err
	}
	if l.quiet.seer, l.quiet.why = openSeer(attach); l.quiet.seer != nil {
		l.quiet.meter = interference.NewMeter(l.quiet.seer, id, filepath.Dir(l.quiet.group.Path))
		if !slices.ContainsFunc(cells, usesEngine) {
			if err := l.quiet.seer.NoEngine(); err != nil {
				l.quiet.unneeded = err.Error()
			}
			return nil
		}
		l.quiet.watchEngine(ctx)
	}
	return nil
}

// watchEngine has a container engine's processes known: they do what is measured.
func (q *quiet) watchEngine(ctx context.Context) {
	e, err := docker.Connect(ctx)
	if errors.Is(err, docker.ErrNoEngine) {
		return // its cells say so
	}
	if err == nil {
		var pids []int
		if pids, err = e.Processes(ctx); err == nil {
			err = q.seer.Engine(pids)
		}
		err = errors.Join(err, e.Close())
	}
	if err != nil {
		q.engineUnknown = err.Error()
	}
}

// usesEngine tells a cell whose guests a container engine starts.
func usesEngine(c matrix.Cell) bool { return inContainer(c) && looksForInterference(c) }

// openSeer attaches the programs, or says why that cannot be.
func openSeer(attach probe.Rung) (*probe.Interference, string) {
	seer, err := probe.OpenInterference(attach)
	if err != nil {
		return nil, err.Error()
	}
	return seer, ""
}

// hooks are those that see the interference, for the results.
func (q *quiet) hooks() []probe.HookStatus {
	if q.seer == nil {
		return nil
	}
	return q.seer.Hooks()
}

func (q *quiet) close() error {
	var errs []error
	if q.seer != nil {
		errs = append(errs, q.seer.Close())
	}
	if q.group != nil {
		errs = append(errs, q.group.Close())
	}
	return errors.Join(errs...)
}

// take takes one sample of a cell, on its CPUs, and judges who else was there.
func (l *laboratory) take(ctx context.Context, c *cell, warmup bool, name string) (experiment.Sample, disturbance, error) {
	plan := l.cpus.of(c.Cell)
	if err := l.cpus.pinSelf(plan); err != nil {
		return experiment.Sample{}, disturbance{}, err
	}
	l.quiet.window = nil
	if l.quiet.meter != nil && looksForInterference(c.Cell) {
		l.quiet.window = l.quiet.meter.Window(guestCPUs(c, plan), plan.Client)
		if usesEngine(c.Cell) {
			l.quiet.window.OfEngine()
		}
	}
	pauses := watchPauses()
	s, err := c.sampler(l, warmup).Sample(ctx, name)
	paused := pauses.end()
	if err != nil {
		return s, disturbance{}, err
	}
	s.Taints = append(s.Taints, l.cpus.host.Taints()...)
	if l.quiet.why != "" && looksForInterference(c.Cell) {
		s.Taint("interference not measured: %s", l.quiet.why)
	}
	if l.quiet.unneeded != "" && looksForInterference(c.Cell) {
		s.Taint("interference: a hook on the start of tasks, which only engines need, could not be detached: %s", l.quiet.unneeded)
	}
	if l.quiet.engineUnknown != "" && usesEngine(c.Cell) {
		s.Taint("interference: the engine's own work counts as foreign: %s", l.quiet.engineUnknown)
	}
	r := l.quiet.window.Result(c.Interference.AtMostPercent)
	s.Taints = append(s.Taints, slices.Concat(r.Taints, paused)...)
	r.Disturbed = r.Disturbed || len(paused) > 0
	for name, v := range r.Values {
		s.Value(name, v)
	}
	return s, disturbance{r}, nil
}

// disturbance is what disturbed a sample.
type disturbance struct{ interference.Result }

func (d disturbance) record(s *results.Sample) {
	s.Disturbed = d.Disturbed
	for _, x := range d.Sources {
		s.Interference = append(s.Interference, results.Interference{Kind: x.Kind, Name: x.Name, CPU: x.CPU, NS: x.Time.Nanoseconds(), Count: x.Count})
	}
}

// by names who disturbed a sample most: the first of those whose time is judged.
func by(s results.Sample) string {
	for _, i := range s.Interference {
		x := interference.Source{Kind: i.Kind, Name: i.Name, CPU: i.CPU}
		if x.Judged() {
			return fmt.Sprintf(", most by %s on cpu %d", x, i.CPU)
		}
	}
	return ""
}
