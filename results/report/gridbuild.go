// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/ukprobe/ukprobe/results"
)

// gridBuilder numbers the footnotes of a grid: the same words are one footnote.
type gridBuilder struct {
	*Grid
	numbers map[string]int
}

func (b *gridBuilder) note(text string) int {
	n, ok := b.numbers[text]
	if !ok {
		b.Notes = append(b.Notes, text)
		n = len(b.Notes)
		b.numbers[text] = n
	}
	return n
}

// entries are those of a cell (nil: the run has none such), one for each metric.
func (b *gridBuilder) entries(c *sourced, metrics []phase) []Entry {
	out := make([]Entry, len(metrics))
	for i, m := range metrics {
		e := &out[i]
		e.Metric = m.metric
		switch {
		case c == nil:
			e.Status = EntryAbsent
			continue
		case !c.HasFigures():
			e.Status, e.Again = c.Status, i > 0
		case len(c.Samples) == 0:
			e.Status, e.Again = EntryNoData, i > 0
		default:
			b.figure(e, c.Cell)
		}
		e.Cell = c.Cell
		if e.Status != EntryMissing || e.Bound != nil { // whose only note is why
			for _, note := range c.footnotes() {
				e.Notes = append(e.Notes, b.note(note))
			}
			for _, note := range e.shapeNotes() {
				e.Notes = append(e.Notes, b.note(note))
			}
			slices.Sort(e.Notes)
		}
	}
	return out
}

// figure fills an entry of a cell that was measured.
func (b *gridBuilder) figure(e *Entry, c *results.Cell) {
	if s, ok := figureOf(c, e.Metric); ok {
		e.Status, e.Summary, e.Shape = results.CellOK, &s, shapeOf(c, e.Metric)
		for _, words := range []string{someBound(c, e.Metric), estimateWords(s)} {
			if words != "" {
				e.Notes = append(e.Notes, b.note(words))
			}
		}
		return
	}
	e.Status = EntryMissing
	if bound, ok := boundOf(c, e.Metric); ok {
		e.Bound, e.Notes = &bound, []int{b.note(bound.Why)}
		return
	}
	e.Notes = []int{b.note(whyMissing(c, e.Metric))}
}

// vmMetric is the time of a boot that is not the VMM's: what the VM itself takes, firmware and guest.
const vmMetric = "vm_ns"

// ownMemory is what a guest, or else a process or container, has when it is ready.
const ownMemory = "own_ready_bytes"

// figureOf is the summary of a cell's metric, also of one that is not in run.json.
func figureOf(c *results.Cell, metric string) (results.Summary, bool) {
	metric = plainMetric(c, metric)
	if s, ok := c.Summary[metric]; ok || metric != vmMetric {
		return s, ok
	}
	return results.Summarize(valuesOf(c, metric))
}

// metricOf is a sample's figure, also of a metric that is not in run.json.
func metricOf(s *results.Sample, metric string) (float64, bool) {
	if p := s.Phases; metric == vmMetric {
		if p.TotalNs == nil || p.VMMNs == nil {
			return 0, false
		}
		return float64(*p.TotalNs - *p.VMMNs), true
	}
	return s.Metric(metric)
}

// endsPhase is the event without which a phase cannot be told.
var endsPhase = map[string]string{"vmm_ns": results.EventGuestEntry, vmMetric: results.EventGuestEntry, "firmware_ns": results.EventFirmwareEnd}

// whyMissing says why a cell that was measured lacks a figure.
func whyMissing(c *results.Cell, metric string) string {
	if _, phase := endsPhase[metric]; phase && c.Platform == "process" {
		return "a process has no VMM: its time is the total"
	}
	if metric == totalNs && c.TimedOut() > 0 && c.TimedOut() >= c.OKSamples() {
		return strings.Join(timedOut(c), "; ")
	}
	if strings.HasPrefix(metric, "vmm_") && (c.Platform == "process" || c.Platform == "docker") {
		return "there is no VMM"
	}
	if s, ok := c.Summary["addresses_distinct"]; ok && metric == "aligned_bytes" && s.Median == 1 {
		return "a single address has no distances"
	}
	for i := range c.Samples {
		for _, m := range c.Samples[i].Missing {
			if m.Name == metric || m.Name == endsPhase[metric] {
				return m.Reason
			}
		}
	}
	return "no sample has this figure"
}

// totalNs is the metric of a whole boot.
const totalNs = "total_ns"

// footnotes are what a reader of a cell's entry must know besides its figures.
func (c *sourced) footnotes() []string {
	o := Options{}
	out := o.notes(c.Cell)
	if experimentOf(c.Cell) == imageSize && len(out) > 1 { // how it was made is one thing
		out = []string{strings.Join(out, "; ")}
	}
	for i := range out {
		out[i] = c.general(out[i])
	}
	if words := c.fewer(); words != "" && !c.CutShort() { // which notes say
		out = append(out, words)
	}
	if c.differs != "" {
		out = append(out, c.differs)
	}
	if t := c.tainted(); t != "" {
		out = append(out, t)
	}
	return out
}

