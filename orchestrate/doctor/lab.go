// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"strings"
)

// cgroupChecks judges what came of the trial's cgroup.
func cgroupChecks(t *trial) []Check {
	const g = group(groupCgroups)
	v2 := needed(g.ok("v2", ""))
	if t.hierarchy.Path == "" {
		v2.Status, v2.Found, v2.Remedy = Fail, oneLine(t.cgroupErr), "mount the cgroup v2 hierarchy as the line above says"
		return []Check{v2}
	}
	kind := "pure v2"
	if t.hierarchy.Hybrid() {
		kind = "hybrid (v1 controllers beside v2)"
	}
	controllers := join(t.hierarchy.Controllers)
	if controllers == "" {
		controllers = "none"
	}
	v2.Found = fmt.Sprintf("%s, at %s; v2 controllers: %s (none is needed)", kind, t.hierarchy.Path, controllers)
	return []Check{v2, tried(g, "clone", first(t.cgroupErr, t.cloneErr), "a process can be started inside a new cgroup",
		"run as root on Linux 5.7 or newer, with the cgroup v2 mount writable", true)}
}

// networkChecks judges what came of the trial's network.
func networkChecks(t *trial) []Check {
	const g = group(groupNetwork)
	out := []Check{
		tried(g, "lab", t.labErr, "a network namespace with a bridge can be made", "run as root; modprobe bridge", true),
		tried(g, "tap", t.tapErr, "a tap can be made (/dev/net/tun)", "run as root; modprobe tun", false),
		tried(g, "veth", t.vethErr, "a veth pair into a namespace can be made", "run as root; modprobe veth", false),
	}
	if t.device {
		out = append(out, tried(g, "device-hooks", t.deviceErr, "frames on a device can be watched", "see the hooks tc_out and tc_in", false))
	}
	return out
}

// first is the first failure: what follows from it is not said again.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// tried is a check of something that was done.
func tried(g group, name string, err error, works, remedy string, need bool) Check {
	c := g.ok(name, works)
	if err != nil {
		c = g.fail(name, strings.TrimSpace(oneLine(err)), remedy)
	}
	c.Needed = need
	return c
}

// hostChecks: what other runs have left, and what this one did.
func hostChecks(before Check, t *trial, dir string) []Check {
	const g = group(groupHost)
	out := []Check{before, tried(g, "journal", t.journalErr, "changes of the host can be noted in "+dir, "run as root, or choose a folder with --journal-dir", true)}
	if t.leftErr != nil {
		out = append(out, g.fail("put-back", oneLine(t.leftErr), "ukprobe clean"))
	}
	return out
}
