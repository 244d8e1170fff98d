// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/ukprobe/ukprobe/guests/reference"
	"github.com/ukprobe/ukprobe/orchestrate/cgroup"
	"github.com/ukprobe/ukprobe/orchestrate/overhead/rig"
)

// times are those of one guest. None comes from a probe.
type times struct {
	rig.Times
	CPU time.Duration `json:"cpu_ns"` // user and system time of the whole QEMU process
	pid int           // QEMU's
}

// boot runs one guest to its end, in a cgroup of its own. If an observer is given and
// it watches, what the probe counted is held against what the guest did: the cost of
// probes that see nothing would be no answer.
func (b *bench) boot(ctx context.Context, c reference.Cmdline, o *observer) (t times, err error) {
	g, err := b.cgroups.New(b.journal, b.runID, "guest"+strconv.FormatInt(b.guests.Add(1), 10))
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, g.Close()) }()
	if o == nil || !o.watch {
		return b.run(ctx, c, g)
	}
	w, err := o.probe.Watch(b.guest.Target(g, o.full))
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	if err := o.addPrograms(); err != nil {
		return t, err
	}
	if t, err = b.run(ctx, c, g); err != nil {
		return t, err
	}
	return t, o.take(c, w)
}

func (b *bench) run(ctx context.Context, c reference.Cmdline, g *cgroup.Group) (times, error) {
	t, vmm, err := b.guest.Run(ctx, c, g)
	if err != nil {
		return times{Times: t}, err
	}
	return times{Times: t, CPU: vmm.UserTime() + vmm.SystemTime(), pid: vmm.Pid()}, nil
}
