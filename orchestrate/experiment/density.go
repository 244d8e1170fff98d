// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ukprobe/ukprobe/orchestrate/cgroup"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
)

// The names of what density yields.
const (
	Instances        = "instances" // that run and answer in the memory given
	InstancesAtLeast = "instances_at_least"
	perInstance      = "memory_per_instance_bytes"
)

// densityRequests is how often the n-th guest is asked; its latency is the median.
const densityRequests = 9

// Density is the experiment of how many guests run and answer in a given amount of
// memory. A sample starts them one after another.
type Density struct{ Boot *Boot }

// Sample implements Sampler.
func (d *Density) Sample(ctx context.Context, name string) (s Sample, err error) {
	s = Sample{Started: time.Now(), Taints: d.Boot.planTaints()}
	if why := tooLittle(d.Boot.Settings.Density.RAMMiB); why != "" {
		s.Status, s.Reason = Failed, why
		return s, nil
	}
	f := &fleet{boot: d.Boot, name: name, run: d.Boot.RunID + "." + name, s: &s, release: make(chan struct{})}
	if err := f.limit(); err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, f.memory.Close()) }()
	own, err := f.own()
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, own.Close()) }()
	why, byMemory, err := f.grow(ctx)
	err = errors.Join(err, f.end())
	f.boots.into(&s)
	if err == nil {
		f.judge(ctx, why, byMemory)
	}
	return s, err
}

// tooLittle says that the host has not so much memory to give.
func tooLittle(mibs int) string {
	raw, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(raw)) {
		f := strings.Fields(line)
		if len(f) != 3 || f[0] != "MemAvailable:" {
			continue
		}
		if n, err := strconv.Atoi(f[1]); err == nil && n/1024 < mibs {
			return fmt.Sprintf("density: ram_mib is %d, and this host has %d MiB to give: set it lower", mibs, n/1024)
		}
	}
	return ""
}

// fleet is the guests of one sample.
type fleet struct {
	boot    *Boot
	name    string // of the sample
	run     string // under whose name the guests' cgroups are, so that they have one of their own above them
	s       *Sample
	memory  *cgroup.Memory // of all; nil where there is no controller
	guests  []*member
	release chan struct{} // closed when they are to end
	boots   tally
	used    int64 // of memory, with all that run and answer
	good    int   // how many those are

	unmarked error // why it is not known whether all memory has been in use since the last start
}

// limit makes the cgroup above all guests.
func (f *fleet) limit() (err error) {
	b := f.boot
	if err := b.Cgroups.Memory(); err != nil {
		f.s.Taint("density: %v: the guests' PSS is added up in place of a limit", err)
		return nil
	}
	if f.memory, err = b.Cgroups.MemoryOfRun(b.Journal, f.run); err != nil {
		return err
	}
	if err := f.memory.Limit(int64(b.Settings.Density.RAMMiB) * mib); err != nil {
		return errors.Join(err, f.memory.Close())
	}
	return nil
}

// ownGroup is the name of an empty cgroup beside the guests'.
const ownGroup = "fleet"

// own makes a group of the fleet's, by which the one above all guests is known: whoever
// runs in that is no stranger.
func (f *fleet) own() (*cgroup.Group, error) {
	g, err := f.boot.Cgroups.New(f.boot.Journal, f.run, ownGroup)
	if err != nil {
		return nil, err
	}
	id, err := g.RunID()
	if err != nil {
		return nil, errors.Join(err, g.Close())
	}
	f.boot.Window.In(id)
	return g, nil
}

// grow starts guests until one cannot be had: why says what happened, and byMemory
// that memory was the reason. Without an error and a why as many run as were asked for.
func (f *fleet) grow(ctx context.Context) (why string, byMemory bool, err error) {
	for len(f.guests) < f.boot.Settings.Density.AtMost {
		g := f.start(ctx)
		select {
		case <-g.ready:
		case <-g.done:
		}
		why := f.trouble(ctx)
		if why == "" {
			why, err = f.measure(ctx, g)
		}
		if err != nil || ctx.Err() != nil {
			return "", false, err
		}
		if why != "" {
			return why, f.byMemory(), nil
		}
		f.good = len(f.guests)
		if limit := int64(f.boot.Settings.Density.RAMMiB) * mib; f.memory == nil && f.used > limit {
			f.good--
			return fmt.Sprintf("with guest %d they use %s", len(f.guests), sizeText(int(f.used/kib))), true, nil
		}
	}
	return "", false, nil
}

// start starts one guest more, which runs until the fleet ends.
func (f *fleet) start(ctx context.Context) *member {
	if f.memory != nil {
		f.unmarked = f.memory.Mark()
	}
	b := *f.boot
	b.RunID, b.Memory = f.run, f.memory != nil
	g := begin(ctx, b, fmt.Sprintf("%s-%d", f.name, len(f.guests)+1), nil, f.release)
	f.guests = append(f.guests, g)
	return g
}

