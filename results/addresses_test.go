// SPDX-License-Identifier: Apache-2.0

package results

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestSpreadOf(t *testing.T) {
	const kernel = 0xffffffff81000000
	for _, tt := range []struct {
		name string
		in   []uint64
		want Spread
	}{
		{"none", nil, Spread{}},
		{"one", []uint64{0x1000}, Spread{Boots: 1, Distinct: 1}},
		{"always the same", []uint64{kernel, kernel, kernel}, Spread{Boots: 3, Distinct: 1, High: true}},
		// By hand: one bit, and (2-1)/(2·4·ln 2).
		{"a coin", []uint64{0x1000, 0x3000, 0x1000, 0x3000}, Spread{Boots: 4, Distinct: 2, Entropy: 1 + 1/(8*math.Ln2), Aligned: 0x2000, Varying: 1}},
		// Each once: log2 of the boots, which is all that so many could show.
		{"each once", []uint64{kernel, kernel + 2<<20, kernel + 6<<20, kernel + 14<<20}, Spread{Boots: 4, Distinct: 4, Entropy: 2, Bound: true, Aligned: 2 << 20, Varying: 3, High: true}},
		// Three of four once: still most.
		{"most once", []uint64{1 << 12, 2 << 12, 3 << 12, 4 << 12, 4 << 12}, Spread{Boots: 5, Distinct: 4, Entropy: -3*0.2*math.Log2(0.2) - 0.4*math.Log2(0.4), Bound: true, Aligned: 1 << 12, Varying: 3}},
	} {
		if d := cmp.Diff(tt.want, SpreadOf(tt.in), cmpopts.EquateApprox(0, 1e-12)); d != "" {
			t.Errorf("%s: %s", tt.name, d)
		}
	}
}

// Of eight bits at random: a few boots give a bound that is below them, many give them.
func TestSpreadOfKnownEntropy(t *testing.T) {
	source := rand.New(rand.NewPCG(1, 2))
	draw := func(n int) (out []uint64) {
		for range n {
			out = append(out, 0xffffffff80000000+uint64(source.IntN(256))<<21)
		}
		return out
	}
	few, many := SpreadOf(draw(20)), SpreadOf(draw(2000))
	if !few.Bound || few.Entropy > math.Log2(20) || few.Entropy < 4 {
		t.Errorf("20 boots: %+v", few)
	}
	if many.Bound || math.Abs(many.Entropy-8) > 0.05 || many.Aligned != 2<<20 || many.Varying != 8 {
		t.Errorf("2000 boots: %+v", many)
	}
}

// What a guest did before it came to itself, or only in some boots, is not compared.
func TestOnePlace(t *testing.T) {
	const firmware, idle, other = 0xf1234, 0xffffffff81000abc, 0xffffffff81000def
	moved := func(by uint64) uint64 { return idle + by<<21 }
	for _, tt := range []struct {
		name string
		in   [][]uint64
		want []uint64
	}{
		{"firmware first", [][]uint64{{firmware, idle}, {firmware, moved(1)}, {firmware, moved(2)}}, []uint64{idle, moved(1), moved(2)}},
		{"not always the last", [][]uint64{{firmware, idle}, {moved(1), other}, {moved(2)}}, []uint64{idle, moved(1), moved(2)}},
		{"the latest of a place", [][]uint64{{moved(7), other, idle}, {moved(1)}}, []uint64{idle, moved(1)}},
		{"not in all", [][]uint64{{idle}, nil, {idle}}, []uint64{idle, idle}},
		{"none", [][]uint64{nil, nil}, nil},
		{"the halves are two places", [][]uint64{{idle}, {idle &^ (1 << 63)}, {idle}}, []uint64{idle, idle}},
	} {
		if d := cmp.Diff(tt.want, onePlace(tt.in)); d != "" {
			t.Errorf("%s: %s", tt.name, d)
		}
	}
}

func aslrCell(kinds map[string][][]uint64) *Cell {
	c := &Cell{Experiment: aslr}
	for kind, boots := range kinds {
		for i, seen := range boots {
			if i == len(c.Samples) {
				c.Samples = append(c.Samples, Sample{Status: SampleOK, Addresses: map[string][]string{}})
			}
			for _, a := range seen {
				c.Samples[i].Addresses[kind] = append(c.Samples[i].Addresses[kind], fmt.Sprintf("0x%x", a))
			}
		}
	}
	return c
}

// The summary's figures are over all ok samples; a bound is never the result.
func TestSummarizeASLR(t *testing.T) {
	c := aslrCell(map[string][][]uint64{
		"halt":    {{0x1abc}, {0x2abc}, {0x3abc}, {0x4abc}},
		"console": {{0x9000}, {0x9000}, {0x9000}, {0x9000}},
	})
	c.Samples = append(c.Samples, Sample{Status: SampleFailed, Addresses: map[string][]string{"halt": {"0xfffabc"}}})
	got := map[string]float64{}
	notes := map[string]string{}
	for name, s := range c.Summarize() {
		got[name], notes[name] = s.Median, s.Note
		if s.N != 4 || s.CI95 != nil {
			t.Errorf("%s: %+v", name, s)
		}
	}
	want := map[string]float64{
		"boots": 4, "addresses_distinct": 4, "entropy_at_least_bits": 2, "aligned_bytes": 0x1000, "varying_bits": 3,
		"halt_boots": 4, "halt_addresses_distinct": 4, "halt_entropy_at_least_bits": 2, "halt_aligned_bytes": 0x1000, "halt_varying_bits": 3,
		"console_boots": 4, "console_addresses_distinct": 1, "console_entropy_bits": 0, "console_varying_bits": 0,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for name, part := range map[string]string{"boots": "halt, lower half", "entropy_at_least_bits": "too few boots", "console_entropy_bits": "in less than 75 %"} {
		if !strings.Contains(notes[name], part) {
			t.Errorf("%s: %q does not say %q", name, notes[name], part)
		}
	}
	c.Experiment = "boot"
	if s := c.Summarize(); len(s) != 0 {
		t.Errorf("of a boot: %v", s)
	}
	one := aslrCell(map[string][][]uint64{"halt": {{0x1000}}})
	if _, there := one.Summarize()["entropy_bits"]; there {
		t.Error("one boot gives an entropy")
	}
}

// What is in every boot stands for all before what comes first in the list.
func TestMostBootsStandForAll(t *testing.T) {
	c := aslrCell(map[string][][]uint64{"halt": {{0x1000}, {0x1000}}, "console": {{0x2000}, {0x2000}, {0x2000}}})
	if s := c.Summarize()["boots"]; s.Median != 3 || !strings.Contains(s.Note, "console") {
		t.Errorf("%+v", s)
	}
}
