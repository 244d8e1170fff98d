// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"context"
	"fmt"
	"time"

	"github.com/ukprobe/ukprobe/orchestrate/platform"
)

// The moments of memory-use, as they stand in the names of its values.
const (
	momentReady = "ready"
	momentIdle  = "idle"
	momentLoad  = "load"
)

const (
	// idleTime is how long a guest is left alone before it is taken for idle.
	idleTime = time.Second
	// memoryTick is the time between two points of the curves. Reading smaps stops the
	// VMM from mapping memory for a moment: milliseconds for a large guest.
	memoryTick = 100 * time.Millisecond
)

// MemoryUse is the experiment of what is in memory for a guest: of the guest's own
// memory, and of its VMM's, when it is ready, idle and under load.
func MemoryUse(b *Boot, exercise Exerciser) Sampler {
	b.Memory = b.Cgroups.Memory() == nil
	load := b.Settings.Load
	b.During = &During{
		Limit: 2*idleTime + load.Duration + b.Settings.Timeout,
		Do:    func(ctx context.Context, l *Live) error { return (&memoryUse{l: l, exercise: exercise}).run(ctx) },
	}
	return b
}

// memoryUse is one guest's.
type memoryUse struct {
	l        *Live
	exercise Exerciser
	how      string             // by what the guest's memory was recognised
	most     map[string]float64 // of the moment under way, by name without the moment
}

func (u *memoryUse) run(ctx context.Context) error {
	s := u.l.Sample
	if !u.l.Boot.Memory {
		s.Lacks("charged_"+momentReady+"_bytes", u.l.Boot.Cgroups.Memory().Error())
	}
	if err := u.moment(momentReady, u.read); err != nil {
		return err
	}
	if err := u.moment(momentIdle, func() error { return u.watch(ctx, after(ctx, idleTime)) }); err != nil {
		return err
	}
	if u.l.Boot.Image.Service == nil || u.l.Boot.Platform.Wire() == platform.NoWire {
		u.noLoad()
		return nil
	}
	return u.moment(momentLoad, func() error { return u.underLoad(ctx) })
}

// noLoad says that there are no figures under load. Those that a sample of this kind of
// guest lacks anyway (huge pages, the cgroup's) are not named again.
func (u *memoryUse) noLoad() {
	names := []string{"process", "pss", "page_tables"}
	if !u.l.Boot.bare() {
		names = []string{"guest", "vmm", "pss", "page_tables"}
	}
	for _, name := range names {
		u.l.Sample.Lacks(name+"_"+momentLoad+"_bytes", "the app serves nothing over the network: it has no load")
	}
}

// after is closed when a time is over.
func after(ctx context.Context, d time.Duration) <-chan error {
	done := make(chan error, 1)
	go func() {
		select {
		case <-time.After(d):
		case <-ctx.Done():
		}
		done <- nil
	}()
	return done
}

// underLoad repeats the load until its time is over.
func (u *memoryUse) underLoad(ctx context.Context) error {
	done := make(chan error, 1)
	go func() {
		for end := time.Now().Add(u.l.Boot.Settings.Load.Duration); ; {
			if err := u.exercise(ctx, u.l); err != nil || !time.Now().Before(end) || ctx.Err() != nil {
				done <- err
				return
			}
		}
	}()
	return u.watch(ctx, done)
}

// watch reads memory again and again until something is done, once at least.
func (u *memoryUse) watch(ctx context.Context, done <-chan error) error {
	tick := time.NewTicker(memoryTick)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			if err != nil || ctx.Err() != nil {
				return err
			}
			return u.read()
		case <-tick.C:
		}
		if err := u.read(); err != nil {
			last := <-done // the load ends with the guest
			if last != nil {
				return last
			}
			return err
		}
	}
}

// moment notes the values of a moment: the most that was read in it.
func (u *memoryUse) moment(name string, read func() error) error {
	u.most = map[string]float64{}
	if err := read(); err != nil {
		return err
	}
	for what, v := range u.most {
		u.l.Value(what+"_"+name+"_bytes", v)
	}
	return nil
}

// read adds a point to each curve.
func (u *memoryUse) read() error {
	b := u.l.Boot
	pids, err := u.l.Group.Pids()
	if err != nil {
		return fmt.Errorf("memory of the guest's processes: %w", err)
	}
	virtual := !b.bare()
	var guest uint64
	own := "process"
	if virtual {
		guest, own = uint64(b.Settings.MemoryMiB)*mib, "vmm"
	}
	now, err := readMemory(pids, guest)
	if err != nil {
		return err
	}
	if now.guest != nil {
		u.found(now.how)
		u.point("guest", now.ns, now.guest.rss)
		u.point("guest_huge", now.ns, now.guest.huge)
	}
	if now.guest != nil || !virtual {
		u.point(own, now.ns, now.private)
		u.point("shared", now.ns, now.shared)
	} else if u.how == "" {
		u.found("")
	}
	u.point("pss", now.ns, now.pss)
	u.point("page_tables", now.ns, now.pageTables)
	return u.charged(now.ns)
}

// found tells once by what the guest's memory was recognised, or that it was not.
func (u *memoryUse) found(how string) {
	if u.how != "" {
		return
	}
	if u.how = how; how != "" {
		u.l.Sample.Output("guest_memory", "found as "+how+"\n")
		return
	}
	u.how = "not found"
	why := fmt.Sprintf("none of the VMM's mappings is of exactly %d MiB: the guest's memory cannot be told from the VMM's", u.l.Boot.Settings.MemoryMiB)
	u.l.Sample.Lacks("guest_"+momentReady+"_bytes", why)
	u.l.Sample.Lacks("vmm_"+momentReady+"_bytes", why)
}

// charged adds what the memory cgroup says, if there is one.
func (u *memoryUse) charged(ns int64) error {
	if u.l.Memory == nil {
		return nil
	}
	use, err := u.l.Memory.Usage()
	if err != nil {
		return err
	}
	u.point("charged", ns, use.Current)
	u.point("charged_anon", ns, use.Anon)
	u.point("charged_file", ns, use.File)
	if use.Kernel >= 0 {
		u.point("charged_kernel", ns, use.Kernel)
	}
	return nil
}

// point adds to a curve and keeps the most of the moment.
func (u *memoryUse) point(what string, ns int64, bytes int64) {
	u.l.Sample.curve(what+"_bytes", ns, float64(bytes))
	u.most[what] = max(u.most[what], float64(bytes))
}
