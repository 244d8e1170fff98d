// SPDX-License-Identifier: Apache-2.0

package matrix

import (
	"math/bits"
	"math/rand/v2"
)

// Step is one repetition in the order of a run.
type Step struct {
	Cell   int // index in the cells
	Sample int // from 0; warm-ups are counted for themselves
	Warmup bool
}

// Order returns the order in which a run takes its samples: first the
// warm-ups, cell by cell, then the samples as a randomised block design. Round
// r holds every cell that has more than r samples once, in an order shuffled
// anew, so that a drift of the host hits all cells alike.
//
// A cell with a stopping rule has as many samples here as it may have at most. A run
// leaves the steps out that it no longer needs: the others of a round keep their order,
// which so depends on the seed and on which cells are still in, and on nothing else.
// Leaving elements out of a uniformly shuffled list leaves a uniformly shuffled list.
//
// The same seed gives the same order in every version: the shuffle is
// Fisher-Yates from the end, drawing from PCG-DXSM (math/rand/v2's PCG, whose
// sequence is fixed) seeded with (seed, 0), with bounded numbers by Lemire's
// multiplication with rejection. It does not use rand.Shuffle, whose use of
// its source may change.
func Order(cells []Cell, seed uint64) []Step {
	var steps []Step
	rounds := 0
	for i := range cells {
		for n := range cells[i].Warmup {
			steps = append(steps, Step{Cell: i, Sample: n, Warmup: true})
		}
		rounds = max(rounds, cells[i].MostSamples())
	}
	source := rand.NewPCG(seed, 0)
	block := make([]int, 0, len(cells))
	for r := range rounds {
		block = block[:0]
		for i := range cells {
			if cells[i].MostSamples() > r {
				block = append(block, i)
			}
		}
		for i := len(block) - 1; i > 0; i-- {
			j := below(source, uint64(i)+1)
			block[i], block[j] = block[j], block[i]
		}
		for _, c := range block {
			steps = append(steps, Step{Cell: c, Sample: r})
		}
	}
	return steps
}

// below returns a number in [0, n), each equally likely. n is not 0. Lemire,
// Fast Random Integer Generation in an Interval, ACM TOMACS 29(1), 2019.
func below(source *rand.PCG, n uint64) uint64 {
	hi, lo := bits.Mul64(source.Uint64(), n)
	if lo < n {
		for reject := -n % n; lo < reject; {
			hi, lo = bits.Mul64(source.Uint64(), n)
		}
	}
	return hi
}
