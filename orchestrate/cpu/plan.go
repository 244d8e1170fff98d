// SPDX-License-Identifier: Apache-2.0

// Package cpu decides which CPUs a guest's vCPUs, its VMM and the client run on,
// pins threads there, reads the facts about the host that a result has to be
// judged by, and sets what of the host's CPUs and memory it is asked to set, with
// the old value in the journal. It does not know guests or experiments.
package cpu

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
)

// Plan says who runs where. The same CPU may be in several lists; then a taint
// says so.
type Plan struct {
	VCPU   []int // one for each of the guest's vCPUs, as far as there are enough
	VMM    []int // every other thread of the VMM
	Client []int // the client, and ukprobe itself
	Taints []string
	Reason string // one sentence for a person: how the plan came about
}

// core is one physical core: its usable CPUs, ascending.
type core struct {
	cpus     []int
	pkg      int
	isolated bool // all of its usable CPUs are
}

// topology is what a plan depends on.
type topology struct {
	cores    []core
	isolated []int
	online   []int // also those this process may not use
	sibling  map[int][]int
}

// Wanted are CPUs that a person wants for a role; none: any.
type Wanted struct{ VCPU, VMM, Client []int }

func (w Wanted) String() string {
	var parts []string
	for _, role := range []struct {
		name string
		cpus []int
	}{{"vcpu", w.VCPU}, {"vmm", w.VMM}, {"client", w.Client}} {
		if len(role.cpus) > 0 {
			parts = append(parts, role.name+" "+FormatList(role.cpus))
		}
	}
	return strings.Join(parts, ", ")
}

// MakePlan plans for this machine and guests of up to so many vCPUs: from the CPUs
// that are online and that this process may be pinned to, with each vCPU, VMM and
// client on physical cores of their own where there are enough, isolated ones
// first. Where there are not, they share and the plan has taints.
func MakePlan(vcpus int) (Plan, error) { return MakePlanAs(vcpus, Wanted{}) }

// MakePlanAs is MakePlan with some CPUs given. Where the machine does not have those,
// the plan is an automatic one and has a taint that says so.
func MakePlanAs(vcpus int, w Wanted) (Plan, error) {
	t, err := hostTopology()
	if err != nil {
		return Plan{}, err
	}
	return t.planAs(vcpus, w), nil
}

// hostTopology is this machine's, of the CPUs that this process may use.
func hostTopology() (topology, error) {
	online, err := onlineCPUs(os.DirFS("/"))
	if err != nil {
		return topology{}, err
	}
	usable, err := usableCPUs(online)
	if err != nil {
		return topology{}, err
	}
	return readTopology(os.DirFS("/"), usable)
}

// degraded begins the taint of a plan that is not the one that was wanted.
const degraded = "cpu plan: "

// Degraded tells whether a taint says that the plan is not the one that was wanted: it
// holds for whatever runs.
func Degraded(taint string) bool { return strings.HasPrefix(taint, degraded) }

// planAs gives every role the CPUs that are wanted for it, and plans the others on
// what is left. Where a CPU that is wanted cannot be had, all is planned
// automatically: a part of a plan would be another experiment than both.
func (t topology) planAs(vcpus int, w Wanted) Plan {
	named := slices.Compact(slices.Sorted(slices.Values(slices.Concat(w.VCPU, w.VMM, w.Client))))
	if len(named) == 0 {
		return t.plan(vcpus)
	}
	var absent []int
	for _, c := range named {
		if !slices.ContainsFunc(t.cores, func(k core) bool { return slices.Contains(k.cpus, c) }) {
			absent = append(absent, c)
		}
	}
	if len(absent) > 0 {
		p := t.plan(vcpus)
		p.Taints = append([]string{fmt.Sprintf("%snot as wanted (%s): cpus %s are not online or not in ukprobe's cpuset; in place of it: %s", degraded, w, FormatList(absent), p.Reason)}, p.Taints...)
		return p
	}
	rest := t
	rest.cores = slices.DeleteFunc(slices.Clone(t.cores), func(k core) bool {
		return slices.ContainsFunc(k.cpus, func(c int) bool { return slices.Contains(named, c) })
	})
	if len(rest.cores) == 0 {
		rest.cores = t.cores
	}
	p := rest.planRest(vcpus, w)
	for _, role := range []struct{ wanted, planned *[]int }{{&w.VCPU, &p.VCPU}, {&w.VMM, &p.VMM}, {&w.Client, &p.Client}} {
		if len(*role.wanted) > 0 {
			*role.planned = slices.Clone(*role.wanted)
		}
	}
	slices.Sort(p.Client)
	p.Reason = "as wanted: " + w.String()
	p.Taints = t.taints(p)
	return p
}

// planRest plans on what is left: the VMM comes first where the vCPUs have theirs.
func (t topology) planRest(vcpus int, w Wanted) Plan {
	if len(w.VCPU) == 0 {
		return t.plan(vcpus)
	}
	cores := t.ranked()
	if len(w.VMM) > 0 {
		return Plan{Client: clientCPUs(cores)}
	}
	p := Plan{VMM: cores[0].cpus[:1], Client: cores[0].cpus}
	if len(cores) > 1 {
		p.Client = clientCPUs(cores[1:])
	}
	return p
}

