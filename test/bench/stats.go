// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"

	"golang.org/x/perf/benchmath"

	"github.com/ukprobe/ukprobe/internal/paired"
)

// confidence of a summary's interval.
const confidence = 0.95

// summary is the median with its distribution-free interval (order statistics);
// with too few samples the interval is infinite.
func summary(values []float64) paired.Interval {
	s := benchmath.AssumeNothing.Summary(benchmath.NewSample(slices.Clone(values), &benchmath.DefaultThresholds), confidence)
	return paired.Interval{Value: s.Center, Lo: s.Lo, Hi: s.Hi}
}
