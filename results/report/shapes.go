// SPDX-License-Identifier: Apache-2.0

package report

import (
	"regexp"
	"slices"

	"github.com/ukprobe/ukprobe/results"
	"github.com/ukprobe/ukprobe/results/shape"
)

// shapeOf is what the samples of a cell's figure look like; nil if the figure is not one of
// samples, or if some timed out, which are known only to be longer.
func shapeOf(c *results.Cell, metric string) *shape.Shape {
	values := valuesOf(c, metric)
	if len(values) < 2 {
		return nil
	}
	s := shape.Of(values)
	return &s
}

// valuesOf are the values that a cell's summary of a metric is of, in the order of
// measurement; none of a figure that no single sample has.
func valuesOf(c *results.Cell, metric string) []float64 {
	if e := experimentOf(c); e == imageSize || e == aslr || metric == totalNs && c.TimedOut() > 0 {
		return nil
	}
	var out []float64
	for _, i := range c.Standing() {
		s := &c.Samples[i]
		if v, ok := metricOf(s, plainMetric(c, metric)); ok && s.Status == results.SampleOK {
			out = append(out, v)
		}
	}
	return out
}

// plainMetric is the metric of a cell that stands for one of the report's own.
func plainMetric(c *results.Cell, metric string) string {
	if metric != ownMemory {
		return metric
	}
	if hasMetric(c, "guest_ready_bytes") {
		return "guest_ready_bytes"
	}
	return "process_ready_bytes"
}

var blockPrefix = regexp.MustCompile(`^block_[0-9]+_`)

// toldShape: of the figures that a comparison looks at by default footnotes tell what their
// samples look like. Of the others it is in the report's machine form.
func toldShape(c *results.Cell, metric string) bool {
	metric = plainMetric(c, blockPrefix.ReplaceAllString(metric, ""))
	main := results.MainFigures(experimentOf(c))
	return slices.Contains(main, metric) || main[0] == totalNs && (metric == vmMetric || slices.ContainsFunc(phases, func(p phase) bool { return p.metric == metric }))
}

// shapeNotes are an entry's footnotes of what its samples look like.
func (e *Entry) shapeNotes() []string {
	if e.Shape == nil || e.Cell == nil || !toldShape(e.Cell, e.Metric) {
		return nil
	}
	return e.Shape.Notes(e.Metric, Options{}.units())
}
