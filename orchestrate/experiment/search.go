// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/ukprobe/ukprobe/orchestrate/matrix"
)

// search looks for the least size, in steps, with which something works k of k times.
// It tries sizes, in an order of its own, and knows nothing of what is tried.
//
// It is dichotomic, so it needs a system of which every size above one that is enough
// is enough too. Whether that holds it tests at random sizes, and says if not.
type search struct {
	grid  grid
	known int // KiB, with which it has been seen to work k of k times
	rand  *rand.Rand
	// try tries a size once. Its error ends the search: it is not about the size.
	try func(ctx context.Context, kib int) (trial, error)

	small  bool    // then: even the smallest size is enough
	trials []trial // all of them, in order
	sizes  []size  // by index, from grid.from up
	taints []string
}

// grid is the sizes that are searched, in KiB, and how often one has to work.
type grid struct{ from, to, step, confirm int }

// gridOf is the search's grid as the matrix has it.
func gridOf(m matrix.MemorySearch) grid {
	const kib = 1 << 10 // of a MiB
	return grid{from: m.FromMiB * kib, to: m.ToMiB * kib, step: m.StepMiB * kib, confirm: m.Confirm}
}

// trial is one try of a size.
type trial struct {
	KiB    int
	Passed bool
	Reason string // why not
	NS     int64  // when it began, CLOCK_MONOTONIC
	TookNs int64
	Exec   bool // it got as far as the VMM's exec, or the app's own
}

// size is what is known of one.
type size struct {
	passes, fails int
	forgiven      bool // its first failure was an outlier: it does not count
}

// reprobes is how many random sizes are tried on either side of what was found.
const reprobes = 3

// run searches. If why is not empty there is no result, for that reason.
func (s *search) run(ctx context.Context) (least, failing int, why string, err error) {
	g := s.grid
	s.sizes = make([]size, (g.to-g.from)/g.step+1)
	top, why, err := s.ends(ctx)
	if err != nil || why != "" {
		return 0, 0, why, err
	}
	lo, hi, why, err := s.edge(ctx, top)
	if err != nil || why != "" {
		return 0, 0, why, err
	}
	if why, err = s.monotone(ctx, lo, hi, top); err != nil || why != "" {
		return 0, 0, why, err
	}
	return s.kib(hi), s.kib(lo), "", nil
}

func (s *search) kib(i int) int { return s.grid.from + i*s.grid.step }

// text writes a size for people.
func (s *search) text(i int) string { return sizeText(s.kib(i)) }

func sizeText(kib int) string {
	if kib%1024 == 0 {
		return fmt.Sprintf("%d MiB", kib/1024)
	}
	return fmt.Sprintf("%d KiB", kib)
}

// ends tries the bounds: the lower must fail, and the upper, unless a size below it is
// known to be enough, must not. top is the index of a size that is enough.
func (s *search) ends(ctx context.Context) (top int, why string, err error) {
	last := len(s.sizes) - 1
	top = min(last, max(0, (s.known-s.grid.from+s.grid.step-1)/s.grid.step))
	if s.known > s.kib(last) {
		if enough, err := s.enough(ctx, last); err != nil || !enough {
			return 0, fmt.Sprintf("memory_search: to_mib is too small: %s", s.failure(last)), err
		}
	}
	enough, err := s.enough(ctx, 0)
	if enough {
		s.small = true
		why = fmt.Sprintf("memory_search: from_mib is not small enough: %s work %d of %d times, and a bound is no result", s.text(0), s.sizes[0].passes, s.grid.confirm)
	} else if err == nil && top == 0 {
		why = "memory_search: from_mib is above memory_mib: there is nothing to search between them"
	}
	return top, why, err
}

// edge halves what is between a size that fails and one that is enough, until they are
// neighbours that are both confirmed.
func (s *search) edge(ctx context.Context, top int) (lo, hi int, why string, err error) {
	for lo, hi = 0, top; ; {
		for hi-lo > 1 {
			mid := (lo + hi) / 2
			passed, err := s.once(ctx, mid)
			if err != nil {
				return 0, 0, "", err
			}
			if passed {
				hi = mid
			} else {
				lo = mid
			}
		}
		enough, err := s.enough(ctx, hi)
		if err != nil {
			return 0, 0, "", err
		}
		if !enough {
			lo = hi
			if hi = s.above(lo, top); hi < 0 {
				return 0, 0, fmt.Sprintf("the default size is enough only at times: %s", s.failure(lo)), nil
			}
			continue
		}
		fails, err := s.fails(ctx, lo)
		if err != nil {
			return 0, 0, "", err
		}
		if fails {
			return lo, hi, "", nil
		}
		hi, lo = lo, s.below(lo)
		if lo < 0 {
			return 0, 0, fmt.Sprintf("memory_search: from_mib is not small enough: %s work, and a bound is no result", s.text(0)), nil
		}
	}
}

