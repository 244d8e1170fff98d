// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"slices"
	"time"

	"github.com/ukprobe/ukprobe/bpf"
)

// Look is what [Interference] has seen of some CPUs.
type Look struct {
	CPUs    []CPUTime
	Sources []Source // the longest first
	edges   []edges  // of each of CPUs; of a look that was made up none are known
}

// stretch is a time without a break in which one thing had a CPU.
type stretch = bpf.InterferenceStretch

// edges are the first and the last stretches of a CPU, in the order of their ends. Between
// them there may be others, of which only the sums are known.
type edges struct {
	head, tail []stretch
	all        bool // each of them has all
	lost       bool // not all that should be there are
}

// within leaves out stretches of an earlier look: where an interrupt's end came between
// the two steps in which another's is noted, a place keeps what it had.
func (e edges) within(begun, ended uint64) edges {
	foreign := func(s stretch) bool { return s.Ended < s.Begun || s.Ended <= begun || s.Begun >= ended }
	n := len(e.head) + len(e.tail)
	e.head, e.tail = slices.DeleteFunc(slices.Clone(e.head), foreign), slices.DeleteFunc(slices.Clone(e.tail), foreign)
	e.lost = len(e.head)+len(e.tail) < n
	return e
}

// newEdges takes the stretches out of the kernel's tables, of which the second is a ring.
func newEdges(n uint64, head, tail []stretch) edges {
	size := uint64(len(head))
	if n <= size {
		return edges{head: head[:n], tail: tail[:n], all: true}
	}
	at := n % size
	return edges{head: head, tail: slices.Concat(tail[at:], tail[:at])}
}

// isTask tells a task's stretch, the idle one's too, from an interrupt's: one ends where
// the next begins.
func isTask(s stretch) bool {
	return s.Kind != uint16(bpf.InterferenceSourceKindSOURCE_IRQ) && s.Kind != uint16(bpf.InterferenceSourceKindSOURCE_SOFTIRQ)
}

// reachesPast tells whether the head has all stretches that began before a time.
func (e edges) reachesPast(from int64) bool {
	return e.all || slices.ContainsFunc(e.head, func(s stretch) bool { return isTask(s) && int64(s.Ended) >= from })
}

// reachesBack tells whether the tail has all stretches that ended after a time.
func (e edges) reachesBack(to int64) bool {
	return e.all || len(e.tail) > 0 && int64(e.tail[0].Ended) <= to
}

// Between is what was seen from one time to another, on CLOCK_MONOTONIC in ns; 0 is the
// look's own begin, or its end. Of a stretch that is cut, interrupts within it are where they
// were if all of them are known, and else thought to be spread evenly. Only the first and the last 2,048 stretches of each CPU are known one
// by one: where a time is beyond them that end is not cut, and whole is false; so it is where
// one of them was lost.
func (l Look) Between(from, to int64) (out Look, whole bool) {
	out, whole = Look{CPUs: slices.Clone(l.CPUs)}, true
	less := map[sourceKey]Source{}
	known := make([]edges, len(out.CPUs))
	copy(known, l.edges)
	for n, e := range known {
		c := out.CPUs[n]
		begun, ended := c.Begun, c.Begun+c.Span.Nanoseconds()
		if cut := from > begun || to != 0 && to < ended; cut && e.lost {
			whole = false
		}
		if from > begun && !e.reachesPast(from) {
			from, whole = 0, false
		}
		if to != 0 && to < ended && !e.reachesBack(to) {
			to, whole = 0, false
		}
	}
	for n, e := range known {
		e.cut(&out.CPUs[n], from, to, less)
	}
	for _, s := range l.Sources {
		d := less[sourceKey{s.Kind, s.ID, s.CPU}]
		if s.Time, s.Count = s.Time-d.Time, s.Count-d.Count; s.Count > 0 {
			out.Sources = append(out.Sources, s)
		}
	}
	longestFirst(out.Sources)
	return out, whole
}

type sourceKey struct {
	kind SourceKind
	id   int
	cpu  int
}

// cut takes out of a CPU's time what was before or after, and notes whose that was.
func (e edges) cut(c *CPUTime, from, to int64, less map[sourceKey]Source) {
	begun, ended := c.Begun, c.Begun+c.Span.Nanoseconds()
	from, to = min(max(from, begun), ended), min(to, ended)
	if to == 0 {
		to = ended
	}
	to = max(to, from)
	for n, s := range e.head {
		c.less(s, e.head[:n], int64(s.Begun), min(int64(s.Ended), from), less)
	}
	for n, s := range e.tail {
		c.less(s, e.tail[:n], max(int64(s.Begun), to), int64(s.Ended), less)
	}
	c.Begun, c.Span = from, time.Duration(to-from)
}

// part is how much of a stretch's own time was from one time to another. What interrupted it
// ended before it did: where all of that is among those before, it is known when it was; else
// it is thought to be spread evenly.
func part(s stretch, before []stretch, from, to int64) time.Duration {
	length := int64(s.Ended - s.Begun)
	known, within := int64(s.Ns), to-from
	for n := len(before) - 1; n >= 0 && before[n].Ended > s.Begun; n-- {
		if i := before[n]; isInterrupt(i) && i.Begun >= s.Begun {
			known += int64(i.Ns)
			within -= int64(part(i, before[:n], min(max(from, int64(i.Begun)), int64(i.Ended)), max(min(to, int64(i.Ended)), int64(i.Begun))))
		}
	}
	if known == length && within >= 0 {
		return time.Duration(min(within, int64(s.Ns)))
	}
	return time.Duration(float64(s.Ns) * float64(to-from) / float64(length))
}

func isInterrupt(s stretch) bool { return !isTask(s) }

// less takes a part of a stretch, from one time to another, out of the sums. The whole of
// one has not been there at all.
func (c *CPUTime) less(s stretch, before []stretch, from, to int64, of map[sourceKey]Source) {
	if from >= to {
		return
	}
	ns, count := time.Duration(s.Ns), uint64(1)
	if length := int64(s.Ended - s.Begun); to-from < length {
		ns, count = part(s, before, from, to), 0
	}
	*c.sum(s.Kind) -= ns
	if isTask(s) {
		c.Switches -= min(count, c.Switches)
	}
	if s.Unnamed != 0 {
		c.Unnamed -= ns
		c.UnnamedCount -= count
		return
	}
	if int(s.Kind) >= len(sourceKinds) {
		return // idle, or the group's: no source
	}
	key := sourceKey{sourceKinds[s.Kind], int(s.Id), c.CPU}
	d := of[key]
	d.Time += ns
	d.Count += count
	of[key] = d
}

// sum is the one that a kind of stretch is in.
func (c *CPUTime) sum(kind uint16) *time.Duration {
	switch bpf.InterferenceSourceKind(kind) {
	case bpf.InterferenceSourceKindSOURCE_IDLE:
		return &c.Idle
	case bpf.InterferenceSourceKindSOURCE_MINE:
		return &c.Mine
	case bpf.InterferenceSourceKindSOURCE_OWN:
		return &c.Own
	case bpf.InterferenceSourceKindSOURCE_ENGINE:
		return &c.Engine
	case bpf.InterferenceSourceKindSOURCE_IRQ:
		return &c.IRQ
	case bpf.InterferenceSourceKindSOURCE_SOFTIRQ:
		return &c.SoftIRQ
	}
	return &c.Others
}
