// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ukprobe/ukprobe/guests/reference"
	"github.com/ukprobe/ukprobe/orchestrate/overhead/rig"
	"github.com/ukprobe/ukprobe/probe"
)

// errTool is a failure of another tool that has run before on this host.
var errTool = errors.New("the tool failed this time")

// observer is a condition at work: ukprobe's probes, another tool, or nothing.
type observer struct {
	probe       *probe.Probe
	watch, full bool
	tool        session
	dir         string         // of the tool
	programs    probe.Programs // that came with it
	account     account
	counts      probe.Counts // of the last guest
	began       time.Time
	cpu         time.Duration // of this process until then
}

// begin attaches what a condition wants.
func (b *bench) begin(ctx context.Context, c condition) (o *observer, err error) {
	o = &observer{watch: c.Watch, full: c.Full, programs: probe.Programs{}, began: time.Now(), cpu: ownCPU()}
	defer func() {
		if err != nil {
			err = errors.Join(err, o.close())
		}
	}()
	if c.tool != nil {
		return o, o.beginTool(ctx, b, *c.tool)
	}
	if o.probe, err = c.Open(); err != nil || o.probe == nil {
		return o, err
	}
	if c.Watch {
		var lost uint64
		o.account.Seen, o.account.Lost = map[answer]uint64{}, &lost
	}
	return o, o.addPrograms()
}

// addPrograms learns which programs are the probe's: some are attached only while a
// guest is watched, and stay in the kernel's list for a moment after.
func (o *observer) addPrograms() error {
	now, err := o.probe.Programs()
	maps.Copy(o.programs, now)
	return err
}

func (o *observer) beginTool(ctx context.Context, b *bench, t tool) (err error) {
	if o.dir, err = os.MkdirTemp(b.workDir, "tool-"); err != nil {
		return fmt.Errorf("make a folder for %s: %w", t.name, err)
	}
	if o.tool, err = t.begin(ctx, o.dir); err != nil {
		return fmt.Errorf("%w: start it: %w", errTool, err)
	}
	o.programs, err = probe.TracingPrograms() // the tool's own among them
	return err
}

// take adds what the probe says of one guest, and refuses a count of port writes that
// is not the guest's.
func (o *observer) take(c reference.Cmdline, w *probe.Watch) error {
	counts, err := w.Counts()
	if err != nil {
		return err
	}
	o.counts = counts
	if err := rig.CheckSeen(c, counts); err != nil {
		return err
	}
	seen := o.account.Seen
	seen[portWrites] += uint64(c.PIO)
	if n, ok := counts.ExitCounts["cpuid"]; ok {
		seen[cpuids] += n
	} else if n, ok := counts.Values["cpuid"]; ok {
		seen[cpuids] += n
	}
	if n, ok := counts.ExitCounts["hlt"]; ok {
		seen[halts] += n
	} else if n, ok := counts.Values["halts"]; ok {
		seen[halts] += n
	}
	for _, n := range counts.Lost {
		*o.account.Lost += n
	}
	return nil
}

// end ends a tool and gives the account of the whole condition.
func (o *observer) end(ctx context.Context) (account, error) {
	if o.tool == nil {
		if o.probe != nil {
			o.account.CPU = ownCPU() - o.cpu
		}
		return o.account, nil
	}
	t := o.tool
	a, err := t.stop(ctx)
	o.tool = nil
	if err != nil {
		t.cancel()
		return a, fmt.Errorf("%w: %w", errTool, err)
	}
	return a, nil
}

// close takes away what is left.
func (o *observer) close() error {
	var errs []error
	if o.tool != nil {
		o.tool.cancel()
	}
	if o.probe != nil {
		errs = append(errs, o.probe.Close())
	}
	if o.dir != "" {
		errs = append(errs, os.RemoveAll(o.dir))
	}
	return errors.Join(errs...)
}

// ownCPU is the user and system time of this process so far.
func ownCPU() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0 // cannot happen
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
