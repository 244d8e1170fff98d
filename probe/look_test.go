// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ukprobe/ukprobe/bpf"
)

// made is a look at one CPU from 1000 to 1100: a foreign task until 1040 with an interrupt
// of 10 in it, the group's own until 1070, the foreign one until 1080, and nobody.
func made() Look {
	task, mine, idle, irq := uint16(bpf.InterferenceSourceKindSOURCE_TASK), uint16(bpf.InterferenceSourceKindSOURCE_MINE),
		uint16(bpf.InterferenceSourceKindSOURCE_IDLE), uint16(bpf.InterferenceSourceKindSOURCE_IRQ)
	all := []stretch{
		{Begun: 1010, Ended: 1020, Ns: 10, Kind: irq, Id: 36},
		{Begun: 1000, Ended: 1040, Ns: 30, Kind: task, Id: 7},
		{Begun: 1040, Ended: 1070, Ns: 30, Kind: mine, Id: 8},
		{Begun: 1070, Ended: 1080, Ns: 10, Kind: task, Id: 7},
		{Begun: 1080, Ended: 1100, Ns: 20, Kind: idle},
	}
	return Look{
		CPUs: []CPUTime{{CPU: 1, Begun: 1000, Span: 100, Idle: 20, Mine: 30, Others: 40, IRQ: 10, Switches: 4}},
		Sources: []Source{
			{Kind: SourceTask, ID: 7, Name: "hog", CPU: 1, Time: 40, Count: 2},
			{Kind: SourceIRQ, ID: 36, CPU: 1, Time: 10, Count: 1},
		},
		edges: []edges{{head: all, tail: all, all: true}},
	}
}

// TestBetween: what others did before a guest was started, or after it was ready, did not
// disturb it.
func TestBetween(t *testing.T) {
	hog := func(ns time.Duration, n uint64) Source {
		return Source{Kind: SourceTask, ID: 7, Name: "hog", CPU: 1, Time: ns, Count: n}
	}
	irq := Source{Kind: SourceIRQ, ID: 36, CPU: 1, Time: 10, Count: 1}
	tests := []struct {
		name     string
		from, to int64
		cpu      CPUTime
		sources  []Source
	}{
		{"all of it", 0, 0, made().CPUs[0], made().Sources},
		{"longer than it was", 5, 5000, made().CPUs[0], made().Sources},
		{"the guest alone", 1040, 1070, CPUTime{CPU: 1, Begun: 1040, Span: 30, Mine: 30, Switches: 1}, nil},
		{"from its start", 1040, 0, CPUTime{CPU: 1, Begun: 1040, Span: 60, Mine: 30, Others: 10, Idle: 20, Switches: 3}, []Source{hog(10, 1)}},
		{"until it is ready", 0, 1070, CPUTime{CPU: 1, Begun: 1000, Span: 70, Mine: 30, Others: 30, IRQ: 10, Switches: 2}, []Source{hog(30, 1), irq}},
		{"within stretches", 1060, 1075, CPUTime{CPU: 1, Begun: 1060, Span: 15, Mine: 10, Others: 5, Switches: 2}, []Source{hog(5, 1)}},
		{"after an interrupt in a stretch", 1025, 0, CPUTime{CPU: 1, Begun: 1025, Span: 75, Mine: 30, Others: 25, Idle: 20, Switches: 4}, []Source{hog(25, 2)}},
		{"within an interrupt", 1016, 1030, CPUTime{CPU: 1, Begun: 1016, Span: 14, Others: 10, IRQ: 4, Switches: 1}, []Source{hog(10, 1), {Kind: SourceIRQ, ID: 36, CPU: 1, Time: 4, Count: 1}}},
		{"within one", 1072, 1074, CPUTime{CPU: 1, Begun: 1072, Span: 2, Others: 2, Switches: 1}, []Source{hog(2, 1)}},
		{"no time", 1050, 1050, CPUTime{CPU: 1, Begun: 1050, Switches: 1}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, whole := made().Between(tt.from, tt.to)
			if diff := cmp.Diff(Look{CPUs: []CPUTime{tt.cpu}, Sources: tt.sources}, got, cmpopts.IgnoreUnexported(Look{})); diff != "" || !whole {
				t.Errorf("whole: %v (-want +got):\n%s", whole, diff)
			}
		})
	}
}

