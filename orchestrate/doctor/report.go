// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"slices"

	"github.com/ukprobe/ukprobe/probe"
)

// FormatVersion is that of the JSON form, docs/doctor.md.
const FormatVersion = 1

// Status is the verdict of one check.
type Status string

// The verdicts.
const (
	OK   Status = "ok"   // as it should be
	Warn Status = "warn" // works less well, is not needed by the default matrix, or is unknown
	Fail Status = "fail" // not there, and something of the default matrix is lost
)

// Check is one thing that was looked at.
type Check struct {
	ID     string `json:"id"` // stable: group.name
	Group  string `json:"group"`
	Name   string `json:"name"`
	Status Status `json:"status"`
	// Needed: without it no cell of the default matrix runs.
	Needed bool   `json:"needed"`
	Found  string `json:"found"`
	// Remedy is what the person can do; "" only if the status is OK.
	Remedy string `json:"remedy,omitempty"`
	Hook   *Hook  `json:"hook,omitempty"`
}

// Hook is what became of one hook of package probe.
type Hook struct {
	Rung     string    `json:"rung"` // "" if there is none
	Tells    string    `json:"tells"`
	OnDemand bool      `json:"on_demand"` // attached only while a guest needs it
	Refused  []Refusal `json:"refused"`   // better rungs
}

// Refusal is a rung that could not be had.
type Refusal struct {
	Rung   string `json:"rung"`
	Reason string `json:"reason"`
}

func refusals(in []probe.Refusal) []Refusal {
	out := make([]Refusal, 0, len(in))
	for _, r := range in {
		out = append(out, Refusal{Rung: string(r.Rung), Reason: r.Reason})
	}
	return out
}

// Report is the whole answer.
type Report struct {
	Version int    `json:"version"` // FormatVersion
	Ukprobe string `json:"ukprobe"`
	Kernel  string `json:"kernel"`
	CPU     string `json:"cpu"`
	// CanRun: the default matrix runs, perhaps not all of it.
	CanRun    bool     `json:"can_run"`
	BlockedBy []string `json:"blocked_by"` // IDs of the checks that forbid it
	Checks    []Check  `json:"checks"`
}

// judge draws the conclusion from the checks.
func (r *Report) judge() {
	r.BlockedBy = []string{}
	for _, c := range r.Checks {
		if c.Needed && c.Status == Fail {
			r.BlockedBy = append(r.BlockedBy, c.ID)
		}
	}
	// Neither guests nor processes: each has a need of its own.
	guests := r.failed("programs.qemu-system-x86_64")
	processes := r.failed("network.veth", "programs.apt-get", "programs.apt-cache", "programs.dpkg-deb")
	if len(guests) > 0 && len(processes) > 0 {
		r.BlockedBy = append(r.BlockedBy, append(guests, processes...)...)
	}
	r.CanRun = len(r.BlockedBy) == 0
}

// failed are those of the checks that failed.
func (r *Report) failed(ids ...string) []string {
	return slices.DeleteFunc(ids, func(id string) bool {
		c := r.Find(id)
		return c == nil || c.Status != Fail
	})
}

// Find returns the check of that ID, or nil.
func (r *Report) Find(id string) *Check {
	i := slices.IndexFunc(r.Checks, func(c Check) bool { return c.ID == id })
	if i < 0 {
		return nil
	}
	return &r.Checks[i]
}

// count is the number of checks with that status.
func (r *Report) count(s Status) int {
	n := 0
	for _, c := range r.Checks {
		if c.Status == s {
			n++
		}
	}
	return n
}

// The groups, in their order.
const (
	groupPrivileges = "privileges"
	groupKernel     = "kernel"
	groupConfig     = "config"
	groupHooks      = "hooks"
	groupKVM        = "kvm"
	groupPrograms   = "programs"
	groupCgroups    = "cgroups"
	groupNetwork    = "network"
	groupCPUs       = "cpus"
	groupHost       = "host"
)

// group makes the checks of one group.
type group string

func (g group) check(name string, s Status, found, remedy string) Check {
	return Check{ID: string(g) + "." + name, Group: string(g), Name: name, Status: s, Found: found, Remedy: remedy}
}

func (g group) ok(name, found string) Check           { return g.check(name, OK, found, "") }
func (g group) warn(name, found, remedy string) Check { return g.check(name, Warn, found, remedy) }
func (g group) fail(name, found, remedy string) Check { return g.check(name, Fail, found, remedy) }

// needed marks a check without which nothing runs.
func needed(c Check) Check {
	c.Needed = true
	return c
}
