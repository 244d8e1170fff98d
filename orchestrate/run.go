// SPDX-License-Identifier: Apache-2.0

package orchestrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/ukprobe/ukprobe/orchestrate/experiment"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/overhead"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/orchestrate/system"
	"github.com/ukprobe/ukprobe/results"
)

// Run is one run of a matrix, from the laboratory's set-up to the last sample.
type Run struct {
	opt      Options
	id       string
	lab      *laboratory
	cells    []*cell
	store    *results.Store
	cost     *results.Overhead // of the probes on this host
	versions map[string]string // of the programs, asked once
	metrics  *Metrics
	took     map[int]*mean // of a cell's samples, for the estimate
	order    []matrix.Step
	done     int  // steps, also those of the parts before
	warm     int  // of them, warm-ups
	moved    bool // resumed on a host that is not the one the run began on
	cut      bool // a cell lacks samples and cannot be run any more
}

// NewRunID names a run by its start: sortable, and short enough for names of
// interfaces' namespaces and cgroups.
func NewRunID(t time.Time, seed uint64) string {
	return fmt.Sprintf("%s-%04x", t.UTC().Format("20060102-150405"), uint16(seed))
}

// Start checks the matrix, sets the laboratory up and prepares the images. The
// caller must call Close, also after an error of Do.
func Start(ctx context.Context, o Options) (_ *Run, err error) {
	if o.Observer == nil {
		o.Observer = Quiet{}
	}
	defer func() {
		if err != nil && o.Resume != nil {
			err = errors.Join(err, o.Resume.Close())
		}
	}()
	wanted, err := o.expand()
	if err != nil {
		return nil, err
	}
	// Before images are built, which can take minutes.
	if o.Resume == nil {
		if err := results.CheckDir(o.Out); err != nil {
			return nil, err
		}
	}
	started := time.Now()
	r := &Run{opt: o, id: NewRunID(started, o.Seed), took: map[int]*mean{}, metrics: newMetrics(), store: o.Resume}
	if r.lab, err = openLaboratory(ctx, &r.opt, r.id, wanted); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close())
		}
	}()
	r.lab.metrics = r.metrics
	if w, ok := o.Observer.(Watcher); ok {
		r.lab.seen = w.Seen
	}
	if r.lab.probe != nil {
		r.metrics.attach(r.lab.probe)
	}
	host := platform.DetectHost()
	systems := system.All(system.Env{CacheDir: o.CacheDir, WorkDir: r.lab.workDir, Images: o.Images, Logf: o.Observer.Log})
	seen := addresses{open: openAddresses}
	for _, c := range wanted {
		cell := resolve(c, systems, host)
		cell.watchable(r.lab.probe)
		cell.addressable(&seen)
		cell.warn(o.Observer.Log)
		r.cells = append(r.cells, cell)
	}
	for _, cell := range r.cells {
		known := cell.status != ""
		cell.prepare(ctx, host)
		cell.cacheable(r.lab.workDir)
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		if !known {
			cell.warn(o.Observer.Log)
		}
	}
	r.order = matrix.Order(wanted, o.Seed)
	if err := r.createStore(ctx, started, host); err != nil {
		return r, err
	}
	f := r.store.Snapshot()
	r.metrics.run.describe(f.Run, f.Host)
	return r, nil
}

// createStore writes the head of the results: what will be measured, on what.
func (r *Run) createStore(ctx context.Context, started time.Time, host platform.Host) (err error) {
	r.versions = versions(ctx, r.cells)
	head := results.Run{ID: r.id, Version: r.opt.Version, Started: started, Seed: r.opt.Seed, Argv: r.opt.Argv, Status: results.RunRunning, Asked: &r.opt.Asked}
	cells := make([]results.Cell, len(r.cells))
	for i, c := range r.cells {
		cells[i] = c.record()
		r.lab.observed(c, cells[i].Settings)
	}
	r.cost = overhead.Known(r.opt.StateDir, overhead.HostNow(host), r.opt.Version)
	if r.store != nil {
		return r.resume(started, r.host(host), cells)
	}
	r.store, err = results.Create(r.opt.Out, head, r.host(host), cells)
	return err
}

// host describes the host as it stands in the results.
func (r *Run) host(h platform.Host) results.Host {
	out := fingerprint(h, r.lab.probe, r.cells)
	out.Settings = r.lab.cpus.host.Facts()
	for _, s := range r.lab.hooks() {
		out.Rungs[s.Hook] = results.Rung{Rung: string(s.Rung), Reason: s.Why()}
	}
	out.Overhead, out.Versions = r.cost, r.versions
	return out
}

// probed tells whether any cell needs the kernel's side.
func probed(cells []matrix.Cell) bool {
	return slices.ContainsFunc(cells, func(c matrix.Cell) bool { return c.Probes != matrix.ProbesNone })
}

// ID is the run's name.
func (r *Run) ID() string { return r.id }