// TestPart: interrupts within interrupts, and one that nobody knows of.
func TestPart(t *testing.T) {
	task, irq, soft := uint16(bpf.InterferenceSourceKindSOURCE_TASK), uint16(bpf.InterferenceSourceKindSOURCE_IRQ), uint16(bpf.InterferenceSourceKindSOURCE_SOFTIRQ)
	before := []stretch{
		{Begun: 900, Ended: 1000, Ns: 100, Kind: task},
		{Begun: 1020, Ended: 1030, Ns: 10, Kind: irq},
		{Begun: 1010, Ended: 1050, Ns: 30, Kind: soft},
	}
	s := stretch{Begun: 1000, Ended: 1100, Ns: 60, Kind: task}
	for _, tt := range []struct {
		name     string
		s        stretch
		before   []stretch
		from, to int64
		want     time.Duration
	}{
		{"before them", s, before, 1000, 1010, 10},
		{"with the half of them", s, before, 1000, 1025, 10},
		{"after them", s, before, 1050, 1100, 50},
		{"all", s, before, 1000, 1100, 60},
		{"one is not known", s, before[2:], 1050, 1100, 30},
		{"of the soft one", before[2], before[:2], 1010, 1025, 10},
	} {
		if got := part(tt.s, tt.before, tt.from, tt.to); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

// TestBetweenWithoutTheMiddle: of a long look only the ends are known, which is enough
// for times near them, and told of others.
func TestBetweenWithoutTheMiddle(t *testing.T) {
	l := made()
	e := &l.edges[0]
	e.all, e.head, e.tail = false, e.head[:3], e.tail[3:]
	if got, whole := l.Between(1050, 1085); !whole || got.CPUs[0].Others != 10 || got.CPUs[0].Mine != 20 || got.CPUs[0].Idle != 5 {
		t.Errorf("near the ends: %v, %+v", whole, got.CPUs)
	}
	if got, whole := l.Between(1075, 1090); whole || got.CPUs[0].Mine != 30 || got.CPUs[0].Idle != 10 {
		t.Errorf("its begin is in the middle: %v, %+v", whole, got.CPUs)
	}
	if got, whole := l.Between(1050, 1060); whole || got.CPUs[0].Idle != 20 || got.CPUs[0].Mine != 20 {
		t.Errorf("its end is in the middle: %v, %+v", whole, got.CPUs)
	}
}

// TestEdgesOfTheRing: the kernel's ring comes in the order of the ends.
func TestEdgesOfTheRing(t *testing.T) {
	const size = 8
	head, tail := make([]stretch, size), make([]stretch, size)
	for n := range uint64(size + 3) {
		s := stretch{Begun: n, Ended: n + 1}
		if n < size {
			head[n] = s
		}
		tail[n%size] = s
	}
	e := newEdges(size+3, head, tail)
	if e.all || e.head[0].Begun != 0 || e.tail[0].Begun != 3 || e.tail[size-1].Begun != size+2 {
		t.Errorf("all: %v, from %d, and %d to %d", e.all, e.head[0].Begun, e.tail[0].Begun, e.tail[size-1].Begun)
	}
	if e := newEdges(2, head, tail); !e.all || len(e.head) != 2 || len(e.tail) != 2 {
		t.Errorf("of two: %+v", e)
	}
}

// TestStretchOfAnEarlierLook: what a place has kept from before is not taken for this look's.
func TestStretchOfAnEarlierLook(t *testing.T) {
	l := made()
	e := l.edges[0]
	stale := stretch{Begun: 100, Ended: 900, Ns: 800, Kind: uint16(bpf.InterferenceSourceKindSOURCE_TASK), Id: 7}
	with := append([]stretch{stale}, e.head...)
	l.edges[0] = edges{head: with, tail: with, all: true}.within(1000, 1100)
	got, whole := l.Between(1040, 1070)
	want := CPUTime{CPU: 1, Begun: 1040, Span: 30, Mine: 30, Switches: 1}
	if diff := cmp.Diff(want, got.CPUs[0]); diff != "" || whole {
		t.Errorf("whole %v (-want +got):\n%s", whole, diff)
	}
	if _, whole := l.Between(0, 0); !whole {
		t.Error("where nothing is cut nothing is missing")
	}
	if got := e.within(1000, 1100); got.lost || len(got.head) != len(e.head) {
		t.Errorf("of a sound look: %+v", got)
	}
}
