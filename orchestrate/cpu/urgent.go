// SPDX-License-Identifier: Apache-2.0

package cpu

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Urgent gives every thread of a process the lowest of the real-time priorities
// (SCHED_FIFO 1), which threads that start later inherit: it runs at once when it wakes
// up, whatever else of normal priority wants its CPU. It is for processes that sleep most
// of the time and wait for no other of normal priority; all threads of one, for those of
// Go's runtime wait for each other by yielding. Needs CAP_SYS_NICE; where a cgroup has no
// real-time budget (CONFIG_RT_GROUP_SCHED) the kernel refuses it as well.
func Urgent(pid int) error {
	return eachThread(pid, func(tid int) error {
		attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}
		if err := unix.SchedSetAttr(tid, &attr, 0); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("sched_setattr to SCHED_FIFO: %w: needs CAP_SYS_NICE and a real-time budget of its cgroup", err)
		}
		return nil
	})
}