// Do takes the samples. It returns context.Cause if it was interrupted; what had
// been finished is kept.
func (r *Run) Do(ctx context.Context) error {
	for i, step := range r.order {
		if !r.needed(step) {
			continue
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		c := r.cells[step.Cell]
		if err := r.sample(ctx, i, step, c); err != nil {
			return err
		}
		r.done++
		if step.Warmup {
			r.warm++
		}
		r.metrics.run.done.WithLabelValues().Set(float64(r.done))
		if err := r.enough(step, c); err != nil {
			return err
		}
	}
	return nil
}

// needed says whether a step is still to be taken.
func (r *Run) needed(step matrix.Step) bool {
	c := r.cells[step.Cell]
	if c.status != "" || c.over {
		return false
	}
	return c.past.needs(step, c.MostSamples())
}

// sample takes one sample and stores it, unless it is a warm-up.
func (r *Run) sample(ctx context.Context, i int, step matrix.Step, c *cell) error {
	p := r.progress(i, step, c)
	r.metrics.run.progress(p.Steps, r.done)
	for again := c.past.again(step); ; again++ {
		r.opt.Observer.Begin(p)
		rec, err := r.once(ctx, i, again, step, c, p)
		if err != nil {
			return err
		}
		if step.Warmup || !mustRepeat(rec) || again >= c.Interference.Repeat {
			return nil
		}
		r.opt.Observer.Log("%s, sample %d was disturbed%s: taking it again (%d of at most %d)", c.ID(), step.Sample+1, by(rec), again+1, c.Interference.Repeat)
	}
}

// mustRepeat says whether a sample is taken again, if the cell's setting allows.
func mustRepeat(s results.Sample) bool { return s.Disturbed && s.Status == results.SampleOK }

// once takes a step's sample, or takes it again.
func (r *Run) once(ctx context.Context, i, again int, step matrix.Step, c *cell, p Progress) (results.Sample, error) {
	begun := time.Now()
	s, disturbed, err := r.lab.take(ctx, c, step.Warmup, sampleName(i, again))
	if err != nil {
		return results.Sample{}, fmt.Errorf("%s, sample %d: %w", c.ID(), step.Sample+1, err)
	}
	r.note(step.Cell, time.Since(begun))
	if s.Status == experiment.Interrupted {
		return results.Sample{}, context.Cause(ctx)
	}
	if err := r.learn(c, &s, step.Cell); err != nil {
		return results.Sample{}, err
	}
	s.Taints = append(s.Taints, c.past.taints...)
	rec := record(s)
	disturbed.record(&rec)
	if again > 0 {
		rec.RepeatOf = c.stored - again + 1
	}
	return rec, r.ended(p, step, c, s, rec)
}

// ended stores a sample, unless it is a warm-up, and then tells of it: what is told as
// finished is stored.
func (r *Run) ended(p Progress, step matrix.Step, c *cell, s experiment.Sample, rec results.Sample) error {
	if !step.Warmup {
		if err := r.keep(step.Cell, c, s, rec); err != nil {
			return err
		}
	}
	r.opt.Observer.End(p, rec)
	return nil
}

func (r *Run) keep(place int, c *cell, s experiment.Sample, rec results.Sample) error {
	c.counts.Add(s.Counts)
	if !c.argvStored { // the same in every sample, and each setting is a transaction
		if err := r.store.SetCellArgv(place, s.Argv); err != nil {
			return err
		}
		c.argvStored = true
	}
	if err := r.store.AddSampleWith(place, rec, c.past.with(histograms(c.counts))); err != nil {
		return err
	}
	c.stored++
	r.metrics.observe(c, rec)
	return nil
}

// sampleName is a step's in the run: of its cgroup and folder.
func sampleName(step, again int) string {
	name := fmt.Sprintf("s%d", step)
	if again > 0 {
		name += fmt.Sprintf("r%d", again)
	}
	return name
}

// Metrics is what --listen serves.
func (r *Run) Metrics() *Metrics { return r.metrics }

// Results is what has been stored so far.
func (r *Run) Results() *results.File { return r.store.Snapshot() }

// CutShort tells whether a cell lacks samples that cannot be taken any more, so that the
// run is not as it was asked for.
func (r *Run) CutShort() bool { return r.cut }

// Finish writes the run's end, and the rungs that only the first device showed.
// It comes before Close. before is the error of Do, if any: want of room or a store that is
// gone, if it told that, is not told again. written says whether the run's run.json is there.
func (r *Run) Finish(status string, before error) (written bool, err error) {
	host := r.store.SetHost(r.finalHost(platform.DetectHost()))
	end := r.store.Finish(status)
	return end == nil, toldOnce(before, host, end)
}

// toldOnce joins the errors of a run's end, with a store that is gone or has no room only in
// the last of them, and not at all if it has been told before.
func toldOnce(before error, end ...error) error {
	told := notStored(before)
	for i := len(end) - 1; i >= 0; i-- {
		switch lost := notStored(end[i]); {
		case lost && told:
			end[i] = nil
		case lost:
			told = true
		}
	}
	return errors.Join(end...)
}

func notStored(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, results.ErrGone)
}

// finalHost is the host as the results have it at the end: of a run that was resumed the
// one that it began on, which further parts are held against.
func (r *Run) finalHost(h platform.Host) results.Host {
	first := r.store.Snapshot()
	switch {
	case len(first.Run.Parts) == 0:
		return measuredOn(first.Host, r.host(h))
	case r.moved:
		return first.Host
	}
	return completed(first.Host, r.host(h))
}

// measuredOn is the host as it was described before the first sample, with what only the
// run itself could tell. The rest is not read again: at the end of a run that failed,
// for lack of files say, it may not be readable any more.
func measuredOn(first, now results.Host) results.Host {
	first.Rungs, first.Versions, first.Overhead, first.Settings = now.Rungs, now.Versions, now.Overhead, now.Settings
	return first
}

// Close puts the host back. Metrics that were taken can still be served.
func (r *Run) Close() error {
	var errs []error
	if r.lab != nil {
		r.metrics.detach()
		for _, c := range r.cells {
			errs = append(errs, c.taps.Close())
		}
		errs = append(errs, r.lab.close())
	}
	if r.store != nil {
		errs = append(errs, r.store.Close())
	}
	return errors.Join(errs...)
}
