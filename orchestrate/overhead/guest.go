// SPDX-License-Identifier: Apache-2.0

package overhead

import (
	"context"
	"errors"
	"strconv"

	"github.com/ukprobe/ukprobe/guests/reference"
	"github.com/ukprobe/ukprobe/orchestrate/cgroup"
	"github.com/ukprobe/ukprobe/orchestrate/overhead/rig"
	"github.com/ukprobe/ukprobe/probe"
	"github.com/ukprobe/ukprobe/results"
)

// workload is one task of the guest.
type workload struct {
	name string
	task reference.Cmdline
	ops  int // what the guest's time is divided by; 0: a boot counts as a whole
}

// workloads are as long as some tenth of a second where KVM emulates every
// instruction: the guest's time has no other error than what disturbs it.
func workloads() []workload {
	const pio, cpuid, hlt = 8000, 16000, 5
	return []workload{
		{results.OverheadPortWrite, reference.Cmdline{PIO: pio}, pio},
		{results.OverheadCPUID, reference.Cmdline{CPUID: cpuid}, cpuid},
		{results.OverheadHalt, reference.Cmdline{HLT: hlt}, hlt},
		{results.OverheadBootWall, reference.Cmdline{}, 0},
	}
}

// ns is the workload's time: of one operation by the guest's TSC, or of the boot.
func (w workload) ns(t rig.Times, ticksPerNs float64) float64 {
	if w.ops == 0 {
		return float64(t.Boot)
	}
	return float64(t.Ticks) / ticksPerNs / float64(w.ops)
}

// boot runs one guest to its end, in a cgroup of its own. If p is not nil it is
// watched, and what the probe counted is held against what the guest did.
func (m *measurement) boot(ctx context.Context, task reference.Cmdline, p *probe.Probe, full bool) (t rig.Times, err error) {
	g, err := m.group()
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, g.Close()) }()
	var w *probe.Watch
	if p != nil {
		if w, err = p.Watch(m.guest.Target(g, full)); err != nil {
			return t, err
		}
		defer func() { err = errors.Join(err, w.Close()) }()
		if err := m.own(p); err != nil {
			return t, err
		}
	}
	if t, _, err = m.guest.Run(ctx, task, g); err != nil || w == nil {
		return t, err
	}
	counts, err := w.Counts()
	if err != nil {
		return t, err
	}
	return t, rig.CheckSeen(task, counts)
}

// group makes a cgroup for one guest.
func (m *measurement) group() (*cgroup.Group, error) {
	m.groups++
	return m.cgroups.New(m.journal, m.RunID, "guest"+strconv.Itoa(m.groups))
}
