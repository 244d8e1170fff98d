// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"strings"

	"github.com/ukprobe/ukprobe/orchestrate/cpu"
)

// cpuChecks judges how undisturbed a guest's CPUs can be.
func cpuChecks(f cpu.HostFacts, p cpu.Plan, planErr error) []Check {
	return []Check{online(f), governor(f), smt(f), isolated(f), plan(p, planErr)}
}

func online(f cpu.HostFacts) Check {
	const g = group(groupCPUs)
	if f.OnlineCPUs.Absent != "" {
		return g.warn("online", "unknown: "+f.OnlineCPUs.Absent, "mount /sys")
	}
	return g.ok("online", fmt.Sprintf("%s, %s", f.OnlineCPUs.Value, f.CPUModel))
}

func governor(f cpu.HostFacts) Check {
	const g = group(groupCPUs)
	switch {
	case f.Governor.Absent != "":
		return g.warn("governor", f.Governor.Absent+": the clock rate is not this kernel's to hold", "on bare metal load a cpufreq driver; in a virtual machine nothing can be done")
	case f.Governor.Value == "performance":
		return g.ok("governor", f.Governor.Value)
	}
	return g.warn("governor", f.Governor.Value+": the clock rate follows the load", "for g in /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor; do echo performance > $g; done")
}

func smt(f cpu.HostFacts) Check {
	return unless{name: "smt", fact: f.SMT, see: "see lscpu", value: "on",
		why: "siblings share a core with the guest", remedy: "echo off > /sys/devices/system/cpu/smt/control"}.check()
}

func isolated(f cpu.HostFacts) Check {
	return unless{name: "isolated", fact: f.Isolated, see: "mount /sys", value: "none",
		why: "any task may run on the guest's CPUs", remedy: "boot with isolcpus= and the CPUs of two cores (not CPU 0); needs three cores or more"}.check()
}

// unless is a fact that is well unless it has one value.
type unless struct {
	name   string
	fact   cpu.Fact
	see    string // what can be done if it is not known
	value  string // the one that is not well
	why    string
	remedy string
}

func (u unless) check() Check {
	const g = group(groupCPUs)
	switch {
	case u.fact.Absent != "":
		return g.warn(u.name, "unknown: "+u.fact.Absent, u.see)
	case u.fact.Value == u.value:
		return g.warn(u.name, u.value+": "+u.why, u.remedy)
	}
	return g.ok(u.name, u.fact.Value)
}

func plan(p cpu.Plan, err error) Check {
	const g = group(groupCPUs)
	if err != nil {
		return needed(g.fail("plan", oneLine(err), "mount /sys, and see this process's cpuset"))
	}
	who := fmt.Sprintf("%s (vcpu %s, vmm %s, client %s)", p.Reason, cpu.FormatList(p.VCPU), cpu.FormatList(p.VMM), cpu.FormatList(p.Client))
	if len(p.Taints) == 0 {
		return needed(g.ok("plan", who))
	}
	return needed(g.warn("plan", who+"; taints: "+join(p.Taints), "a machine with three physical cores or more has no such taint, best with isolcpus= and SMT off"))
}

func join(words []string) string { return strings.Join(words, ", ") }
