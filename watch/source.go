// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"time"

	"github.com/ukprobe/ukprobe/probe"
)

// Guest is one VM as the instrument gives it.
type Guest struct {
	ID    uint64 // never used again, also when the pid is
	PID   int    // the VMM's process
	Start uint64 // of that process, in clock ticks since boot (proc(5), field 22 of stat)
	Found time.Time
	// Counts reads what was counted since Found. It must not be called after
	// Release.
	Counts func() (probe.Counts, error)
}

// Event is the arrival or the end of a VM.
type Event struct {
	Guest Guest
	Gone  bool
}

// Source is the instrument that finds VMs and counts for them. FromProbe makes
// one of a probe.Probe; tests have their own.
type Source interface {
	// Events tells of VMs that come and go. It is closed when the instrument is.
	Events() <-chan Event
	// Adopt begins with a VM that runs already and has not shown itself.
	Adopt(pid int) (Guest, error)
	// Release gives back what the VM takes in the instrument; ignore: do not take
	// the process again by itself.
	Release(id uint64, ignore bool) error
	// WatchNetwork attaches to the VM's network device and returns its name, "" if
	// it has none.
	WatchNetwork(id uint64) (device string, err error)
	// Beyond is how many VMs could not be watched for want of room.
	Beyond() uint64
	// Hooks tells what is attached, and what has proven itself alive.
	Hooks() []probe.HookStatus
}
