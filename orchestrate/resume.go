// SPDX-License-Identifier: Apache-2.0

package orchestrate

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/probe"
	"github.com/ukprobe/ukprobe/results"
)

// past is what a cell has of the parts of its run that were before.
type past struct {
	taken      int // steps whose samples are all there
	repeats    int // not 0: of the step after those, a disturbed sample and its repeats are there but for the next one, this
	histograms []results.Histogram
	taints     []string // of all samples from now on
}

// pastOf is what a stored cell tells of its past. A disturbed sample may have been the
// last one before the end, with repeats still to come.
func pastOf(c *results.Cell, repeat int) past {
	p := past{taken: c.Taken(), histograms: c.Histograms}
	if n := len(c.Samples); n > 0 && mustRepeat(c.Samples[n-1]) {
		done := 0
		for i := n - 1; i > 0 && c.Samples[i].RepeatOf != 0; i-- {
			done++
		}
		if done < repeat {
			p.taken, p.repeats = p.taken-1, done+1
		}
	}
	return p
}

// needs says whether a step of a cell is still to be taken, of which there are so many at
// most. Warm-ups are taken again where samples follow: caches have forgotten.
func (p past) needs(step matrix.Step, most int) bool {
	if step.Warmup {
		return p.taken < most
	}
	return step.Sample >= p.taken
}

// again is with which repeat a step begins.
func (p past) again(step matrix.Step) int {
	if !step.Warmup && step.Sample == p.taken {
		return p.repeats
	}
	return 0
}

// with adds the histograms of before to those of now.
func (p past) with(now []results.Histogram) []results.Histogram {
	if len(p.histograms) == 0 {
		return now
	}
	return results.MergeHistograms(p.histograms, now)
}

// resume goes on with the run that the store holds, if this is still the host and these
// are still the images.
func (r *Run) resume(started time.Time, host results.Host, cells []results.Cell) error {
	was := r.store.Snapshot()
	if err := sameCells(was.Cells, cells); err != nil {
		return err
	}
	all := hostDifferences(was.Run.Version, r.opt.Version, was.Host, host)
	common := keysOf(all)
	r.moved = len(all) > 0
	for i, c := range r.cells {
		old := &was.Cells[i]
		c.past = pastOf(old, c.Interference.Repeat)
		c.stored, c.argvStored, c.over = len(old.Samples), len(old.Argv) > 0, old.Stopped != nil
		c.past.taints = slices.Clone(common)
		if l := old.Limit; l != nil {
			c.limit.Restore(time.Duration(l.NS), time.Duration(l.SlowestNS), l.Samples)
		}
		if len(old.Samples) == 0 && !slices.Contains([]string{results.CellOK, results.CellSkipped}, old.Status) {
			c.status, c.reason = old.Status, old.Reason // as it was found then
			continue
		}
		if c.complete(old) { // nothing is added to it
			c.status, c.reason = "", ""
			continue
		}
		own := cellDifferences(old, &cells[i], c)
		for _, d := range own {
			all = append(all, c.ID()+": "+d)
		}
		c.past.taints = append(c.past.taints, keysOf(own)...)
	}
	if len(all) > 0 && !r.opt.Force {
		return fmt.Errorf("resume %s: not what the run began with:\n  %s\nput that right, start another run, or take --force: then it goes on, says so in run.json, and every further sample is tainted",
			was.Run.ID, strings.Join(all, "\n  "))
	}
	for _, d := range all {
		r.opt.Observer.Log("resumed although different: %s", d)
	}
	if err := r.store.BeginPart(results.Part{Started: started, Argv: r.opt.Argv, Differences: all}); err != nil {
		return err
	}
	return r.catchUp(was)
}

// catchUp asks the stopping rules, which the end of the part before may have kept from it,
// notes what cannot be run any more, and counts the steps that are done.
func (r *Run) catchUp(was *results.File) error {
	for i, c := range r.cells {
		if err := r.restate(i, c, &was.Cells[i]); err != nil {
			return err
		}
		if c.status == "" && !c.over && c.Until.WithinPercent > 0 && c.past.repeats == 0 {
			if err := r.judge(i, c); err != nil {
				return err
			}
		}
		if c.status == "" {
			r.done += c.past.taken
		}
	}
	return nil
}

// complete says whether a stored cell has all its samples.
func (c *cell) complete(old *results.Cell) bool {
	if old.Stopped != nil {
		return true
	}
	if c.past.repeats > 0 {
		return false
	}
	if u := c.Until; u.WithinPercent > 0 {
		if _, stop := old.Stop(c.Samples, results.Until{WithinPercent: u.WithinPercent, AtMost: u.AtMost}); stop {
			return true
		}
	}
	return c.past.taken >= c.MostSamples()
}

