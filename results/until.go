// SPDX-License-Identifier: Apache-2.0

package results

import (
	"fmt"
	"math"

	"github.com/ukprobe/ukprobe/results/stats"
)

// mainFigures are the figures by which it is decided whether an experiment has been
// repeated often enough: the first of them that the samples of a cell have. An
// experiment that is not here is a boot. Each is what its question is about, and a
// column of its table (results/report):
//
//   - boot, timing-validation: the whole time until ready. Its parts are compared too,
//     but they are smaller, and a short one's interval would decide on the whole.
//   - image-size, memory-min: what was asked for. They hardly vary.
//   - memory-use: what the guest has touched at ready; of what is no VM the process's.
//   - density: how many instances run.
//   - throughput, dns: requests per second.
//   - http: the median latency. The rate is what it was set to.
//   - fs: a read's latency; of what only writes, a write's; of a guest that does not say,
//     as the host sees it.
//   - aslr: the bits of entropy. They are of all samples together and have no interval,
//     so that a rule ends at its bound; how many boots there were is no finding.
var mainFigures = map[string][]string{
	"image-size": {"file_bytes"},
	"memory-min": {"memory_min_bytes"},
	"memory-use": {"guest_ready_bytes", "process_ready_bytes"},
	"density":    {"instances"},
	"throughput": {"requests_per_second"},
	"http":       {"latency_p50_ns"},
	"dns":        {"requests_per_second"},
	"fs":         {"read_latency_p50_ns", "write_latency_p50_ns", "host_read_latency_p50_ns", "host_write_latency_p50_ns"},
	"aslr":       {"entropy_bits"},
}

// MainFigures are the metrics by which an experiment's stopping rule decides, the first
// one that there is.
func MainFigures(experiment string) []string {
	if f := mainFigures[experiment]; f != nil {
		return f
	}
	return []string{totalMetric}
}

// MainFigure is a sample's, of an experiment: the first of [MainFigures] that it has.
func (s *Sample) MainFigure(experiment string) (metric string, v float64, ok bool) {
	for _, metric = range MainFigures(experiment) {
		if v, ok = s.Metric(metric); ok {
			return metric, v, true
		}
	}
	return "", 0, false
}

// Precision is how well the median of a cell's main figure is known: the larger distance
// to an end of its 95 % interval, in percent of it. known is false as long as there is
// no interval.
func (c *Cell) Precision() (figure string, percent float64, known bool) {
	for _, figure = range MainFigures(c.Experiment) {
		s, ok := c.SummaryOf(figure)
		if !ok {
			continue
		}
		d, known := s.Margin()
		if d == 0 || !known {
			return figure, 0, known
		}
		percent = 100 * d / math.Abs(s.Median)
		return figure, percent, !notFinite(percent)
	}
	return MainFigures(c.Experiment)[0], 0, false
}

// Taken is how many samples of a cell there are without those that were taken in the
// place of a disturbed one.
func (c *Cell) Taken() int {
	n := 0
	for i := range c.Samples {
		if c.Samples[i].RepeatOf == 0 {
			n++
		}
	}
	return n
}

// Stop says whether a cell with a stopping rule has enough samples: at least samples of
// them, of which the interval is narrow enough, or as many as it may have at most, or none
// that was ok.
func (c *Cell) Stop(samples int, u Until) (why Stopped, stop bool) {
	n := c.Taken()
	if n < samples {
		return Stopped{}, false
	}
	figure, percent, known := c.Precision()
	why = Stopped{Samples: n, Figure: figure}
	if known {
		why.Percent = &percent
	}
	samplesText := fmt.Sprintf("%d samples", n)
	if n == 1 {
		samplesText = "1 sample"
	}
	disturbed := ""
	if d, _ := c.DisturbedSamples(); d > 0 {
		disturbed = fmt.Sprintf(", %d of them disturbed", d)
	}
	switch {
	case known && percent <= float64(u.WithinPercent):
		why.Converged = true
		why.Reason = fmt.Sprintf("converged after %s%s: %s within ±%s (wanted ±%d %%)", samplesText, disturbed, figure, percentText(percent), u.WithinPercent)
	case c.OKSamples() == 0:
		why.Reason = fmt.Sprintf("given up after %s%s: none was ok", samplesText, disturbed)
	case n < u.AtMost:
		return Stopped{}, false
	case known:
		why.Reason = fmt.Sprintf("bound of %s reached%s: %s within ±%s (wanted ±%d %%)", samplesText, disturbed, figure, percentText(percent), u.WithinPercent)
	default:
		why.Reason = fmt.Sprintf("bound of %s reached%s: %s has no 95 %% interval (wanted ±%d %%)", samplesText, disturbed, figure, u.WithinPercent)
	}
	return why, true
}

// percentText never rounds down to a bound that was missed.
func percentText(p float64) string {
	return fmt.Sprintf("%.1f %%", max(0, math.Ceil(p*10-1e-9)/10))
}

// Expected estimates how many samples a cell with a stopping rule will have in the end:
// the interval of a median narrows with the root of their number.
func (c *Cell) Expected(samples int, u Until) int {
	n := c.Taken()
	least := max(samples, n+1)
	_, percent, known := c.Precision()
	switch {
	case !known && n >= LeastForInterval: // as with samples that timed out
		return u.AtMost
	case !known || u.WithinPercent == 0:
		return min(max(least, LeastForInterval), u.AtMost)
	}
	ratio := percent / float64(u.WithinPercent)
	return int(min(max(float64(least), math.Ceil(float64(n)*ratio*ratio)), float64(u.AtMost)))
}

// LeastForInterval is how many samples a 95 % interval of the median needs ([Summarize]).
const LeastForInterval = stats.LeastForInterval
