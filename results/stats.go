// SPDX-License-Identifier: Apache-2.0

package results

import (
	"maps"
	"math"
	"slices"

	"github.com/ukprobe/ukprobe/results/stats"
)

// Summarize returns median, range and the distribution-free 95 % confidence interval of
// the median ([stats.MedianInterval]). Below [LeastForInterval] values no such interval
// exists: CI95 is nil and Note says so. ok is false when there are no values, or one of
// them is not finite.
func Summarize(values []float64) (s Summary, ok bool) { return summarize(values, 0) }

// summarize is Summarize of values and of a number of others that are known only to
// be longer: order statistics need no more of them (censoring of type I; David and
// Nagaraja, Order Statistics, section 8.5). ok is false also if the median is one of
// those; CI95 is nil also if its upper end is.
func summarize(values []float64, beyond int) (s Summary, ok bool) {
	if len(values) == 0 || slices.ContainsFunc(values, notFinite) {
		return Summary{}, false
	}
	// The caller's order is the order of measurement.
	all := slices.Concat(values, slices.Repeat([]float64{math.Inf(1)}, beyond))
	slices.Sort(all)
	s = Summary{
		N:      len(all),
		Median: stats.Quantile(all, 0.5),
		Min:    all[0],
		Max:    all[len(values)-1],
		Beyond: beyond,
	}
	if notFinite(s.Median) {
		return Summary{}, false
	}
	lo, hi, err := stats.MedianInterval(all)
	switch {
	case err != nil:
		s.Note = err.Error()
	case notFinite(hi):
		s.Note = noteBeyond
	default:
		s.CI95 = &[2]float64{lo, hi}
	}
	return s, true
}

// noteBeyond says why a summary has no interval although it has enough samples.
const noteBeyond = "the upper end of the interval is a sample that timed out"

// Margin is the larger distance from the median to an end of its interval; known is false
// where there is none.
func (s Summary) Margin() (d float64, known bool) {
	if s.CI95 == nil {
		return 0, false
	}
	return max(s.CI95[1]-s.Median, s.Median-s.CI95[0]), true
}

func notFinite(x float64) bool { return math.IsNaN(x) || math.IsInf(x, 0) }

// Metrics returns the figures of a sample by name: the phases that were
// measured, and the values.
func (s *Sample) Metrics() map[string]float64 {
	m := make(map[string]float64, len(s.Values)+len(phases))
	for name, ns := range s.Phases.ByName() {
		if ns != nil {
			m[name] = float64(*ns)
		}
	}
	for name, v := range s.Values {
		m[name] = v
	}
	return m
}

// Metric returns one of the figures of a sample: see [Sample.Metrics].
func (s *Sample) Metric(name string) (v float64, ok bool) {
	if v, ok = s.Values[name]; ok {
		return v, true
	}
	for _, phase := range phases {
		if phase.name != name {
			continue
		}
		if ns := *phase.of(&s.Phases); ns != nil {
			return float64(*ns), true
		}
	}
	return 0, false
}

// phases are all of them, by the names that they have in run.json.
var phases = []struct {
	name string
	of   func(*Phases) **int64
}{
	{"vmm_ns", func(p *Phases) **int64 { return &p.VMMNs }},
	{"firmware_ns", func(p *Phases) **int64 { return &p.FirmwareNs }},
	{"guest_ns", func(p *Phases) **int64 { return &p.GuestNs }},
	{"total_ns", func(p *Phases) **int64 { return &p.TotalNs }},
	{"bios_ns", func(p *Phases) **int64 { return &p.BIOSNs }},
	{"option_rom_ns", func(p *Phases) **int64 { return &p.OptionROMNs }},
	{"setup_ns", func(p *Phases) **int64 { return &p.SetupNs }},
	{"decompress_ns", func(p *Phases) **int64 { return &p.DecompressNs }},
	{"kernel_ns", func(p *Phases) **int64 { return &p.KernelNs }},
}

// ByName are the phases by the names that they have in run.json; nil ones too.
func (p Phases) ByName() map[string]*int64 {
	out := make(map[string]*int64, len(phases))
	for _, phase := range phases {
		out[phase.name] = *phase.of(&p)
	}
	return out
}

