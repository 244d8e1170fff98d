// SPDX-License-Identifier: Apache-2.0

package orchestrate

import (
	"fmt"

	"github.com/ukprobe/ukprobe/orchestrate/system"
	"github.com/ukprobe/ukprobe/orchestrate/workload"
)

func dnsApplies(c *cell) error {
	if !workload.DNS(c.App) {
		return fmt.Errorf("%w: app %s is no server of names", system.ErrUnsupported, c.App)
	}
	if err := c.served(); err != nil {
		return err
	}
	return c.loadable(workload.Dnsperf{})
}
