// SPDX-License-Identifier: Apache-2.0

package interference

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ukprobe/ukprobe/probe"
)

// Source is what all tasks, or interrupts, of one name took of one CPU.
type Source struct {
	Kind  string // task, kthread, ukprobe, engine, irq, softirq; "unnamed" is the rest of a full table
	Name  string
	CPU   int
	Time  time.Duration
	Count uint64 // how often it came on the CPU
}

// KindUnnamed is the kind of what found no room in the kernel's table.
const KindUnnamed = "unnamed"

// maxSources is how many sources a Result has at most.
const maxSources = 32

// Result is what disturbed a sample.
type Result struct {
	// Values by the names that they have in results: what was not seen is not there.
	Values map[string]float64
	// Sources, the longest first, at most 32: what is left out is in the values.
	Sources []Source
	// Taints are reasons to distrust the sample.
	Taints []string
	// Disturbed: more than the threshold of some CPU's time went to others.
	Disturbed bool
}

// Result judges what was measured of the time that counts: a sample is disturbed if, on one of its CPUs,
// foreign tasks, device interrupts and the hypervisor below together took more than so
// many percent of the time, or if its tasks were throttled for longer than that.
//
// Soft interrupts are reported and not judged: most of them are the guest's own network
// and disk. So is what a container engine's processes did in a sample of one
// ([Window.OfEngine]): they are part of what is measured. Of what a hypervisor took only that counts which is certain: the kernel
// tells it in ticks of 10 ms, so of n ticks n-1, less the time that does not count.
func (w *Window) Result(atMostPercent int) Result {
	r := Result{Values: map[string]float64{}}
	if w == nil || len(w.cpus) == 0 {
		return r
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.err(); err != nil {
		r.Taints = append(r.Taints, fmt.Sprintf("interference not measured: %v", err))
		return r
	}
	if len(w.spans) == 0 {
		return r // no guest was started
	}
	if w.missed > 0 {
		r.Taints = append(r.Taints, fmt.Sprintf("interference: %d switches or interrupts of the host were not seen", w.missed))
	}
	j := judgement{Window: w, sums: w.sum(), Result: &r, limit: float64(atMostPercent)}
	if !w.engine {
		j.engineIsForeign()
	}
	if j.uncut {
		r.Taints = append(r.Taints, "interference: what was before the start, or after the end, is in it: too much happened in between to tell it apart")
	}
	r.Sources = j.ranked()
	j.values()
	for _, c := range w.cpus {
		j.cpu(j.cpuTime[c])
	}
	j.throttling()
	r.Sources = r.Sources[:min(len(r.Sources), maxSources)]
	return r
}

// engineIsForeign makes tasks like all others of a container engine's.
func (s sums) engineIsForeign() {
	for cpu, t := range s.cpuTime {
		t.Others, t.Engine = t.Others+t.Engine, 0
		s.cpuTime[cpu] = t
	}
	for key, source := range s.sources {
		if source.Kind == string(probe.SourceEngine) {
			source.Kind = string(probe.SourceTask)
			s.sources[key] = source
		}
	}
}

// ranked are all sources, those without a name too.
func (s sums) ranked() []Source {
	out := slices.Collect(maps.Values(s.sources))
	for _, c := range s.cpuTime {
		if c.UnnamedCount > 0 {
			out = append(out, Source{Kind: KindUnnamed, Name: "more than the table holds", CPU: c.CPU, Time: c.Unnamed, Count: c.UnnamedCount})
		}
	}
	slices.SortFunc(out, func(a, b Source) int {
		return cmp.Or(cmp.Compare(b.Time, a.Time), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name), cmp.Compare(a.CPU, b.CPU))
	})
	return out
}

// judgement is a Result being made.
type judgement struct {
	*Window
	sums
	*Result
	limit float64 // percent
}

// foreign is what of a CPU's time tasks had that do not belong there.
func (w *Window) foreign(c probe.CPUTime) time.Duration {
	if slices.Contains(w.shared, c.CPU) {
		return c.Others
	}
	return c.Others + c.Own
}

// stolen is what a hypervisor certainly took of a CPU's time.
func (j *judgement) stolen(cpu int) time.Duration {
	return max(j.host.steal[cpu]-Tick*time.Duration(len(j.spans)), 0)
}

func (j *judgement) values() {
	var foreign, irq, soft, steal time.Duration
	for _, c := range j.cpuTime {
		foreign += j.foreign(c)
		irq += c.IRQ
		soft += c.SoftIRQ
	}
	j.Values["interference_ns"] = float64(foreign)
	if sees, why := j.meter.seer.SeesInterrupts(); sees {
		j.Values["irq_ns"], j.Values["softirq_ns"] = float64(irq), float64(soft)
	} else {
		j.Taints = append(j.Taints, "interrupts not seen: "+why)
	}
	for _, t := range j.host.steal {
		steal += t
	}
	if len(j.host.steal) == len(j.cpus) {
		j.Values["steal_ns"] = float64(steal)
	}
	if len(j.host.throttled) > 0 {
		j.Values["throttled_ns"] = float64(longest(j.host.throttled))
	}
}

