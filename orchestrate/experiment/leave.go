// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"os"
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
// did disturb the guest, and the sample says so. done must be called after the fork, and
// waits for the other thread. That one may act after the caller has moved this thread itself:
// whoever wants it on certain CPUs puts it there after done.
func leaveAfterFork(g *cgroup.Group, guest, before unix.CPUSet) (done func()) {
	away, any := without(before, guest)
	if !any {
		return func() {}
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

// processors is for the first guest that is started on CPUs of its own.
var processors sync.Once

// enoughProcessors has Go run two threads at least, for good. Where ukprobe is pinned to one
// CPU Go takes back the others (since 1.25, within a second or so); but a thread that forks
// keeps its P, and nothing of Go would run until the exec. It stops the world, and so comes
// once and before the client asks. What a person has set in GOMAXPROCS stays, if it is more;
// else it is the number of CPUs that ukprobe has, as it would be without this.
func enoughProcessors(cpus int) {
	processors.Do(func() {
		n := runtime.GOMAXPROCS(0)
		if os.Getenv("GOMAXPROCS") == "" {
			n = min(n, cpus)
		}
		runtime.GOMAXPROCS(max(2, n))
	})
}

// without is a set less what is in another, and whether anything is left.
func without(set, less unix.CPUSet) (unix.CPUSet, bool) {
	for n := range set {
		set[n] &^= less[n]
	}
	return set, set.Count() > 0
}
