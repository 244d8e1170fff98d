// SPDX-License-Identifier: Apache-2.0

package results

import (
	"errors"
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
func Summarize(values []float64) (s Summary, ok bool) {
	if len(values) == 0 || slices.ContainsFunc(values, notFinite) {
		return Summary{}, false
	}
	// NewSample sorts in place: the caller's order is the order of measurement.
	sample := benchmath.NewSample(slices.Clone(values), &benchmath.DefaultThresholds)
	m := benchmath.AssumeNothing.Summary(sample, confidence)
	s = Summary{
		N:      len(values),
		Median: median(sample.Values),
		Min:    sample.Values[0],
		Max:    sample.Values[len(values)-1],
	}
	if notFinite(m.Lo) || notFinite(m.Hi) {
		s.Note = errors.Join(m.Warnings...).Error()
		return s, true
	}
	s.CI95 = &[2]float64{m.Lo, m.Hi}
	return s, true
}

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

// replaced tells whether a sample was disturbed and a later one taken in its place
// has succeeded.
func (c *Cell) replaced(i int) bool {
	first := i + 1
	if of := c.Samples[i].RepeatOf; of != 0 {
		first = of
	}
	return slices.ContainsFunc(c.Samples[i+1:], func(s Sample) bool { return s.RepeatOf == first && s.Status == SampleOK })
}

// Summarize returns the summary of every metric over the cell's ok samples.
// Tainted samples count: a taint is shown, never used to pick samples. Of a disturbed
// sample and those that were taken in its place the last ok one counts, whatever it
// says: what is chosen by is the interference, never the figure.
func (c *Cell) Summarize() map[string]Summary {
	byMetric := map[string][]float64{}
	for i := range c.Samples {
		if c.Samples[i].Status != SampleOK || c.replaced(i) {
			continue
		}
		for name, v := range c.Samples[i].Metrics() {
			byMetric[name] = append(byMetric[name], v)
		}
	}
	out := make(map[string]Summary, len(byMetric))
	for name, values := range byMetric {
		if s, ok := Summarize(values); ok {
			out[name] = s
		}
	}
	return out
}
