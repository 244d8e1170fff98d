// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/ukprobe/ukprobe/internal/procstat"
)

// owner identifies one process across pid reuse and reboots.
type owner struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // clock ticks since boot, proc(5) stat field 22
	Boot  string `json:"boot"`  // /proc/sys/kernel/random/boot_id
}

func self() (owner, error) {
	start, err := ProcessStart(os.Getpid())
	if err != nil {
		return owner{}, err
	}
	return owner{PID: os.Getpid(), Start: start, Boot: bootID()}, nil
}

// alive tells whether exactly this process still runs. A zombie does not.
func (o owner) alive() bool {
	if o.PID <= 0 || o.Boot != bootID() {
		return false
	}
	start, err := ProcessStart(o.PID)
	return err == nil && start == o.Start
}

// ProcessStart gives the time pid was started, in clock ticks since boot
// (field 22 of /proc/PID/stat, see proc_pid_stat(5)). The pair (pid, start) is
// not reused within one boot. A zombie, which has ended, is an error wrapping
// os.ErrNotExist like a pid that does not exist.
func ProcessStart(pid int) (uint64, error) {
	path := fmt.Sprintf("/proc/%d/stat", pid)
	raw, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("start time of pid %d: %w", pid, err)
	}
	s, err := procstat.Parse(raw)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	if s.State == "Z" || s.State == "X" {
		return 0, fmt.Errorf("start time of pid %d: ended, not yet reaped: %w", pid, os.ErrNotExist)
	}
	return s.Start, nil
}

// bootID is the kernel's random id of this boot; "" where /proc hides it, which
// then is the same for every process here.
var bootID = sync.OnceValue(func() string {
	raw, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(raw))
})
