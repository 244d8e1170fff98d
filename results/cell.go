// SPDX-License-Identifier: Apache-2.0

package results

import (
	"fmt"
	"strings"
)

// Name names a cell for people: system/app on platform, how its guests start if that
// is not as by default (accelerator, probes unless that is boot).
func (c *Cell) Name() string {
	name := c.System + "/" + c.App + " on " + c.Platform
	if c.Experiment != "" && c.Experiment != "boot" {
		name += ", " + c.Experiment
	}
	for _, word := range c.Variant().Words() {
		name += ", " + word
	}
	var how []string
	if c.Accel != "" && c.Accel != "none" {
		how = append(how, c.Accel)
	}
	if c.Probes != "" && c.Probes != ProbesBoot {
		how = append(how, "probes "+c.Probes)
	}
	if len(how) > 0 {
		name += " (" + strings.Join(how, ", ") + ")"
	}
	return name
}

// addSample appends a sample. A status that followed from the samples before
// follows from all of them now; one that was set stays.
func (c *Cell) addSample(s Sample) {
	status, reason := c.derivedStatus()
	derived := c.Status == status && c.Reason == reason
	c.Samples = append(c.Samples, s)
	if derived {
		c.Status, c.Reason = c.derivedStatus()
	}
}

// derivedStatus is the status that follows from the cell's samples that count.
func (c *Cell) derivedStatus() (status, reason string) {
	ok, last := 0, ""
	standing := c.Standing()
	for _, i := range standing {
		if c.Samples[i].Status == SampleOK {
			ok++
		} else {
			last = c.Samples[i].outcome()
		}
	}
	switch n := len(standing); {
	case n == 0:
		return CellSkipped, "not started"
	case ok == n:
		return CellOK, ""
	case ok > 0:
		return CellOK, fmt.Sprintf("%d of %d samples not ok, the last one: %s", n-ok, n, last)
	default:
		return CellFailed, last
	}
}

// outcome says in words what became of a sample that is not ok.
func (s *Sample) outcome() string {
	switch {
	case s.Reason == "":
		return s.Status
	case s.Status == SampleFailed:
		return s.Reason
	}
	return s.Status + ": " + s.Reason
}
