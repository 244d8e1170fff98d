// SPDX-License-Identifier: Apache-2.0

package results

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"math/bits"
	"slices"
	"strconv"
)

// aslr is the experiment whose result is over all samples: in each the same places in
// memory are looked at.
const aslr = "aslr"

// The figures of a cell of experiment aslr, in its Summary.
const (
	metricBoots    = "boots"
	metricDistinct = "addresses_distinct"
	metricEntropy  = "entropy_bits"
	metricAtLeast  = "entropy_at_least_bits" // in place of metricEntropy
	metricAligned  = "aligned_bytes"
	metricVarying  = "varying_bits"
)

// addressKinds are the kinds of places, in the order in which one stands for all: an
// idle instruction and a console's are the same in every boot, what else a guest was
// stopped at need not be.
var addressKinds = []string{"program", "halt", "console", "port", "other_high", "other_low", "mmap", "stack", "heap", "vdso"}

// Spread is how the addresses of one place differ from boot to boot.
type Spread struct {
	Boots    int // in which the place was seen
	Distinct int
	// Entropy is estimated in bits: Shannon's of the observed frequencies, which is too
	// small for few boots, with the first-order correction of that bias, (Distinct-1)/
	// (2·Boots·ln 2) (Miller, Note on the bias of information estimates, 1955).
	Entropy float64
	// Bound says that Entropy is no estimate but what it is at least, uncorrected: the
	// boots were too few. By Good and Turing a new address is then more likely than one
	// that was seen (Good, Biometrika 40, 1953).
	Bound   bool
	Aligned uint64 // bytes: the largest power of two that all distances are multiples of; 0 for one address
	Varying int    // bits that are not the same in all
	High    bool   // in the upper half of the address space, where kernels are
}

// SpreadOf is that of the addresses of one place, one for each boot.
func SpreadOf(addresses []uint64) Spread {
	counts := map[uint64]int{}
	var differ uint64
	for _, a := range addresses {
		counts[a]++
		differ |= a ^ addresses[0]
	}
	n := float64(len(addresses))
	s := Spread{Boots: len(addresses), Distinct: len(counts), Varying: bits.OnesCount64(differ)}
	if len(addresses) == 0 {
		return s
	}
	s.High = addresses[0]>>63 == 1
	if differ != 0 {
		s.Aligned = 1 << bits.TrailingZeros64(differ)
	}
	once := 0
	for _, a := range slices.Sorted(maps.Keys(counts)) { // in one order, for the same sum
		p := float64(counts[a]) / n
		s.Entropy -= p * math.Log2(p)
		if counts[a] == 1 {
			once++
		}
	}
	if s.Bound = s.Distinct > 1 && 2*once > len(addresses); !s.Bound {
		s.Entropy += float64(s.Distinct-1) / (2 * n * math.Ln2)
	}
	s.Entropy = max(s.Entropy, 0) // not -0
	return s
}

// place tells instructions apart that are the same in every boot: what is randomised is
// moved by whole pages.
type place struct {
	inPage uint64
	high   bool
}

func placeOf(a uint64) place { return place{a & 0xfff, a>>63 == 1} }

// onePlace picks from the addresses that were seen in each boot, the oldest first, those
// of one place: that which was the last in some boot, and was seen in most.
func onePlace(boots [][]uint64) []uint64 {
	type candidate struct {
		place
		last int
		of   []uint64
	}
	found := map[place]*candidate{}
	for _, seen := range boots {
		if len(seen) == 0 {
			continue
		}
		p := placeOf(seen[len(seen)-1])
		if found[p] == nil {
			found[p] = &candidate{place: p}
		}
		found[p].last++
	}
	var all []*candidate
	for _, c := range found {
		for _, seen := range boots {
			for _, a := range slices.Backward(seen) {
				if placeOf(a) == c.place {
					c.of = append(c.of, a)
					break
				}
			}
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil
	}
	slices.SortFunc(all, func(a, b *candidate) int {
		return cmp.Or(cmp.Compare(len(b.of), len(a.of)), cmp.Compare(b.last, a.last), cmp.Compare(a.inPage, b.inPage))
	})
	return all[0].of
}

// Spreads is how the addresses of each kind of place differ over the cell's ok samples.
func (c *Cell) Spreads() map[string]Spread {
	boots := map[string][][]uint64{}
	for _, i := range c.Standing() {
		if c.Samples[i].Status != SampleOK {
			continue
		}
		for kind, texts := range c.Samples[i].Addresses {
			var seen []uint64
			for _, t := range texts {
				if a, err := strconv.ParseUint(t, 0, 64); err == nil {
					seen = append(seen, a)
				}
			}
			boots[kind] = append(boots[kind], seen)
		}
	}
	out := map[string]Spread{}
	for kind, seen := range boots {
		if s := SpreadOf(onePlace(seen)); s.Boots > 0 {
			out[kind] = s
		}
	}
	return out
}

// addressSummaries adds the figures of experiment aslr: of each kind under its name, and
// of the one that stands for all.
func (c *Cell) addressSummaries(out map[string]Summary) {
	spreads := c.Spreads()
	for kind, s := range spreads {
		s.into(out, kind+"_", kind)
	}
	if main := mainKind(spreads); main != "" {
		spreads[main].into(out, "", main)
	}
}

// mainKind is the kind that stands for all: the first of those seen in most boots.
func mainKind(spreads map[string]Spread) string {
	main := ""
	for _, kind := range addressKinds {
		if s, ok := spreads[kind]; ok && (main == "" || s.Boots > spreads[main].Boots) {
			main = kind
		}
	}
	return main
}

// MainAddress is the kind of place that the figures of a cell of experiment aslr are of
// which have no kind in their name, and how its addresses differ; false if none was seen.
func (c *Cell) MainAddress() (kind string, s Spread, ok bool) {
	spreads := c.Spreads()
	kind = mainKind(spreads)
	s, ok = spreads[kind]
	return kind, s, ok
}

// into writes the figures under names with a prefix. Each is over all boots, and no
// median.
func (s Spread) into(out map[string]Summary, prefix, kind string) {
	half := "lower half of the address space"
	if s.High {
		half = "upper half of the address space"
	}
	put := func(name string, v float64, more string) {
		note := "over all boots; " + kind + ", " + half
		if more != "" {
			note += "; " + more
		}
		out[prefix+name] = Summary{N: s.Boots, Median: v, Min: v, Max: v, Note: note}
	}
	put(metricBoots, float64(s.Boots), "")
	put(metricDistinct, float64(s.Distinct), "")
	put(metricVarying, float64(s.Varying), "")
	if s.Aligned > 0 {
		put(metricAligned, float64(s.Aligned), "")
	}
	switch {
	case s.Boots < 2:
	case s.Bound:
		put(metricAtLeast, s.Entropy, "too few boots for an estimate: most addresses came once")
	case s.Distinct == 1:
		put(metricEntropy, 0, fmt.Sprintf("always the same: with 95 %% confidence others come in less than %.2g %% of the boots", 300/float64(s.Boots)))
	default:
		put(metricEntropy, s.Entropy, "Miller-Madow")
	}
}
