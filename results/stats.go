// SPDX-License-Identifier: Apache-2.0

package results

import (
	"errors"
	"maps"
	"math"
	"slices"

	"golang.org/x/perf/benchmath"
)

// confidence is the level of every interval in a Summary.
const confidence = 0.95

// Summarize returns median, range and the 95 % confidence interval of the
// median. The interval is distribution-free: it is bounded by two of the
// values, picked by rank from the binomial distribution so that it covers the
// true median with at least 95 % (David and Nagaraja, Order Statistics, section
// 7.1). Below six values no such interval exists: CI95 is nil and Note says so.
// ok is false when there are no values, or one of them is not finite.
//
// The computation is benchstat's (golang.org/x/perf/benchmath): the narrowest
// set of ranks, the lower one where two are equally good, and a normal
// approximation of the ranks above n=30.
func Summarize(values []float64) (s Summary, ok bool) { return summarize(values, 0) }

// summarize is Summarize of values and of a number of others that are known only to
// be longer: order statistics need no more of them (censoring of type I; David and
// Nagaraja, section 8.5). ok is false also if the median is one of those; CI95 is nil
// also if its upper end is.
func summarize(values []float64, beyond int) (s Summary, ok bool) {
	if len(values) == 0 || slices.ContainsFunc(values, notFinite) {
		return Summary{}, false
	}
	all := slices.Concat(values, slices.Repeat([]float64{math.Inf(1)}, beyond))
	// NewSample sorts in place: the caller's order is the order of measurement.
	sample := benchmath.NewSample(all, &benchmath.DefaultThresholds)
	m := benchmath.AssumeNothing.Summary(sample, confidence)
	s = Summary{
		N:      len(all),
		Median: median(sample.Values),
		Min:    sample.Values[0],
		Max:    sample.Values[len(values)-1],
		Beyond: beyond,
	}
	if notFinite(s.Median) {
		return Summary{}, false
	}
	switch {
	case math.IsInf(m.Lo, -1): // too few for an interval
		s.Note = errors.Join(m.Warnings...).Error()
	case notFinite(m.Hi):
		s.Note = noteBeyond
	default:
		s.CI95 = &[2]float64{m.Lo, m.Hi}
	}
	return s, true
}

// noteBeyond says why a summary has no interval although it has enough samples.
const noteBeyond = "the upper end of the interval is a sample that timed out"

// median of sorted values. benchmath interpolates between ranks in floating
// point and misses the middle value by a rounding error; a median that is one
// of the samples must be findable among them.
func median(sorted []float64) float64 {
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	lo, hi := sorted[n/2-1], sorted[n/2]
	return lo/2 + hi/2
}

func notFinite(x float64) bool { return math.IsNaN(x) || math.IsInf(x, 0) }

// Metrics returns the figures of a sample by name: the phases that were
// measured, and the values.
func (s *Sample) Metrics() map[string]float64 {
	m := make(map[string]float64, len(s.Values)+4)
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

// ByName are the phases by the names that they have in run.json; nil ones too.
func (p Phases) ByName() map[string]*int64 {
	return map[string]*int64{
		"vmm_ns": p.VMMNs, "firmware_ns": p.FirmwareNs,
		"guest_ns": p.GuestNs, "total_ns": p.TotalNs,
		"bios_ns": p.BIOSNs, "option_rom_ns": p.OptionROMNs,
		"setup_ns": p.SetupNs, "decompress_ns": p.DecompressNs, "kernel_ns": p.KernelNs,
	}
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
		if v, ok := s.Metrics()[metric]; ok {
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
