// SPDX-License-Identifier: Apache-2.0

package cpu

import (
	"fmt"
	"slices"
)

// MakePlanFor is MakePlanAs for several guests that run at the same time, each of so
// many vCPUs; 0 for what is no VM, and has the VMM's CPU to itself. The first plan is of
// all together, with the taints; each has its part of it in the others: CPUs of its own
// where there are enough. Where there are not they take turns, and a guest's VMM is where
// its first vCPU is. A VMM list that is wanted is every guest's.
func MakePlanFor(guests, vcpus int, w Wanted) (all Plan, each []Plan, err error) {
	t, err := hostTopology()
	if err != nil {
		return Plan{}, nil, err
	}
	all, each = t.planFor(guests, vcpus, w)
	return all, each, nil
}

func (t topology) planFor(guests, vcpus int, w Wanted) (all Plan, each []Plan) {
	all = t.planAs(guests*(vcpus+1)-1, w)
	if len(w.VCPU)+len(w.VMM) == 0 {
		t.divide(&all, guests, vcpus)
	}
	for i := range guests {
		g := Plan{VMM: all.VMM, Client: all.Client}
		for k := range vcpus {
			g.VCPU = append(g.VCPU, all.VCPU[(i*vcpus+k)%len(all.VCPU)])
		}
		switch {
		case len(w.VMM) > 0:
		case len(all.VMM) == guests || vcpus == 0:
			g.VMM = all.VMM[i%len(all.VMM):][:1]
		case slices.Equal(all.VCPU, all.VMM):
			g.VMM = g.VCPU[:1]
		}
		each = append(each, g)
	}
	cpus := slices.Compact(slices.Sorted(slices.Values(slices.Concat(all.VCPU, all.VMM))))
	if wanted := guests * (vcpus + 1); len(cpus) < wanted {
		all.Taints = append(all.Taints, fmt.Sprintf("%s%d guests at once share cpus %s: for all of their threads it would take %d", degraded, guests, FormatList(cpus), wanted))
	}
	return all, each
}

// divide splits what an automatic plan has for vCPUs and VMM between the guests' vCPUs
// and their VMMs.
func (t topology) divide(p *Plan, guests, vcpus int) {
	pool := slices.Clone(p.VCPU)
	for _, c := range p.VMM {
		if !slices.Contains(pool, c) {
			pool = append(pool, c)
		}
	}
	p.VCPU, p.VMM = pool, pool
	if enough := guests * (vcpus + 1); vcpus > 0 && len(pool) >= enough {
		p.VCPU, p.VMM = pool[:guests*vcpus], pool[guests*vcpus:enough]
	}
	p.Reason += fmt.Sprintf("; for %d guests at once", guests)
	p.Taints = append(slices.DeleteFunc(p.Taints, func(s string) bool { return !Degraded(s) }), t.taints(*p)...)
}
