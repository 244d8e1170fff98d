// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"slices"

	"github.com/ukprobe/ukprobe/probe"
)

// bySyscall are the hooks whose events the system-call hook also gives.
var bySyscall = []string{probe.HookVMIoctl, probe.HookVCPU, probe.HookRun}

const hookRemedy = "boot a distribution's kernel with kprobes and without lockdown (Debian's linux-image-amd64)"

// hookChecks judges the hooks that were attached for a moment. openErr is why
// none could be, triedDevice whether those of network devices were tried.
func hookChecks(statuses []probe.HookStatus, openErr error, triedDevice bool) []Check {
	const g = group(groupHooks)
	if openErr != nil {
		return []Check{needed(g.fail("probe", oneLine(openErr), "see privileges and kernel above"))}
	}
	out := []Check{needed(g.ok("probe", "BPF programs load and attach"))}
	syscalls := slices.ContainsFunc(statuses, func(s probe.HookStatus) bool { return s.Hook == probe.HookSyscall && s.Rung != "" })
	for _, s := range statuses {
		c := hookCheck(s)
		device := s.Hook == probe.HookTCOut || s.Hook == probe.HookTCIn
		switch {
		case s.Rung != "":
		case device && !triedDevice:
			c.Status, c.Found, c.Remedy = Warn, "not tried: there was no network device to try it on", "see network below"
		case syscalls && slices.Contains(bySyscall, s.Hook):
			c.Status, c.Found, c.Remedy = Warn, "none; its events come from the hook "+probe.HookSyscall+" while a VM is made", hookRemedy
		default:
			c.Status, c.Found, c.Remedy = Fail, "none. Lost: "+s.Tells, hookRemedy
		}
		out = append(out, c)
	}
	return out
}

// hookCheck is a hook's check as if it could not but be attached.
func hookCheck(s probe.HookStatus) Check {
	c := group(groupHooks).check(s.Hook, OK, string(s.Rung), "")
	c.Hook = &Hook{Rung: string(s.Rung), Tells: s.Tells, OnDemand: s.OnDemand, Refused: refusals(s.Refused)}
	return c
}

// otherHook judges a hook without which a run is only told less of.
func otherHook(s probe.HookStatus) Check {
	c := hookCheck(s)
	if s.Rung == "" {
		c.Status, c.Found, c.Remedy = Warn, "none. Lost: "+s.Tells, hookRemedy
	}
	return c
}

// noHook is such a hook's that could not be tried, and what is lost by that.
func noHook(name, lost string, err error) Check {
	return group(groupHooks).warn(name, "none: "+oneLine(err)+". Lost: "+lost, hookRemedy)
}

// aliveChecks judges whether the hooks saw a process that was started for that.
func aliveChecks(t *trial) []Check {
	const g = group(groupHooks)
	switch {
	case t.probe == nil:
		return nil
	case t.watchErr != nil:
		return []Check{g.warn("alive", "not tried: "+oneLine(t.watchErr), "see cgroups below")}
	case len(t.missed) > 0:
		return []Check{needed(g.fail("alive", "a process was started in a cgroup and these events of it were not seen: "+join(t.missed),
			"report it, with the output of `ukprobe doctor --json`"))}
	}
	return []Check{needed(g.ok("alive", "a process started in a cgroup was seen: "+join(t.seen)))}
}
