// SPDX-License-Identifier: Apache-2.0

package orchestrate

import (
	"fmt"

	"github.com/ukprobe/ukprobe/guests/linux"
	"github.com/ukprobe/ukprobe/orchestrate/system"
)

// fileSystemApplies: the app fio reads and writes a scratch disk; of others there is only
// something to see if they have a disk.
func fileSystemApplies(c *cell) error {
	if c.App != linux.Fio {
		return fmt.Errorf("%w: app %s does not read and write for itself: app %s does", system.ErrUnsupported, c.App, linux.Fio)
	}
	return nil
}