// above is the smallest size above i that has worked and not failed, below the largest
// below it that has failed; -1 for none.
func (s *search) above(i, top int) int {
	for j := i + 1; j <= top; j++ {
		if z := s.sizes[j]; z.fails == 0 && (z.passes > 0 || j == top) {
			return j
		}
	}
	return -1
}

func (s *search) below(i int) int {
	for j := i - 1; j >= 0; j-- {
		if s.sizes[j].fails > 0 {
			return j
		}
	}
	return -1
}

// once tries a size. One that has been tried before is not tried again.
func (s *search) once(ctx context.Context, i int) (bool, error) {
	if z := s.sizes[i]; z.fails > 0 || z.passes > 0 {
		return z.fails == 0, nil
	}
	return s.again(ctx, i)
}

// again tries a size in any case.
func (s *search) again(ctx context.Context, i int) (bool, error) {
	t, err := s.try(ctx, s.kib(i))
	if err != nil {
		return false, err
	}
	t.KiB = s.kib(i)
	s.trials = append(s.trials, t)
	if t.Passed {
		s.sizes[i].passes++
	} else {
		s.sizes[i].fails++
	}
	return t.Passed, nil
}

// enough tries a size until it has worked k times, or failed.
func (s *search) enough(ctx context.Context, i int) (bool, error) {
	for s.sizes[i].fails == 0 && s.sizes[i].passes < s.grid.confirm {
		if _, err := s.again(ctx, i); err != nil {
			return false, err
		}
	}
	return s.sizes[i].fails == 0, nil
}

// fails confirms a size that has failed: it fails a second time before it works k
// times. Else its failure was an outlier, which is forgiven once and tells on the
// sample, and it is enough. That it works at times is told as well.
func (s *search) fails(ctx context.Context, i int) (bool, error) {
	z := &s.sizes[i]
	for before := z.passes; z.fails < 2 && z.passes-before < s.grid.confirm; {
		if _, err := s.again(ctx, i); err != nil {
			return false, err
		}
	}
	if z.fails > 1 || z.forgiven {
		if z.passes > 0 {
			s.taints = append(s.taints, fmt.Sprintf("memory: %s work %d of %d times: the edge is not sharp", s.text(i), z.passes, z.passes+z.fails))
		}
		return true, nil
	}
	s.taints = append(s.taints, fmt.Sprintf("memory: %s; then it worked %d times", s.failure(i), z.passes))
	*z = size{passes: z.passes, forgiven: true}
	return false, nil
}

// failure quotes the last failure of a size.
func (s *search) failure(i int) string {
	for _, t := range slices.Backward(s.trials) {
		if t.KiB == s.kib(i) && !t.Passed {
			return fmt.Sprintf("%s fail: %s", s.text(i), t.Reason)
		}
	}
	return s.text(i) + " fail"
}

// monotone tries random sizes on both sides of the edge: those above it have to be
// enough, those below not. What happens twice is taken for the system's nature.
func (s *search) monotone(ctx context.Context, lo, hi, top int) (why string, err error) {
	for _, i := range s.pick(hi+1, max(top, min(2*hi+1, len(s.sizes)-1))) {
		passed, err := s.again(ctx, i)
		if err != nil {
			return "", err
		}
		if passed {
			continue
		}
		fails, err := s.fails(ctx, i)
		if err != nil {
			return "", err
		}
		if fails {
			return fmt.Sprintf(notMonotone+"%s work %d of %d times, but %s", s.text(hi), s.sizes[hi].passes, s.grid.confirm, s.failure(i)), nil
		}
	}
	for _, i := range s.pick(0, lo-1) {
		passed, err := s.again(ctx, i)
		if err != nil {
			return "", err
		}
		if !passed {
			continue
		}
		if again, err := s.again(ctx, i); err != nil {
			return "", err
		} else if again {
			return fmt.Sprintf(notMonotone+"%s, but %s work", s.failure(lo), s.text(i)), nil
		}
		s.taints = append(s.taints, fmt.Sprintf("memory: %s worked once, although they are less than %s", s.text(i), s.text(lo)))
	}
	return s.contradiction(lo, hi), nil
}

// pick chooses different indexes at random, both ends among them.
func (s *search) pick(from, to int) []int {
	var out []int
	for i := from; i <= to && i <= from+reprobes; i++ {
		out = append(out, i)
	}
	if to-from <= reprobes {
		return out
	}
	out = []int{from, to}
	for len(out) < 2+reprobes {
		if i := from + 1 + s.rand.IntN(to-from-1); !slices.Contains(out, i) {
			out = append(out, i)
		}
	}
	return out
}

// contradiction finds, among all that was tried, what does not go with the edge.
func (s *search) contradiction(lo, hi int) string {
	for i, z := range s.sizes {
		switch {
		case i > hi && z.fails > 1:
			return fmt.Sprintf(notMonotone+"%s work, but %s", s.text(hi), s.failure(i))
		case i < lo && z.passes > 1 && z.fails == 0:
			return fmt.Sprintf(notMonotone+"%s, but %s work", s.failure(lo), s.text(i))
		}
	}
	return ""
}