func longest(of map[string]time.Duration) time.Duration {
	var out time.Duration
	for _, t := range of {
		out = max(out, t)
	}
	return out
}

// cpu judges one CPU.
func (j *judgement) cpu(c probe.CPUTime) {
	if c.Span <= 0 {
		return
	}
	taken := j.foreign(c) + c.IRQ + j.stolen(c.CPU)
	all := percent(taken, c.Span)
	j.Values["interference_percent"] = max(j.Values["interference_percent"], all)
	if all <= j.limit {
		return
	}
	j.Disturbed = true
	var named []string
	for _, s := range j.Sources {
		if s.CPU == c.CPU && j.counts(s) && percent(s.Time, c.Span) > j.limit {
			named = append(named, fmt.Sprintf("%s ran %s on cpu %d", s, share(s.Time, c.Span), c.CPU))
		}
	}
	if t := j.stolen(c.CPU); percent(t, c.Span) > j.limit {
		named = append(named[:min(len(named), maxNamed)], fmt.Sprintf("the hypervisor below took %s of cpu %d (steal)", share(t, c.Span), c.CPU))
	}
	switch {
	case len(named) == 0:
		named = append(named, fmt.Sprintf("foreign tasks and interrupts ran %s on cpu %d%s", share(taken, c.Span), c.CPU, j.mostOn(c)))
	case len(named) > maxNamed+1:
		named = append(named[:maxNamed], fmt.Sprintf("foreign tasks and interrupts ran %s on cpu %d, these and others", share(taken, c.Span), c.CPU))
	}
	j.Taints = append(j.Taints, named...)
}

// maxNamed is how many of those above the threshold a CPU's taints name: all of them
// are among the sources.
const maxNamed = 3

// counts tells whether a source is judged.
func (j *judgement) counts(s Source) bool {
	if s.Kind == string(probe.SourceOwn) {
		return !slices.Contains(j.shared, s.CPU)
	}
	return s.Judged()
}

// Judged tells a foreign task or a device's interrupt from what is only told.
func (s Source) Judged() bool {
	switch s.Kind {
	case string(probe.SourceSoftIRQ), string(probe.SourceEngine), string(probe.SourceOwn):
		return false
	}
	return true
}

// mostOn names the longest of many short ones.
func (j *judgement) mostOn(c probe.CPUTime) string {
	for _, s := range j.Sources {
		if s.CPU == c.CPU && j.counts(s) {
			return fmt.Sprintf(", the most of it %s (%.1f %%)", s, percent(s.Time, c.Span))
		}
	}
	return ""
}

// throttling judges quotas and heat.
func (j *judgement) throttling() {
	var span time.Duration
	for _, c := range j.cpuTime {
		span = max(span, c.Span)
	}
	if t := longest(j.host.throttled); t > 0 && percent(t, span) > j.limit {
		j.Disturbed = true
		j.Taints = append(j.Taints, fmt.Sprintf("throttled for %s: a cgroup's CPU quota was used up", share(t, span)))
	}
	for _, c := range slices.Sorted(maps.Keys(j.host.heat)) {
		if n := j.host.heat[c]; n > 0 {
			j.Disturbed = true
			j.Taints = append(j.Taints, fmt.Sprintf("cpu %d or its package was slowed down by heat %d times", c, n))
		}
	}
}

// String names the source as a taint does.
func (s Source) String() string {
	switch s.Kind {
	case string(probe.SourceTask):
		return "foreign task " + s.Name
	case string(probe.SourceKThread):
		return "kernel thread " + s.Name
	case string(probe.SourceOwn):
		return "ukprobe's own " + s.Name
	case string(probe.SourceEngine):
		return "the engine's " + s.Name
	case string(probe.SourceIRQ):
		return "interrupt " + s.Name
	case KindUnnamed:
		return "many short tasks (" + s.Name + ")"
	}
	return s.Kind + " " + s.Name
}

func percent(part, whole time.Duration) float64 {
	if whole <= 0 {
		return 0
	}
	return 100 * float64(part) / float64(whole)
}

// share writes a time and its part of the whole: "12ms (3.4 %)".
func share(part, whole time.Duration) string {
	unit := time.Millisecond / 10
	if part < 10*time.Millisecond {
		unit = time.Microsecond
	}
	return fmt.Sprintf("%v (%.1f %%)", part.Round(unit), percent(part, whole))
}
