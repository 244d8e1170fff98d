// SPDX-License-Identifier: Apache-2.0

package system

import (
	"fmt"

	"github.com/ukprobe/ukprobe/guests/linux"
)

// fioJob is what the app fio is to do with a file.
func fioJob(w Want, file string) linux.FioJob {
	l := w.Settings.Load
	return linux.FioJob{File: file, BlockBytes: l.BlockBytes, Duration: l.Duration, Warmup: l.Warmup, Requests: l.Requests, Depth: l.Pipeline}
}

// scratch gives the guest its disk, if it is to have one.
func (b *Boot) scratch(w Want) {
	if w.Scratch {
		disk := w.Settings.Scratch
		b.Scratch = &disk
	}
}

// virtioDisk is the node of a Linux guest's n-th virtio disk, from 0 on
// (drivers/block/virtio_blk.c, virtblk_name_format).
func virtioDisk(n int) string { return fmt.Sprintf("/dev/vd%c", 'a'+n) }
