// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/ukprobe/ukprobe/orchestrate/cgroup"
	"github.com/ukprobe/ukprobe/orchestrate/network"
	"github.com/ukprobe/ukprobe/probe"
)

// During is what an experiment does with a guest that is ready.
type During struct {
	// Limit is how long it may take.
	Limit time.Duration
	// Do uses the guest. It fills in the sample's values and outputs; its error fails
	// the sample, which keeps what was filled in. ctx ends with the limit, the run, or
	// the guest.
	Do func(ctx context.Context, l *Live) error
	// Console says that Do reads what the guest prints, which may need hooks that are
	// given back at ready otherwise.
	Console bool
	// MayEnd says that it is well if the guest ends by itself meanwhile.
	MayEnd bool
}

// limit is zero for none.
func (d *During) limit() time.Duration {
	if d == nil {
		return 0
	}
	return d.Limit
}

// Live is a guest that is ready.
type Live struct {
	Boot   *Boot
	Addr   netip.Addr // of the guest; not valid where it has no network
	Group  *cgroup.Group
	Memory *cgroup.Memory // nil unless Boot.Memory
	Watch  Watch
	Dir    string // of the sample; it exists only if the launch wanted it
	Sample *Sample
	Disk   *probe.Disk // nil unless Boot.DiskIO
	nic    network.Guest
	guest  *guest
	own    *notes // what ukprobe itself has noted of the boot: a container's begins there
}

// total is how long the boot took, as experiment boot has it; nil if it is not known.
func (l *Live) total() *time.Duration { return l.own.with(l.Watch.Events()).Phases().Total }

// Value notes a figure of the sample. The unit is the end of the name: _ns, _bytes,
// _per_second, _ratio, _percent.
func (l *Live) Value(name string, v float64) { l.Sample.Value(name, v) }

// errGuestEnded is why a context of During.Do has ended.
var errGuestEnded = errors.New("the guest ended")

// during has the experiment use the guest, as long as there is one.
func (b *Boot) during(ctx context.Context, s *Sample, l *Live) {
	ctx, stop := context.WithTimeout(ctx, b.During.Limit) // what the boot has left of its time is not the use's
	defer stop()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	over := make(chan struct{})
	go func() {
		defer close(over)
		select {
		case <-l.guest.done:
			if !b.During.MayEnd {
				cancel(errGuestEnded)
			}
		case <-ctx.Done():
		}
	}()
	s.usedFrom = monotonicNs()
	err := b.During.Do(ctx, l)
	cause := context.Cause(ctx)
	cancel(nil)
	<-over
	switch {
	case errors.Is(cause, errGuestEnded):
		l.Watch.Drain()
		s.Status, s.Reason = Failed, fmt.Sprintf("%s ended during %s: %s%s%s", b.what(), b.Experiment, b.exitText(l.guest), stderrText(l.guest), lastLine(l.Watch))
	case errors.Is(cause, context.DeadlineExceeded):
		s.Status, s.Reason = Timeout, fmt.Sprintf("%s was not over after %v", b.Experiment, b.During.Limit)
	case cause != nil:
		s.Status, s.Reason = Interrupted, "interrupted"
	case err != nil:
		s.Status, s.Reason = Failed, fmt.Sprintf("%s: %v", b.Experiment, err)
	}
}

// leaveOut takes out of the timeline what the use of the guest has caused: to an app
// that speaks first nobody had sent a request before.
func (s *Sample) leaveOut() {
	if s.usedFrom == 0 {
		return
	}
	t := &s.Timeline
	t.Events = slices.DeleteFunc(t.Events, func(e probe.Event) bool {
		caused := e.Name == probe.EventFirstRequest && e.NS >= s.usedFrom
		if caused {
			t.Missing = append(t.Missing, probe.Missing{Name: e.Name, Reason: "the first was one of the load, after the boot"})
		}
		return caused
	})
}