// trouble says what is wrong with one of the guests: all have to run, and to answer.
func (f *fleet) trouble(ctx context.Context) string {
	for i, g := range f.guests {
		switch {
		case g.gone() && g.err != nil:
			return fmt.Sprintf("guest %d: %v", i+1, g.err)
		case g.gone():
			return fmt.Sprintf("guest %d of %d: %s", i+1, len(f.guests), g.sample.Reason)
		}
		if _, err := g.live.request(ctx, nil); err != nil {
			return fmt.Sprintf("guest %d of %d does not answer any more: %v", i+1, len(f.guests), err)
		}
	}
	return ""
}

// measure adds the n-th guest to the curves.
func (f *fleet) measure(ctx context.Context, g *member) (why string, err error) {
	now := monotonicNs()
	if g.bootNs > 0 {
		f.s.curve("boot_ns", now, float64(g.bootNs))
	}
	latency, err := f.latency(ctx, g)
	if err != nil {
		return fmt.Sprintf("guest %d: %v", len(f.guests), err), nil
	}
	if latency > 0 {
		f.s.curve("latency_ns", now, float64(latency.Nanoseconds()))
	}
	if f.used, err = f.use(); err != nil {
		return "", err
	}
	f.s.curve("memory_bytes", now, float64(f.used))
	return "", nil
}

// latency is the median of a few answers, from SYN to first byte; 0 for an app that
// serves nothing.
func (f *fleet) latency(ctx context.Context, g *member) (time.Duration, error) {
	var all []time.Duration
	for range densityRequests {
		a, err := g.live.request(ctx, nil)
		if err != nil || a == nil {
			return 0, err
		}
		all = append(all, a.latency)
	}
	slices.Sort(all)
	return all[len(all)/2], nil
}

// use is what all guests together use now.
func (f *fleet) use() (int64, error) {
	if f.memory != nil {
		u, err := f.memory.Usage()
		return u.Current, err
	}
	var pids []int
	for _, g := range f.guests {
		own, err := g.live.Group.Pids()
		if err != nil {
			return 0, err
		}
		pids = append(pids, own...)
	}
	now, err := readMemory(pids, 0)
	return now.pss, err
}

// byMemory tells whether what has just gone wrong may be for lack of memory: something
// was killed for it, or all was in use since the last start. Before that the kernel may
// have taken back page cache, which harms nobody.
func (f *fleet) byMemory() bool {
	if f.memory == nil {
		return false
	}
	if full, err := f.memory.AtLimit(); err == nil && full && f.unmarked == nil {
		return true
	}
	return slices.ContainsFunc(f.guests, func(g *member) bool { return g.gone() && g.sample.OutOfMemory })
}

// end ends all guests and waits for them.
func (f *fleet) end() error {
	close(f.release)
	var errs []error
	for _, g := range f.guests {
		<-g.done
		errs = append(errs, g.err)
		f.boots.add(g.sample)
		f.s.Argv = g.sample.Argv
	}
	return errors.Join(errs...)
}

// judge says what the sample has come to.
func (f *fleet) judge(ctx context.Context, why string, byMemory bool) {
	s, limit := f.s, f.boot.Settings.Density
	if why != "" {
		s.Output("end", why+"\n")
	}
	switch {
	case ctx.Err() != nil:
		s.Status, s.Reason = Interrupted, "interrupted"
		return
	case f.good == 0:
		s.Status, s.Reason = Failed, "not one: "+why
		return
	case why != "" && !byMemory:
		s.Status, s.Reason = Failed, fmt.Sprintf("%d run and answer, and the end was not for lack of memory: %s", f.good, why)
	case why == "":
		s.Status = OK
		s.Value(InstancesAtLeast, float64(f.good))
		bound := fmt.Sprintf("%d run and answer, which is density.at_most and so no result: they use %s of %d MiB", f.good, sizeText(int(f.used/mib*1024)), limit.RAMMiB)
		s.Lacks(Instances, bound)
		s.Taint("density: %s", bound)
	default:
		s.Status = OK
		s.Value(Instances, float64(f.good))
	}
	f.ends()
}

// ends are the figures of the first guest and of the last.
func (f *fleet) ends() {
	if m := f.s.Curves["memory_bytes"]; len(m) >= f.good {
		f.s.Value(perInstance, m[f.good-1].Value/float64(f.good))
	}
	for _, what := range []string{"boot", "latency"} {
		c := f.s.Curves[what+"_ns"]
		if len(c) < f.good {
			why := "not every guest's was seen"
			if what == "latency" && f.silent() {
				why = "the app serves nothing over the network"
			}
			f.s.Lacks(what+"_first_ns", why)
			f.s.Lacks(what+"_last_ns", why)
			continue
		}
		f.s.Value(what+"_first_ns", c[0].Value)
		f.s.Value(what+"_last_ns", c[f.good-1].Value)
	}
}

// silent: the app answers nobody.
func (f *fleet) silent() bool {
	return f.boot.Image.Service == nil || f.boot.Platform.Wire() == platform.NoWire
}
