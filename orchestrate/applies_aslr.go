// SPDX-License-Identifier: Apache-2.0

package orchestrate

import (
	"fmt"

	"github.com/ukprobe/ukprobe/orchestrate/experiment"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/orchestrate/system"
	"github.com/ukprobe/ukprobe/probe"
)

// appliesUnder says why an experiment cannot be made under the cell's accelerator.
func (c *cell) appliesUnder() error {
	switch {
	case c.Experiment != matrix.ASLR:
		return nil
	case c.accel == platform.TCG:
		return fmt.Errorf("%w: under TCG the kernel does not see where the guest is: KVM is needed", system.ErrUnsupported)
	case c.accel == platform.KVM && c.Probes == matrix.ProbesNone:
		return fmt.Errorf("%w: %s sees where a guest is with BPF: leave --probes none out", system.ErrUnsupported, c.Experiment)
	case c.accel == platform.None && c.platform.Program() != "":
		return fmt.Errorf("%w: platform %s runs the guest without KVM in a process of its tender's, whose maps do not tell the guest's parts apart", system.ErrUnsupported, c.Platform)
	}
	return nil
}

// addresses finds out, once, whether it can be seen where guests are.
type addresses struct {
	open  func() (experiment.Addresser, error)
	tried bool
	err   error // why it cannot
}

// usable attaches for a moment what the samples attach, each for itself: it costs the exits
// of every guest, those of cells whose times count too.
func (a *addresses) usable() error {
	if a.tried {
		return a.err
	}
	a.tried = true
	var seer experiment.Addresser
	if seer, a.err = a.open(); a.err == nil {
		a.err = seer.Close()
	}
	return a.err
}

func openAddresses() (experiment.Addresser, error) { return probe.OpenAddresses() }

// addressable refuses a cell whose guest's addresses cannot be seen: that is its failure,
// and not the run's.
func (c *cell) addressable(a *addresses) {
	if c.status != "" || c.Experiment != matrix.ASLR || c.accel == platform.None {
		return
	}
	if err := a.usable(); err != nil {
		c.refuse(fmt.Errorf("%s: %w", c.Experiment, err))
	}
}
