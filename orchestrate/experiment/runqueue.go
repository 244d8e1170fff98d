// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// queueTick is how often it is looked how long the client's threads have waited: what one
// waits after the last look before its end is not known.
const queueTick = 50 * time.Millisecond

// watchQueue adds up, until ended is closed, how long all threads of some processes have
// been ready to run and were on no CPU. The sum is negative if it is not known.
func watchQueue(pids func() ([]int, error), ended <-chan struct{}) <-chan time.Duration {
	out := make(chan time.Duration, 1)
	go func() {
		tick := time.NewTicker(queueTick)
		defer tick.Stop()
		threads := map[string]time.Duration{}
		for {
			if all, err := pids(); err == nil {
				for _, pid := range all {
					lookAtQueue(pid, threads)
				}
			}
			select {
			case <-ended:
				sum := time.Duration(0)
				for _, d := range threads {
					sum += d
				}
				if len(threads) == 0 {
					sum = -1
				}
				out <- sum
				return
			case <-tick.C:
			}
		}
	}()
	return out
}

// lookAtQueue notes how long each thread of a process has waited since its start: the
// second field of schedstat (Documentation/scheduler/sched-stats.rst). One that has ended
// keeps what was seen of it.
func lookAtQueue(pid int, threads map[string]time.Duration) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		return
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		var ran, waited, slices int64
		if n, err := fmt.Sscan(string(raw), &ran, &waited, &slices); n == 3 && err == nil {
			threads[file] = max(threads[file], time.Duration(waited))
		}
	}
}
