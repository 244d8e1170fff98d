// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/ukprobe/ukprobe/orchestrate/cgroup"
)

// leaving is held while a guest is started: the kernel's side of a start is one at a time
// anyway (syscall.ForkLock), and those who look would take each other's CPUs.
var leaving sync.Mutex

// leaveAfterFork has the calling thread, which must be locked and is on the guest's CPUs so
// that its child is born there, leave them while it sleeps. It forks as vfork(2) does: it
// waits until the child's exec, and would then run where it went to sleep, on the guest's
// CPU, in the guest's first moments. Once the child is in the group, and so has its CPUs,
// another thread puts this one onto those of before that are not the guest's.
//
// That other thread can come too late, on a machine whose other CPUs are busy: then ukprobe
// did disturb the guest, and the sample says so. done must be called after the fork; the
// thread's CPUs are then either those or still the guest's.
func leaveAfterFork(g *cgroup.Group, guest, before unix.CPUSet) (done func()) {
	away, any := without(before, guest)
	if !any {
		return func() {}
	}
	if runtime.GOMAXPROCS(0) < 2 {
		// Go has taken back what it had (since 1.25), because ukprobe is pinned to one CPU. But
		// a thread that forks keeps its P, and nothing of Go would run until the exec.
		runtime.GOMAXPROCS(2)
	}
	leaving.Lock()
	var forked atomic.Bool
	looks, over := make(chan struct{}), make(chan struct{})
	thread := unix.Gettid()
	go func() {
		defer close(over)
		// Neither error is worth a word: the thread stays where it is, and is seen there.
		if came, _ := g.AwaitProcess(func() { close(looks) }, forked.Load); came {
			_ = unix.SchedSetaffinity(thread, &away)
		}
	}()
	<-looks
	return func() {
		forked.Store(true)
		<-over
		leaving.Unlock()
	}
}

// without is a set less what is in another, and whether anything is left.
func without(set, less unix.CPUSet) (unix.CPUSet, bool) {
	for n := range set {
		set[n] &^= less[n]
	}
	return set, set.Count() > 0
}
