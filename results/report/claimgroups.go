// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/ukprobe/ukprobe/results"
)

// claimGroup is one claim of a cell, in all its ok samples.
type claimGroup struct {
	name   string
	claims []results.Claim
	byBoot map[int][]results.Claim // by sample, from 0
	counts map[string]int          // by status
	shown  results.Claim           // the one of the boot that is shown
	// elsewhere: that boot has none, and shown is another's.
	elsewhere bool
}

// claimGroups puts the claims of a cell's ok samples that count together, in the order of
// their first appearance, controls last. All show the same boot, from 0.
func claimGroups(c *results.Cell) (groups []claimGroup, boot int) {
	var out []claimGroup
	for _, i := range c.Standing() {
		if c.Samples[i].Status != results.SampleOK {
			continue
		}
		for _, one := range c.Samples[i].Claims {
			at := slices.IndexFunc(out, func(g claimGroup) bool {
				return g.name == one.Name && g.claims[0].ControlNS == one.ControlNS
			})
			if at < 0 {
				at = len(out)
				out = append(out, claimGroup{name: one.Name, byBoot: map[int][]results.Claim{}, counts: map[string]int{}})
			}
			g := &out[at]
			g.claims, g.byBoot[i] = append(g.claims, one), append(g.byBoot[i], one)
			g.counts[one.Status]++
		}
	}
	boot = nearestBoot(out, len(c.Samples))
	for i := range out {
		own := out[i].byBoot[boot]
		if out[i].elsewhere = len(own) == 0; out[i].elsewhere {
			own = out[i].claims
		}
		out[i].shown = middleClaim(own)
	}
	slices.SortStableFunc(out, func(a, b claimGroup) int {
		return cmp.Compare(abs(a.shown.ControlNS), abs(b.shown.ControlNS))
	})
	return out, boot
}

func abs(n int64) int64 {
	if n < 0 {
		return -n
	}
	return n
}

// nearestBoot is the sample whose claims are nearest to the medians: the sum of how
// many places they are from the middle, by deviation and by value, is the least. A
// claim that a boot lacks, or whose verdict is not the commonest, is as far away as
// can be.
func nearestBoot(groups []claimGroup, samples int) int {
	away := make([]float64, samples)
	for i := range groups {
		g := &groups[i]
		most := slices.Max(slices.Collect(maps.Values(g.counts)))
		off, said := ranked(g.claims, deviation), ranked(g.claims, value)
		for boot := range away {
			own := g.byBoot[boot]
			if len(own) == 0 || g.counts[middleClaim(own).Status] < most {
				away[boot] += float64(2 * len(g.claims))
				continue
			}
			c := middleClaim(own)
			away[boot] += fromMiddle(off, deviation(c)) + fromMiddle(said, value(c))
		}
	}
	best := 0
	for boot := range away {
		if away[boot] < away[best] {
			best = boot
		}
	}
	return best
}

func deviation(c results.Claim) *int64 { return c.OffNS }

func value(c results.Claim) *int64 { return c.ClaimNS }

// ranked are the figures of claims that have it, in order.
func ranked(claims []results.Claim, figure func(results.Claim) *int64) []int64 {
	var out []int64
	for _, c := range claims {
		if v := figure(c); v != nil {
			out = append(out, *v)
		}
	}
	slices.Sort(out)
	return out
}

// fromMiddle is how many places a figure is from the middle. Equal ones share a
// place; none is at no distance.
func fromMiddle(sorted []int64, figure *int64) float64 {
	if figure == nil {
		return 0
	}
	below, _ := slices.BinarySearch(sorted, *figure)
	upTo, _ := slices.BinarySearch(sorted, *figure+1)
	return math.Abs(float64(below-(len(sorted)-upTo))) / 2
}

// unmatched says in how many boots no line was a claim, if the one shown is none.
func (g *claimGroup) unmatched() string {
	if g.shown.Text != "" {
		return ""
	}
	n := 0
	for _, c := range g.claims {
		if c.Text != "" {
			n++
		}
	}
	return fmt.Sprintf(" (%d/%d)", n, len(g.claims))
}

// middleClaim is the one whose deviation is the median, or the first if none has one.
func middleClaim(claims []results.Claim) results.Claim {
	var told []results.Claim
	for _, c := range claims {
		if c.OffNS != nil && c.ErrNS != nil {
			told = append(told, c)
		}
	}
	if len(told) == 0 {
		return claims[0]
	}
	slices.SortStableFunc(told, func(a, b results.Claim) int { return cmp.Compare(*a.OffNS, *b.OffNS) })
	return told[(len(told)-1)/2]
}
