// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/ukprobe/ukprobe/results"
)

// exitKinds are the prefixes of what is counted by reason, and what they are.
var exitKinds = []struct{ prefix, title, absent string }{
	{"kvm_exits_", "exits from the guest, by exit reason", ""},
	{"kvm_userspace_exits_", "exits to the VMM, by KVM's reason", ""},
}

// reason is an exit reason, and how often it came in the median sample.
type reason struct {
	name  string
	count float64
}

// breakdownSection draws what the guests left to the host for.
func breakdownSection(cells []sourced) section {
	s := section{ID: "exit-reasons", Title: "Exit reasons",
		Intro:  "Of each cell the median count of each reason, in a sample, drawn as parts of their sum. The commonest reasons of a figure have a colour; the rest is one piece.",
		Absent: "No cell has counts of exits: it takes KVM, and probes that see it."}
	for _, kind := range exitKinds {
		own := selectCells(cells, func(c *results.Cell) bool { return len(exitReasons(c, kind.prefix)) > 0 })
		for _, g := range figureGroups(own, false, 24) {
			s.Figures = append(s.Figures, breakdown(fmt.Sprintf("exits-%d", len(s.Figures)+1), g.title()+": "+kind.title, kind.prefix, g.cells))
		}
	}
	return s.done()
}

// exitReasons are a cell's reasons that were counted, the commonest first.
func exitReasons(c *results.Cell, prefix string) []reason {
	if !c.HasFigures() {
		return nil
	}
	var out []reason
	for name, s := range c.Summary {
		if r, ok := strings.CutPrefix(name, prefix); ok && s.Median > 0 && !strings.HasSuffix(name, "_ns") && !strings.HasSuffix(name, "_per_second") {
			out = append(out, reason{r, s.Median})
		}
	}
	slices.SortFunc(out, func(a, b reason) int { return cmp.Or(cmp.Compare(b.count, a.count), strings.Compare(a.name, b.name)) })
	return out
}

func breakdown(id, title, prefix string, cells []sourced) figure {
	o := Options{}
	f := figure{ID: id, Title: title, XLabel: "part of all", Table: &figureTable{Head: []string{"cell", "reason", "count", "part"}}}
	top := commonest(cells, prefix)
	for i, r := range top {
		f.Keys = append(f.Keys, figureKey{swatch(fmt.Sprintf("seg f%d", i)), r})
	}
	others := false
	for i, c := range cells {
		reasons := exitReasons(c.Cell, prefix)
		var sum float64
		for _, r := range reasons {
			sum += r.count
		}
		label := c.App + ": " + cellLabel(c)
		all := o.quantity("count", math.Round(sum)) // medians of an even number of samples can be halves
		words, left, rest := label+", "+all+" exits", 0.0, 100.0
		d := new(drawing)
		for _, name := range top {
			at := slices.IndexFunc(reasons, func(r reason) bool { return r.name == name })
			if at < 0 {
				continue
			}
			part := 100 * reasons[at].count / sum
			d.rect(fmt.Sprintf("seg f%d", slices.Index(top, name)), left, part, 18)
			left, rest = left+part, rest-part
			words += fmt.Sprintf("; %s %s %%", name, number(part))
		}
		if rest > 0.005 {
			others = true
			d.rect("seg ph-rest", left, rest, 18)
		}
		for _, r := range reasons {
			f.Table.Rows = append(f.Table.Rows, []string{label, r.name, o.quantity("count", r.count), number(100*r.count/sum) + " %"})
		}
		out := newDrawing("bar", fmt.Sprintf("%s-%d", id, i+1), words, "median counts of a sample", 18)
		out.WriteString(d.String())
		out.end()
		f.Rows = append(f.Rows, figureRow{Label: label, Value: all, SVG: out.html(), Notes: c.rowNotes()})
	}
	if others {
		f.Keys = append(f.Keys, figureKey{swatch("seg ph-rest"), "other reasons"})
	}
	f.Axis = sharedAxis(scale{lo: 0, hi: 100, metric: "percent"}, narrowBar)
	return f
}

// commonest are the reasons that have the largest parts in the cells, as many as there
// are colours.
func commonest(cells []sourced, prefix string) []string {
	parts := map[string]float64{}
	var names []string
	for _, c := range cells {
		reasons := exitReasons(c.Cell, prefix)
		var sum float64
		for _, r := range reasons {
			sum += r.count
		}
		for _, r := range reasons {
			if _, has := parts[r.name]; !has {
				names = append(names, r.name)
			}
			parts[r.name] += r.count / sum
		}
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(parts[b], parts[a]), strings.Compare(a, b)) })
	return names[:min(len(names), colors)]
}
