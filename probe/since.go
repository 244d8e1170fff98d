// SPDX-License-Identifier: Apache-2.0

package probe

import "maps"

// Since returns what was counted since an earlier reading of the same guest. What the
// earlier one lacks counts from zero.
func (c Counts) Since(before Counts) Counts {
	now := c
	now.Values = lessCounts(now.Values, before.Values)
	now.Lost = lessNonZero(now.Lost, before.Lost)
	now.Ports = lessNonZero(now.Ports, before.Ports)
	now.ExitCounts = lessNonZero(now.ExitCounts, before.ExitCounts)
	now.UserExitCounts = lessNonZero(now.UserExitCounts, before.UserExitCounts)
	now.Exits = lessHistograms(now.Exits, before.Exits)
	now.UserExits = lessHistograms(now.UserExits, before.UserExits)
	now.Network = lessNetwork(now.Network, before.Network)
	now.GuestTime = lessHistograms(now.GuestTime, before.GuestTime)
	spans := make(map[string]Histogram, len(now.Spans))
	for k, h := range now.Spans { // an empty one has been proven too
		spans[k] = lessHistogram(h, before.Spans[k])
	}
	now.Spans = spans
	parts := make(map[string]Parts, len(now.Parts))
	for k, p := range now.Parts {
		o := before.Parts[k]
		if d := (Parts{VMM: max(p.VMM-o.VMM, 0), Halted: max(p.Halted-o.Halted, 0), Waited: max(p.Waited-o.Waited, 0)}); d != (Parts{}) {
			parts[k] = d
		}
	}
	now.Parts = parts
	return now
}

// lessCounts keeps the zeros: a value that is there has been proven.
func lessCounts[K comparable](now, before map[K]uint64) map[K]uint64 {
	out := make(map[K]uint64, len(now))
	for k, n := range now {
		out[k] = less(n, before[k])
	}
	return out
}

func lessNonZero[K comparable](now, before map[K]uint64) map[K]uint64 {
	out := lessCounts(now, before)
	maps.DeleteFunc(out, func(_ K, n uint64) bool { return n == 0 })
	return out
}

// less is a-b, or 0 if a reading in between saw one of them torn.
func less(a, b uint64) uint64 {
	if b > a {
		return 0
	}
	return a - b
}

func lessHistograms[K comparable](now, before map[K]Histogram) map[K]Histogram {
	out := make(map[K]Histogram, len(now))
	for k, h := range now {
		if d := lessHistogram(h, before[k]); d.Count > 0 {
			out[k] = d
		}
	}
	return out
}

// lessHistogram subtracts bucket by bucket; the count is that of the buckets.
func lessHistogram(now, before Histogram) Histogram {
	d := now
	d.SumNS, d.Zero = less(now.SumNS, before.SumNS), less(now.Zero, before.Zero)
	d.Buckets = lessNonZero(now.Buckets, before.Buckets)
	d.Count = d.Zero
	for _, n := range d.Buckets {
		d.Count += n
	}
	return d
}

func lessNetwork(now, before Network) Network {
	now.Responses = lessHistograms(now.Responses, before.Responses)
	now.Unanswered = lessNonZero(now.Unanswered, before.Unanswered)
	now.Repeated = lessNonZero(now.Repeated, before.Repeated)
	now.Refused = lessNonZero(now.Refused, before.Refused)
	now.Unparsed = lessNonZero(now.Unparsed, before.Unparsed)
	now.Untracked, now.Lost = less(now.Untracked, before.Untracked), less(now.Lost, before.Lost)
	return now
}