// plan gives whole cores away, best first: isolated ones to the vCPUs, the next to
// the VMM, the rest to the client. The core of CPU 0, where interrupts land by
// default, is the last.
func (t topology) plan(vcpus int) Plan {
	cores := t.ranked()
	var p Plan
	switch {
	case len(cores) >= 3:
		n := min(max(vcpus, 1), len(cores)-2)
		p.VCPU, p.VMM = vcpuCPUs(cores[:n], vcpus), cores[n].cpus[:1]
		p.Client = clientCPUs(cores[n+1:])
		p.Reason = fmt.Sprintf("%d physical cores: vcpu, vmm and client on cores of their own", len(cores))
	case len(cores) == 2 && len(cores[1].cpus) > 1:
		last := cores[1].cpus
		p.VCPU, p.VMM, p.Client = vcpuCPUs(cores[:1], vcpus), last[len(last)-1:], last[:len(last)-1]
		p.Reason = "2 physical cores with SMT: the vcpu has one to itself, vmm and client share the other"
	case len(cores) == 2:
		p.VCPU, p.VMM, p.Client = cores[0].cpus[:1], cores[0].cpus[:1], cores[1].cpus
		p.Reason = "2 CPUs: the guest (vcpu and vmm) on one, client and ukprobe on the other"
	default:
		p = oneCore(cores[0].cpus)
	}
	slices.Sort(p.Client)
	p.Taints = t.taints(p)
	return p
}

// vcpuCPUs takes one CPU of each core, then their SMT siblings, until there is one
// for each vCPU.
func vcpuCPUs(cores []core, vcpus int) []int {
	var out []int
	for i := 0; ; i++ {
		any := false
		for _, c := range cores {
			if i < len(c.cpus) {
				any = true
				if len(out) < max(vcpus, 1) {
					out = append(out, c.cpus[i])
				}
			}
		}
		if !any || len(out) == max(vcpus, 1) {
			return out
		}
	}
}

// clientCPUs takes the cores that are not isolated, if any: on isolated CPUs the
// kernel balances no load, so a client's threads would all stay on one.
func clientCPUs(rest []core) []int {
	var open, isolated []int
	for _, c := range rest {
		if c.isolated {
			isolated = append(isolated, c.cpus...)
		} else {
			open = append(open, c.cpus...)
		}
	}
	if len(open) > 0 {
		return open
	}
	return isolated
}

func oneCore(cpus []int) Plan {
	if len(cpus) == 1 {
		return Plan{VCPU: cpus, VMM: cpus, Client: cpus, Reason: "1 CPU: everything shares it"}
	}
	last := cpus[len(cpus)-1:]
	return Plan{VCPU: last, VMM: last, Client: cpus[:len(cpus)-1],
		Reason: "1 physical core with SMT: the guest on its last CPU, client and ukprobe on the others"}
}

// ranked orders cores from the best for a vCPU to the worst. Beyond isolation
// and CPU 0 it keeps to the package of the first, so that vCPU and VMM share
// a last-level cache.
func (t topology) ranked() []core {
	cores := slices.Clone(t.cores)
	slices.SortStableFunc(cores, func(a, b core) int {
		return cmp.Or(
			cmp.Compare(rank(!a.isolated), rank(!b.isolated)),
			cmp.Compare(rank(slices.Contains(a.cpus, 0)), rank(slices.Contains(b.cpus, 0))),
			cmp.Compare(a.pkg, b.pkg),
			cmp.Compare(a.cpus[0], b.cpus[0]))
	})
	return cores
}

func rank(worse bool) int {
	if worse {
		return 1
	}
	return 0
}

// taints are the reasons to distrust what is measured under p.
func (t topology) taints(p Plan) []string {
	var out []string
	roles := []struct {
		name string
		cpus []int
	}{{"vcpu", p.VCPU}, {"vmm", p.VMM}, {"client", p.Client}}
	for i, a := range roles {
		for _, b := range roles[i+1:] {
			out = append(out, t.sharing(a.name, a.cpus, b.name, b.cpus)...)
		}
	}
	for i, c := range p.VCPU {
		out = append(out, t.sharing("one vcpu", []int{c}, "another", p.VCPU[i+1:])...)
	}
	for _, r := range roles[:2] {
		for _, c := range r.cpus {
			if !slices.Contains(t.isolated, c) {
				out = append(out, fmt.Sprintf("%s on cpu %d, which is not isolated", r.name, c))
			}
		}
	}
	return append(out, t.strangers(p)...)
}

// sharing tells whether two roles are on one CPU or on one physical core.
func (t topology) sharing(nameA string, a []int, nameB string, b []int) []string {
	for _, x := range a {
		if slices.Contains(b, x) {
			return []string{fmt.Sprintf("%s and %s share cpu %d", nameA, nameB, x)}
		}
		for _, y := range b {
			if slices.Contains(t.sibling[x], y) {
				return []string{fmt.Sprintf("%s and %s share a physical core (cpus %d and %d)", nameA, nameB, x, y)}
			}
		}
	}
	return nil
}

// strangers finds SMT siblings of vCPU and VMM on which anyone may run.
func (t topology) strangers(p Plan) []string {
	var out []string
	planned := slices.Concat(p.VCPU, p.VMM, p.Client)
	for _, c := range slices.Compact(slices.Sorted(slices.Values(slices.Concat(p.VCPU, p.VMM)))) {
		for _, s := range t.sibling[c] {
			if s != c && slices.Contains(t.online, s) && !slices.Contains(t.isolated, s) && !slices.Contains(planned, s) {
				out = append(out, fmt.Sprintf("cpu %d, an SMT sibling of cpu %d, is open to other tasks", s, c))
			}
		}
	}
	return out
}
