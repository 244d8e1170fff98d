// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/ukprobe/ukprobe/results"
)

// Timeline draws one sample of a cell: the one whose main figure ([results.MainFigures]) is the median (the
// lower one of the two that it lies between, and then the title says both), so a sample that was really measured. Without any it
// draws the last sample and says what became of it. A bar shows the phases in
// proportion; below it is each event in order, and each missing one with its
// reason.
func Timeline(w io.Writer, c *results.Cell, o Options) error {
	var b strings.Builder
	at, median := pickSample(c)
	if at < 0 {
		title := o.Clean(c.Name()) + ": no sample"
		if c.Reason != "" {
			title += ", " + o.Clean(c.Status+": "+c.Reason)
		}
		b.WriteString(o.title(title))
	} else {
		s := &c.Samples[at]
		b.WriteString(o.title(o.Clean(c.Name()) + o.sampleTitle(c, at, median)))
		o.bar(&b, s.Phases, c.Firmware)
		o.events(&b, s)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// pickSample returns the index of the sample with the median main figure, of the ok ones that
// count ([results.Cell.Standing]), where of a boot those that timed out count as longer than
// all others, else of the last sample, else -1.
func pickSample(c *results.Cell) (at int, median bool) {
	var whole []int
	figures := map[int]float64{}
	timedOut := 0
	for _, i := range c.Standing() {
		if metric, v, ok := c.Samples[i].MainFigure(c.Experiment); ok && c.Samples[i].Status == results.SampleOK {
			whole, figures[i] = append(whole, i), v
			if metric == totalNs { // of no other does a time limit say anything
				timedOut = c.TimedOut()
			}
		}
	}
	if len(whole) == 0 {
		return len(c.Samples) - 1, false
	}
	middle := (len(whole) + timedOut - 1) / 2
	if middle >= len(whole) { // the median itself timed out
		for _, i := range c.Standing() {
			if c.Samples[i].Status == results.SampleTimeout {
				at = i
			}
		}
		return at, false
	}
	slices.SortStableFunc(whole, func(a, b int) int {
		return cmp.Compare(figures[a], figures[b])
	})
	return whole[middle], true
}

func (o Options) sampleTitle(c *results.Cell, at int, median bool) string {
	s := &c.Samples[at]
	title := fmt.Sprintf(": sample %d of %d", at+1, len(c.Samples))
	switch {
	case median:
		metric, v, _ := s.MainFigure(c.Experiment)
		title += ", "
		if metric != totalNs {
			title += metric + " "
		}
		title += o.beside(c, metric, v)
	case s.Status != results.SampleOK:
		title += ", " + strings.TrimSuffix(o.Clean(s.Status+": "+s.Reason), ":")
	case len(s.Events) > 0: // a sample of many boots has no timeline
		title += ", no total"
	}
	if len(s.Taints) > 0 {
		title += ", tainted: " + o.Clean(strings.Join(s.Taints, ", "))
	}
	return title
}

// beside is a sample's figure with the median that it is the nearest to, which the tables
// show: of an even number of samples it lies between two of them.
func (o Options) beside(c *results.Cell, metric string, v float64) string {
	text := o.quantity(metric, v)
	median, known := o.medianOf(c, metric)
	switch {
	case !known:
		return text
	case text == median:
		return text + ", the median"
	}
	return text + ", nearest the median of " + median
}

// medianOf is that of a cell as the tables show it.
func (o Options) medianOf(c *results.Cell, metric string) (text string, known bool) {
	s, ok := c.Summary[metric]
	if !ok {
		s, ok = c.SummaryOf(metric)
	}
	return o.quantity(metric, s.Median), ok
}

func (o Options) title(s string) string {
	return o.Paint(text.Bold, Wrap(s, o.width(), 2)) + "\n"
}

// events writes one line per event: its offset from vmm_exec (of a container: from
// create_sent), its name, the rung and the hook. Missing ones follow.
func (o Options) events(b *strings.Builder, s *results.Sample) {
	es := slices.Clone(s.Events)
	slices.SortStableFunc(es, func(a, b results.Event) int {
		return cmp.Or(cmp.Compare(a.NS, b.NS), cmp.Compare(rank(a.Name), rank(b.Name)))
	})
	if len(es) > 0 {
		zero, found := begin(es)
		if !found {
			b.WriteString("  offsets from " + o.Clean(zero.Name) + ": " + results.EventVMMExec + " is missing\n")
		}
		for _, e := range es {
			line := fmt.Sprintf("%12.3f ms  %-14s  %-10s  %s", float64(e.NS-zero.NS)/1e6, o.Clean(e.Name), o.Clean(e.Rung), o.Clean(e.Hook))
			b.WriteString(strings.TrimRight(line, " ") + "\n")
		}
	}
	missing := slices.Clone(s.Missing)
	slices.SortStableFunc(missing, func(a, b results.Missing) int { return cmp.Compare(rank(a.Name), rank(b.Name)) })
	const indent = 33 // where the rungs begin
	for _, m := range missing {
		line := fmt.Sprintf("%15s  %-14s  ", "missing", o.Clean(m.Name))
		reason := Wrap(o.Clean(m.Reason), max(o.width(), indent+20), indent)
		b.WriteString(o.Paint(text.Faint, strings.TrimRight(line+reason, " ")) + "\n")
	}
}

// begin is the event that offsets count from, or the first if it is not there.
func begin(es []results.Event) (zero results.Event, found bool) {
	for _, name := range []string{results.EventCreateSent, results.EventVMMExec} {
		if i := slices.IndexFunc(es, func(e results.Event) bool { return e.Name == name }); i >= 0 {
			return es[i], true
		}
	}
	return es[0], false
}

// rank is an event's place in the expected order; others come last.
func rank(name string) int {
	if i := slices.Index(results.EventOrder, name); i >= 0 {
		return i
	}
	return len(results.EventOrder)
}
