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
	case c.Cache != matrix.CacheAsIs && c.platform.Wire() == platform.MovedWire:
		return fmt.Errorf("%w: cache %s: %s", system.ErrUnsupported, c.Cache, experiment.LayersUnknown)
	}
	return nil
}

// cacheable refuses a cell whose image, which is there now, cannot be cached as it says.
// dir is the run's folder.
func (c *cell) cacheable(dir string) {
	if c.status != "" {
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
