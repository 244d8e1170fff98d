// SPDX-License-Identifier: Apache-2.0

package results

import (
	"time"

	"github.com/ukprobe/ukprobe/internal/paired"
)

// Overhead is what measuring costs on one host, as `ukprobe overhead` found it:
// the reference guest under each condition against the same guest with no BPF
// program attached, interleaved in rounds of random order.
//
// With a Reason there is no figure and nothing else is set.
type Overhead struct {
	Reason string `json:"reason,omitempty"` // why there is none

	Measured   *time.Time          `json:"measured,omitempty"` // wall clock
	Rounds     int                 `json:"rounds,omitempty"`   // each condition once per round
	Seed       uint64              `json:"seed,omitempty"`     // of the order and of the bootstrap
	Disturbed  int                 `json:"disturbed,omitempty"`
	Foreign    int                 `json:"foreign_bpf,omitempty"` // tracing programs of others that were there all the time
	Conditions []OverheadCondition `json:"conditions,omitempty"`
	Programs   []OverheadProgram   `json:"programs,omitempty"`
}

// Names of the conditions that every measurement has. Others are named after a
// rung: that one wanted for each hook, with --probes boot.
const (
	OverheadNone      = "none"       // nothing attached: what the others are compared with
	OverheadControl   = "none again" // equal to it: what two equal conditions differ by
	OverheadBystander = "bystander"  // --probes boot for another guest, which never starts
	OverheadBoot      = "boot"       // --probes boot
	OverheadFull      = "full"       // --probes full
)

// Workloads of the guest.
const (
	OverheadPortWrite = "port_write" // an exit to the VMM and back
	OverheadCPUID     = "cpuid"      // an exit that KVM handles itself
	OverheadHalt      = "halt"       // a HLT and the wake-up by a timer
	OverheadBootWall  = "boot"       // from before the VMM's start to the ready line
)

// OverheadCondition is one way to run the guest, and what it cost.
type OverheadCondition struct {
	Name    string            `json:"name"`
	Missing string            `json:"missing,omitempty"` // why it cannot be had here
	Rungs   map[string]string `json:"rungs,omitempty"`   // hook to rung
	// Cost by workload; empty with Missing.
	Cost map[string]OverheadCost `json:"cost,omitempty"`
}

// OverheadCost compares one workload under a condition with none: medians over the
// rounds, with the 95 % interval of a paired bootstrap. An interval is null with
// fewer than six rounds; Ratio and ExtraNs are absent for none itself.
type OverheadCost struct {
	MedianNs  float64     `json:"median_ns"` // of one event, or of one boot
	Ratio     *float64    `json:"ratio,omitempty"`
	RatioCI95 *[2]float64 `json:"ratio_ci95,omitempty"`
	ExtraNs   *float64    `json:"extra_ns,omitempty"` // more than none
	ExtraCI95 *[2]float64 `json:"extra_ns_ci95,omitempty"`
}

// OverheadProgram is the kernel's own account of one BPF program: the time inside
// it per run, without the way there and back.
type OverheadProgram struct {
	Hook    string  `json:"hook"`
	Rung    string  `json:"rung"`
	Program string  `json:"program"`
	Runs    uint64  `json:"runs"`
	NsRun   float64 `json:"ns_per_run"`
}

// Condition returns the condition of that name, if it was measured.
func (o *Overhead) Condition(name string) (OverheadCondition, bool) {
	for _, c := range o.Conditions {
		if c.Name == name && c.Missing == "" {
			return c, true
		}
	}
	return OverheadCondition{}, false
}

// OverheadOf finds the condition that a level of probes was measured under, with
// the rungs that the host's hooks have now.
func (h *Host) OverheadOf(probes string) (OverheadCondition, bool) {
	if h.Overhead == nil {
		return OverheadCondition{}, false
	}
	for _, c := range h.Overhead.Conditions {
		level := ProbesBoot // that of each single rung
		switch c.Name {
		case OverheadNone, OverheadControl, OverheadBystander:
			continue
		case OverheadBoot, OverheadFull:
			level = c.Name
		}
		if level == probes && c.Missing == "" && h.hasRungs(c.Rungs) {
			return c, true
		}
	}
	return OverheadCondition{}, false
}

// hasRungs tells whether the hooks have these rungs.
func (h *Host) hasRungs(rungs map[string]string) bool {
	for hook, rung := range rungs {
		if h.Rungs[hook].Rung != rung {
			return false
		}
	}
	return true
}

// OverheadMinRounds is the fewest rounds from which an interval is made.
const OverheadMinRounds = paired.MinRounds

// overheadRestless is the noise of boots, as a part, above which a machine was too
// busy for its figures to be more than bounds.
const overheadRestless = 0.2

// Restless tells whether boots under equal conditions differed by so much that no
// figure of them can be relied on.
func (o *Overhead) Restless() bool {
	part, ok := o.Noise(OverheadBootWall)
	return ok && part > overheadRestless
}

// Told tells whether the cost can be told from none: its interval leaves "no
// difference" out.
func (c OverheadCost) Told() bool {
	return c.Ratio != nil && c.ExtraNs != nil && c.RatioCI95 != nil && c.ExtraCI95 != nil && (c.RatioCI95[0] > 1 || c.RatioCI95[1] < 1)
}

// Noise is the part by which two equal conditions of a workload could differ here,
// 0.02 for 2 %: the farther end of the interval of none against none again. What
// differs by less is no finding. ok is false if too few rounds were measured.
func (o *Overhead) Noise(workload string) (part float64, ok bool) {
	c, ok := o.Condition(OverheadControl)
	ci := c.Cost[workload].RatioCI95
	if !ok || ci == nil {
		return 0, false
	}
	return max(1-ci[0], ci[1]-1, 0), true
}
