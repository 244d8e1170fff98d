// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ukprobe/ukprobe/results"
)

// Bound is what is known of a figure that could not be measured itself.
type Bound struct {
	Summary results.Summary // what it is at least
	Why     string          // there is no more than this bound
}

// atLeast are the metrics that come in the place of others, as what these are at least.
var atLeast = map[string]string{"instances": "instances_at_least", "entropy_bits": "entropy_at_least_bits"}

// boundOf is that of a cell's metric, if samples have one. Samples that have the figure
// itself do not hide it: those that stopped at their bound would be left out of a median.
func boundOf(c *results.Cell, metric string) (Bound, bool) {
	s, ok := c.Summary[atLeast[metric]]
	if !ok {
		return Bound{}, false
	}
	return Bound{s, whyBound(c, metric, s)}, true
}

func whyBound(c *results.Cell, metric string, s results.Summary) string {
	for i := range c.Samples {
		for _, m := range c.Samples[i].Missing {
			if m.Name == metric {
				return m.Reason
			}
		}
	}
	if metric == "instances" {
		return fmt.Sprintf("at least %s: no more were started", Options{}.quantity(metric, s.Median))
	}
	if more := estimateWords(s); more != "" {
		return more
	}
	return "a bound, no figure"
}

// boundWords write it: ≥ 200.
func (o Options) boundWords(metric string, b Bound) string {
	return o.Pick("≥", ">=") + " " + o.quantity(metric, b.Summary.Median)
}

// someBound says of a figure that it is of those samples alone that had it.
func someBound(c *results.Cell, metric string) string {
	b, ok := boundOf(c, metric)
	if s, has := c.Summary[metric]; ok && has {
		return fmt.Sprintf("of %d of %d samples; of the others it is at least %s: %s", s.N, s.N+b.Summary.N, Options{}.quantity(metric, b.Summary.Median), b.Why)
	}
	return ""
}

// addressPlaces are the kinds of places that experiment aslr compares, in words.
var addressPlaces = map[string]string{
	"program": "the program", "halt": "the instruction at which the guest idles (HLT)", "console": "the instruction that writes to the serial port",
	"port": "an instruction that writes to a port", "other_high": "an instruction at which the guest left to the host", "other_low": "an instruction at which the guest left to the host",
	"mmap": "the first library or loader", "stack": "the stack", "heap": "the heap", "vdso": "the vDSO",
}

// addressWords say of a cell of experiment aslr which address its figures are of.
func addressWords(c *results.Cell) []string {
	kind, spread, ok := c.MainAddress()
	if experimentOf(c) != aslr || !ok {
		return nil
	}
	half := "lower"
	if spread.High {
		half = "upper"
	}
	place := addressPlaces[kind]
	if place == "" {
		place = kind
	}
	return []string{fmt.Sprintf("the address is that of %s, in the %s half of the address space, over %s", place, half, counted(spread.Boots, "boot"))}
}

// estimateWords are what a summary of aslr says of its estimate, beside what it is of.
func estimateWords(s results.Summary) string {
	parts := strings.SplitN(s.Note, "; ", 3)
	if len(parts) < 3 || slices.Contains([]string{"", "Miller-Madow"}, parts[2]) {
		return ""
	}
	return parts[2]
}
