// SPDX-License-Identifier: Apache-2.0

package orchestrate

import (
	"errors"
	"fmt"

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
	case c.accel == platform.None && c.platform.Program() != "":
		return fmt.Errorf("%w: platform %s runs the guest without KVM in a process of its tender's, whose maps do not tell the guest's parts apart", system.ErrUnsupported, c.Platform)
	}
	return nil
}

// addresses says where guests are.
type addresses struct {
	seer *probe.Addresses // nil if no cell wants it, or it cannot be had
	err  error            // why it cannot
}

// watchAddresses attaches what sees addresses, if a cell wants it. That it cannot be had
// is those cells' failure, and not the run's.
func (l *laboratory) watchAddresses(cells []matrix.Cell) {
	for _, c := range cells {
		if c.Experiment == matrix.ASLR {
			if l.addresses.seer, l.addresses.err = probe.OpenAddresses(); l.addresses.err == nil {
				l.attached(l.addresses.seer.Hook())
			}
			return
		}
	}
}

func (a *addresses) close() error {
	if a.seer == nil {
		return nil
	}
	return a.seer.Close()
}

// addressable gives a cell what sees its guest's addresses, or refuses it.
func (c *cell) addressable(a *addresses) {
	if c.status != "" || c.Experiment != matrix.ASLR || c.accel == platform.None {
		return
	}
	if a.seer != nil {
		c.seer = a.seer
		return
	}
	err := a.err
	if err == nil {
		err = errors.New("nothing sees the guest's addresses")
	}
	c.refuse(fmt.Errorf("%s: %w", c.Experiment, err))
}