// general is a reason without the cell's own names, which its row and column have: so the
// same reason is one footnote.
func (c *sourced) general(reason string) string {
	reason = strings.Replace(reason, fmt.Sprintf(": of %s %s for %s ", c.System, c.App, c.Platform), " ", 1)
	return strings.Replace(reason, fmt.Sprintf(": %s on %s: ", c.App, c.Platform), ": ", 1)
}

// tainted says how many of the samples that count are tainted, and by what kinds of taints.
func (c *sourced) tainted() string {
	const most = 4
	var kinds []string
	n, standing := 0, c.Standing()
	for _, i := range standing {
		s := &c.Samples[i]
		if len(s.Taints) > 0 {
			n++
		}
		for _, t := range s.Taints {
			if k := generalTaint(t); !slices.Contains(kinds, k) {
				kinds = append(kinds, k)
			}
		}
	}
	if n == 0 {
		return ""
	}
	slices.Sort(kinds)
	more := ""
	if m := len(kinds) - most; m > 0 {
		kinds, more = kinds[:most], fmt.Sprintf("; and %d more kinds", m)
	}
	count := fmt.Sprintf("%d of %d samples tainted", n, len(standing))
	if n == len(standing) {
		count = "all samples tainted"
	}
	return count + ": " + strings.Join(kinds, "; ") + more
}

// generalTaint is a taint without its figures, and without the name of who disturbed.
func generalTaint(t string) string {
	for _, kind := range []string{"foreign task", "kernel thread", "ukprobe's own"} {
		if strings.HasPrefix(t, kind) {
			return "foreign tasks on its CPUs"
		}
	}
	if strings.HasPrefix(t, "density: ") && strings.Contains(t, "density.at_most") { // which a footnote of its own says
		return "stopped at a bound"
	}
	if strings.HasPrefix(t, "the hypervisor below took") {
		return "steal by the hypervisor below"
	}
	t = spanWords.ReplaceAllString(countWords.ReplaceAllString(kindOfTaint(t), ""), "…")
	return lostWords.ReplaceAllString(t, "lost ")
}

// What of a taint differs from sample to sample.
var (
	spanWords  = regexp.MustCompile(`\b[0-9.]+(ns|µs|ms|s)\b`)
	countWords = regexp.MustCompile(` \([0-9]+ of [0-9]+ (of )?boots\)`)
	lostWords  = regexp.MustCompile(`^lost [0-9]+ `)
)

// finish drops heads and columns that say nothing, and adds the legend.
func (b *gridBuilder) finish(cells []sourced) {
	for i := len(b.Heads) - 1; i > 0; i-- {
		if !slices.ContainsFunc(b.Rows, func(r Row) bool { return r.Heads[i] != "" }) {
			b.Heads = slices.Delete(b.Heads, i, i+1)
			for j := range b.Rows {
				b.Rows[j].Heads = slices.Delete(b.Rows[j].Heads, i, i+1)
			}
		}
	}
	for _, r := range b.Rows {
		for i := range r.Heads {
			if r.Heads[i] == "" {
				r.Heads[i] = "–"
			}
		}
	}
	b.Legend = append(b.Legend, gridLegend(b.Grid, cells)...)
}

// gridLegend says what holds for the whole table.
func gridLegend(g *Grid, cells []sourced) []string {
	seen := map[string]bool{}
	interval, without := false, false
	least, most := 0, 0
	for _, r := range g.Rows {
		for _, e := range r.Entries {
			seen[e.Status] = true
			if e.Summary == nil || experimentOf(e.Cell) == imageSize || experimentOf(e.Cell) == aslr {
				continue
			}
			interval, without = interval || e.Summary.CI95 != nil, without || e.Summary.CI95 == nil
			if n := e.Summary.N; most == 0 {
				least, most = n, n
			} else {
				least, most = min(least, n), max(most, n)
			}
		}
	}
	var out []string
	if most > 0 {
		count := fmt.Sprintf("of %d samples each", most)
		if least < most {
			count = fmt.Sprintf("of %d to %d samples", least, most)
		} else if most == 1 {
			count = "of one sample each"
		}
		line := "Medians " + count + "."
		if interval {
			line += " Below each the two ends of its 95 % interval, in the same unit."
		}
		if without && interval {
			line += " Where it is missing there are fewer than 6 samples, or the interval's end timed out."
		}
		out = append(out, line)
	}
	accels := map[string]bool{}
	for _, c := range cells {
		if a := accelOf(c.Cell); a != "" && c.HasFigures() {
			accels[a] = true
		}
	}
	if len(accels) > 1 {
		out = append(out, "Rows with different accelerators do not compare.")
	}
	if seen[EntryAbsent] {
		out = append(out, absentLegend)
	}
	if seen[EntryNoData] || seen[results.CellSkipped] {
		out = append(out, "“not run”: in the run, but not measured.")
	}
	return out
}