// restate stores that a cell cannot be run any more, or can be again.
func (r *Run) restate(i int, c *cell, old *results.Cell) error {
	switch {
	case len(old.Samples) == 0 && c.status != "" && old.Status == results.CellSkipped:
		return r.store.SetCellStatus(i, c.status, c.reason)
	case len(old.Samples) > 0 && c.status != "":
		r.cut = true
		return r.store.SetCellStatus(i, results.CellFailed, fmt.Sprintf("%d of %s samples: cannot be run any more: %s", c.past.taken, c.wantedSamples(), c.reason))
	case len(old.Samples) > 0:
		return r.store.ResetCellStatus(i)
	}
	return nil
}

// wantedSamples is how many samples the cell is to have, in words.
func (c *cell) wantedSamples() string {
	if c.Until.WithinPercent > 0 {
		return fmt.Sprintf("%d to %d", c.Samples, c.MostSamples())
	}
	return strconv.Itoa(c.Samples)
}

// completed is the host as it was described first, with the rungs and versions that were
// not known then.
func completed(first, now results.Host) results.Host {
	first.Rungs, first.Versions = maps.Clone(first.Rungs), maps.Clone(first.Versions)
	if first.Rungs == nil {
		first.Rungs = map[string]results.Rung{}
	}
	for hook, r := range now.Rungs {
		if first.Rungs[hook].Rung == "" {
			first.Rungs[hook] = r
		}
	}
	if first.Versions == nil {
		first.Versions = map[string]string{}
	}
	for name, v := range now.Versions {
		if old := first.Versions[name]; old == "" || strings.HasPrefix(old, unknownVersion) {
			first.Versions[name] = v
		}
	}
	return first
}

// sameCells refuses cells that are not those of the run: its samples would be others'.
func sameCells(was, now []results.Cell) error {
	if len(was) != len(now) {
		return fmt.Errorf("resume: the run has %d cells, and this ukprobe makes %d of its matrix: resume it with the ukprobe that began it", len(was), len(now))
	}
	for i := range was {
		a, b := &was[i], &now[i]
		if a.System != b.System || a.App != b.App || a.Platform != b.Platform || a.Experiment != b.Experiment || a.Variant().String() != b.Variant().String() {
			return fmt.Errorf("resume: cell %d of the run is %s, and this ukprobe makes %s of its matrix: resume it with the ukprobe that began it", i+1, a.Name(), b.Name())
		}
	}
	return nil
}

// hostDifferences are those that make figures incomparable, each as "name: then, now".
func hostDifferences(version, versionNow string, was, now results.Host) []string {
	was.Overhead, now.Overhead = nil, nil // what the probes cost was measured at another time
	was.Settings, now.Settings = nil, nil // they say how it was before
	was.Versions, now.Versions = told(was.Versions, now.Versions), told(now.Versions, was.Versions)
	was.Rungs, now.Rungs = rungsKnown(was.Rungs, now.Rungs), rungsKnown(now.Rungs, was.Rungs)
	var out []string
	if version != versionNow {
		out = append(out, fmt.Sprintf("ukprobe: %s then, %s now", version, versionNow))
	}
	return append(out, results.Differences(was, now)...)
}

// told are the versions that both sides know: a program on a busy machine may not have
// answered in time.
func told(own, other map[string]string) map[string]string {
	out := map[string]string{}
	for name, v := range own {
		o, both := other[name]
		if both && !strings.HasPrefix(v, unknownVersion) && !strings.HasPrefix(o, unknownVersion) {
			out[name] = v
		}
	}
	return out
}

// ofExperiments are the hooks that samples of single experiments attach.
var ofExperiments = []string{probe.HookDisk, probe.HookAddresses}

// rungsKnown are the rungs without their reasons, and without those that one side does
// not know: network devices' hooks show theirs only at the first one, those of single
// experiments are only there once there was a sample.
func rungsKnown(own, other map[string]results.Rung) map[string]results.Rung {
	out := map[string]results.Rung{}
	for hook, r := range own {
		if o, both := other[hook]; !both && !slices.Contains(ofExperiments, hook) || both && r.Rung != "" && o.Rung != "" {
			out[hook] = results.Rung{Rung: r.Rung}
		}
	}
	return out
}

// cellDifferences are those between a cell as it was and as it is now.
func cellDifferences(was, now *results.Cell, c *cell) []string {
	if c.status != "" {
		return []string{fmt.Sprintf("runs: it did then, now: %s", c.reason)}
	}
	head := func(r *results.Cell) results.Cell {
		out := results.Cell{Accel: r.Accel, Probes: r.Probes, Firmware: r.Firmware, Settings: r.Settings}
		if r.Image != nil {
			image := *r.Image
			image.Path, image.Name, image.Files, image.KernelVersion, image.Package = "", "", nil, "", "" // the checksums tell
			out.Image = &image
		}
		return out
	}
	return results.Differences(head(was), head(now))
}

// keysOf are taints for differences, without their values: the part has those.
func keysOf(differences []string) []string {
	var out []string
	for _, d := range differences {
		name, _, _ := strings.Cut(d, ": ")
		out = append(out, "resumed with another "+name)
	}
	return out
}
