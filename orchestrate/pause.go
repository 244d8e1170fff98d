// SPDX-License-Identifier: Apache-2.0

package orchestrate

import (
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// pauseTick is how often it is noted that ukprobe runs: how long it was stopped is known
// to within that. A wake-up each on the client's CPUs is all that it costs.
const pauseTick = 50 * time.Millisecond

// pauseLeast is the least suspension that is told, far above the jitter of reading two clocks.
const pauseLeast = 10 * time.Millisecond

// pauses sees when ukprobe itself does not run while a sample is taken: stopped by a
// signal (SIGSTOP, Ctrl-Z), or suspended with the host. What it times is wrong then. That
// it merely waited for a CPU is no pause: only what SIGCONT ended is one.
type pauses struct {
	mu        sync.Mutex
	continued chan os.Signal
	stop      chan struct{}
	done      chan struct{}
	alive     time.Time     // last seen running
	stops     int           // how often it was stopped
	stopped   time.Duration // how long at most, together
	suspended time.Duration // of the host, when it began
}

// watchPauses begins to watch; end ends it.
func watchPauses() *pauses {
	p := &pauses{continued: make(chan os.Signal, 1), stop: make(chan struct{}), done: make(chan struct{}), alive: time.Now(), suspended: hostSuspended()}
	signal.Notify(p.continued, syscall.SIGCONT)
	go p.watch()
	return p
}

func (p *pauses) watch() {
	defer close(p.done)
	tick := time.NewTicker(pauseTick)
	defer tick.Stop()
	for {
		select {
		case <-p.continued:
			p.wasStopped()
		case <-tick.C:
			p.tick()
		case <-p.stop:
			return
		}
	}
}

// wasStopped notes a stop that has ended: since ukprobe was last seen running, at most.
func (p *pauses) wasStopped() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.stops++
	p.stopped += now.Sub(p.alive)
	p.alive = now
}

// tick notes that ukprobe runs. After a gap SIGCONT may be on its way: it is to find when
// the gap began.
func (p *pauses) tick() {
	if p.gap() {
		select {
		case <-p.continued:
			p.wasStopped()
			return
		case <-time.After(pauseTick):
		}
	}
	p.mu.Lock()
	p.alive = time.Now()
	p.mu.Unlock()
}

// gap says whether ukprobe was not seen running for some time.
func (p *pauses) gap() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Since(p.alive) > 2*pauseTick
}

// end ends the watching, and returns a taint for what there was.
func (p *pauses) end() (taints []string) {
	if p.gap() { // stopped at the sample's very end, perhaps: SIGCONT may be on its way
		time.Sleep(pauseTick)
	}
	close(p.stop)
	<-p.done
	signal.Stop(p.continued)
	select {
	case <-p.continued:
		p.wasStopped()
	default:
	}
	switch {
	case p.stops == 1:
		taints = append(taints, fmt.Sprintf("ukprobe was stopped for at most %.2f s while the sample ran", p.stopped.Seconds()))
	case p.stops > 1:
		taints = append(taints, fmt.Sprintf("ukprobe was stopped %d times, for at most %.2f s, while the sample ran", p.stops, p.stopped.Seconds()))
	}
	if d := hostSuspended() - p.suspended; d >= pauseLeast {
		taints = append(taints, fmt.Sprintf("the host was suspended for %.2f s while the sample ran", d.Seconds()))
	}
	return taints
}

// hostSuspended is how long the host has been suspended since its boot: what
// CLOCK_BOOTTIME counts and CLOCK_MONOTONIC does not. Both are always there (since Linux 2.6.39).
func hostSuspended() time.Duration {
	var mono, boot unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &mono) != nil || unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot) != nil {
		return 0
	}
	return time.Duration(boot.Nano() - mono.Nano())
}