// TimeLimitNs is the value of a sample that timed out under a learnt limit: that limit.
const TimeLimitNs = "time_limit_ns"

// totalMetric is the metric of which a sample that timed out says something: that it
// would have been longer.
const totalMetric = "total_ns"

// Summarize returns the summary of every metric over the cell's ok samples.
// Tainted samples count: a taint is shown, never used to pick samples. Of a disturbed
// sample and those that were taken in its place the last ok one counts, whatever it
// says: what is chosen by is the interference, never the figure. In total_ns those that
// timed out count too, as longer than all others: without them a shorter time limit
// would give a better figure. If so many did that the median is one of them, total_ns
// has no summary.
func (c *Cell) Summarize() map[string]Summary {
	byMetric := map[string][]float64{}
	standing, timedOut := c.standingOK()
	for _, s := range standing {
		for name, v := range s.Metrics() {
			byMetric[name] = append(byMetric[name], v)
		}
	}
	out := make(map[string]Summary, len(byMetric))
	for name, values := range byMetric {
		if s, ok := summarizeMetric(name, values, timedOut); ok {
			out[name] = s
		}
	}
	if c.Experiment == aslr {
		c.addressSummaries(out)
	}
	return out
}

// SummaryOf is Summarize of one metric.
func (c *Cell) SummaryOf(metric string) (Summary, bool) {
	var values []float64
	standing, timedOut := c.standingOK()
	for _, s := range standing {
		if v, ok := s.Metric(metric); ok {
			values = append(values, v)
		}
	}
	return summarizeMetric(metric, values, timedOut)
}

func summarizeMetric(name string, values []float64, timedOut int) (Summary, bool) {
	if name != totalMetric {
		timedOut = 0
	}
	return summarize(values, timedOut)
}

// standingOK are the ok samples that count, and how many that count timed out.
func (c *Cell) standingOK() (ok []*Sample, timedOut int) {
	for _, i := range c.Standing() {
		switch c.Samples[i].Status {
		case SampleOK:
			ok = append(ok, &c.Samples[i])
		case SampleTimeout:
			timedOut++
		}
	}
	return ok, timedOut
}

// Standing are the indices of the samples that count, in order: of a disturbed sample
// and its repeats one, the last that was ok, else the last that timed out.
func (c *Cell) Standing() []int {
	rank := func(i int) int {
		return slices.Index([]string{SampleTimeout, SampleOK}, c.Samples[i].Status)
	}
	stands := map[int]int{} // the number of the first of the group -> index
	for i, s := range c.Samples {
		first := i + 1
		if s.RepeatOf != 0 {
			first = s.RepeatOf
		}
		if j, has := stands[first]; !has || rank(i) >= rank(j) {
			stands[first] = i
		}
	}
	return slices.Sorted(maps.Values(stands))
}

// TimedOut is how many of the samples that count ([Cell.Standing]) were not ready within
// the time limit.
func (c *Cell) TimedOut() int { return c.count(SampleTimeout) }

// OKSamples is how many of the samples that count ([Cell.Standing]) were ready. With those
// that were not they are as many as [Cell.Taken].
func (c *Cell) OKSamples() int { return c.count(SampleOK) }

// DisturbedSamples is how many of the samples that count ([Cell.Standing]) were disturbed,
// also after they were taken again; known is false if nobody looked.
func (c *Cell) DisturbedSamples() (n int, known bool) {
	for _, i := range c.Standing() {
		if c.Samples[i].Disturbed {
			n++
		}
	}
	return n, n > 0 || c.Settings != nil && c.Settings.Interference != nil
}

// Counts says of each sample whether it counts ([Cell.Standing]).
func (c *Cell) Counts() []bool {
	out := make([]bool, len(c.Samples))
	for _, i := range c.Standing() {
		out[i] = true
	}
	return out
}

func (c *Cell) count(status string) int {
	n := 0
	for _, i := range c.Standing() {
		if c.Samples[i].Status == status {
			n++
		}
	}
	return n
}
