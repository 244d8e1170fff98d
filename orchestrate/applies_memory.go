// SPDX-License-Identifier: Apache-2.0

package orchestrate

import (
	"fmt"

	"github.com/ukprobe/ukprobe/orchestrate/cgroup"
	"github.com/ukprobe/ukprobe/orchestrate/experiment"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/orchestrate/system"
	"github.com/ukprobe/ukprobe/orchestrate/workload"
)

// memoryMinApplies: what is no VM has the limit of its cgroup for a size.
func memoryMinApplies(c *cell) error {
	if c.platform.Program() == "" {
		h, err := cgroup.Find()
		if err == nil {
			err = h.Memory()
		}
		if err != nil {
			return fmt.Errorf("%w: %s on platform %s is limited by cgroup: %w", system.ErrUnsupported, c.Experiment, c.Platform, err)
		}
	}
	return c.exercisable()
}

// memoryUseApplies: an app that has done its work and ended, with nothing around it, uses
// none.
func memoryUseApplies(c *cell) error {
	if err := c.stays(); err != nil {
		return err
	}
	return c.exercisable()
}

// stays refuses an app that has ended when it is ready, with no VM around it.
func (c *cell) stays() error {
	if c.App == sqliteApp && c.platform.Program() == "" {
		return fmt.Errorf("%w: %s as a process has ended when it is ready: there is nothing to look at; memory-min says what it needs", system.ErrUnsupported, c.App)
	}
	return nil
}

// exercisable checks what the load of an app needs, if it has one.
func (c *cell) exercisable() error {
	g, ok := workload.For(c.App)
	if !ok || c.platform.Wire() == platform.NoWire {
		return nil
	}
	return c.loadable(g)
}

// exercise is the load of the cell's app: its generator's, or else plain requests.
func (c *cell) exercise() experiment.Exerciser {
	w, _ := c.load()
	if g, ok := workload.For(c.App); ok {
		return experiment.Generated(g, w)
	}
	return experiment.Requests
}
