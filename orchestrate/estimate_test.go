// SPDX-License-Identifier: Apache-2.0

package orchestrate

import (
	"testing"

	"github.com/ukprobe/ukprobe/orchestrate/cpu"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/results"
)

// TestProgressOfCells: a cell is done when none of its samples is left; one that is not
// run does not count.
func TestProgressOfCells(t *testing.T) {
	set := matrix.DefaultSettings()
	set.Samples, set.Warmup = 2, 0
	long := set
	long.Samples = 3
	r := &Run{took: map[int]*mean{}, cells: []*cell{
		{Cell: matrix.Cell{Experiment: matrix.Boot, Settings: set}},
		{Cell: matrix.Cell{Settings: set}, status: results.CellUnsupported},
		{Cell: matrix.Cell{Experiment: matrix.Boot, Settings: long}},
	}}
	r.order = []matrix.Step{{Cell: 0, Warmup: true}, {Cell: 2}, {Cell: 0, Sample: 1}, {Cell: 2, Sample: 1, Warmup: true}, {Cell: 2, Sample: 2}}
	for i, done := range []int{0, 0, 0, 1, 1} {
		p := r.progress(i, r.order[i], r.cells[r.order[i].Cell])
		if p.Cells != 2 || p.CellsDone != done || p.Experiment != matrix.Boot || p.Step != i+1 || p.Steps != 5 || p.Warmups != 2 {
			t.Errorf("before step %d: %+v", i, p)
		}
		r.done++
		if r.order[i].Warmup {
			r.warm++
		}
	}
}

// TestApart: whether ukprobe may do anything of its own while a guest runs.
func TestApart(t *testing.T) {
	for name, tt := range map[string]struct {
		plan  cpu.Plan
		accel string
		want  bool
	}{
		"each on its own":      {cpu.Plan{VCPU: []int{1}, VMM: []int{2}, Client: []int{3}}, platform.KVM, true},
		"one for all":          {cpu.Plan{VCPU: []int{0}, VMM: []int{0}, Client: []int{0}}, platform.KVM, false},
		"the vCPU's":           {cpu.Plan{VCPU: []int{1}, VMM: []int{2}, Client: []int{1, 3}}, platform.KVM, false},
		"the VMM's":            {cpu.Plan{VCPU: []int{1}, VMM: []int{2}, Client: []int{2}}, platform.KVM, false},
		"no vCPU in a process": {cpu.Plan{VCPU: []int{3}, VMM: []int{2}, Client: []int{3}}, platform.None, true},
		"no plan":              {cpu.Plan{}, platform.KVM, false},
	} {
		c := &cell{Cell: matrix.Cell{Experiment: matrix.Boot, Settings: matrix.DefaultSettings()}, accel: tt.accel}
		l := &laboratory{cpus: cpus{plans: map[string]cpu.Plan{planKey(c.Cell): tt.plan}}}
		if got := l.apart(c); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if c := (&cell{Cell: matrix.Cell{Experiment: matrix.ImageSize}}); !(&laboratory{}).apart(c) {
		t.Error("what starts no guest is disturbed by nobody")
	}
}
