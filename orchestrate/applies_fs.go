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
	if c.App != linux.Fio && len(c.system.Describe(c.want()).Disks) == 0 {
		return fmt.Errorf("%w: %s %s has no disk (disk: in the cell gives it one; app %s gets one to read and write)", system.ErrUnsupported, c.System, c.App, linux.Fio)
	}
	return nil
}
