// SPDX-License-Identifier: Apache-2.0

package orchestrate

import (
	"fmt"

	"github.com/ukprobe/ukprobe/orchestrate/experiment"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/network"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/orchestrate/system"
)

// startable says what of the settings about the start itself does not go with a cell.
func (c *cell) startable() error {
	switch {
	case c.Parallel > 1 && c.Experiment != matrix.Boot:
		return fmt.Errorf("%w: parallel: only experiment %s starts guests at once, and %s does not: leave that out", system.ErrUnsupported, matrix.Boot, c.Experiment)
	case c.Parallel > network.MaxGuests && c.platform.Wire() != platform.NoWire:
		return fmt.Errorf("%w: parallel: the network of the laboratory has %d addresses", system.ErrUnsupported, network.MaxGuests)
	case c.Boots() && c.Tap == matrix.TapKeep && c.platform.Wire() != platform.TapWire:
		return fmt.Errorf("%w: tap %s: platform %s has no tap: leave that out", system.ErrUnsupported, c.Tap, c.Platform)
	}
	return nil
}

// addressesFor refuses more taps that are kept than there are addresses for.
func addressesFor(cells []matrix.Cell) error {
	kept := 0
	for _, c := range cells {
		if p, err := platform.Find(c.Platform); err == nil && c.Boots() && c.Tap == matrix.TapKeep && p.Wire() == platform.TapWire {
			kept += slots([]matrix.Cell{c}) - 1
		}
	}
	if others := slots(cells) - 1; kept > 0 && kept+others > network.MaxGuests {
		return fmt.Errorf("tap %s: the cells would keep %d addresses between their samples, and a sample takes up to %d, of %d that there are: make several runs of them", matrix.TapKeep, kept, others, network.MaxGuests)
	}
	return nil
}

// cacheable refuses a cell whose image, which is there now, cannot be cached as it says.
// dir is the run's folder.
func (c *cell) cacheable(dir string) {
	if c.status != "" || !c.Boots() {
		return
	}
	l, err := platform.Command(c.system, c.platform, c.image, c.resources(), c.sampleNIC())
	if err == nil {
		err = experiment.Cacheable(c.Cache, c.image, l, dir)
	}
	if err != nil {
		c.refuse(err)
	}
}
