// SPDX-License-Identifier: Apache-2.0

package orchestrate

import (
	"context"
	"slices"

	"github.com/ukprobe/ukprobe/orchestrate/cpu"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/results"
)

// cpus are the plans of a run's cells, and the host as it is set for all of them.
type cpus struct {
	plans  map[string]cpu.Plan // by what is wanted
	host   *cpu.Host
	own    []int // that ukprobe may run on, before a plan
	pinned []int // that it is on now; nil: as it was
}

// wantedCPUs is what the matrix says of a cell.
func wantedCPUs(c matrix.Cell) cpu.Wanted {
	return cpu.Wanted{VCPU: c.CPU.VCPU, VMM: c.CPU.VMM, Client: c.CPU.Client}
}

// setCPUs sets the host and plans for every cell, in this order: SMT decides which CPUs
// there are.
func (l *laboratory) setCPUs(cells []matrix.Cell) (err error) {
	l.cpus.plans = map[string]cpu.Plan{}
	if len(cells) == 0 {
		return nil
	}
	wanted := hostSettings(cells[0].CPU.Host) // the same in all cells
	if l.cpus.host, err = cpu.SetHost(context.Background(), l.journal, wanted); err != nil {
		return err
	}
	if l.cpus.own, err = cpu.Affinity(0); err != nil {
		return err
	}
	var guests []int
	for _, c := range cells {
		w := wantedCPUs(c)
		if _, ok := l.cpus.plans[w.String()]; ok {
			continue
		}
		p, err := cpu.MakePlanAs(mostVCPUs(cells), w)
		if err != nil {
			return err
		}
		l.cpus.plans[w.String()] = p
		guests = slices.Concat(guests, p.VCPU, p.VMM)
	}
	if wanted.IRQsAway {
		return l.cpus.host.MoveIRQs(guests)
	}
	return nil
}

func hostSettings(h matrix.HostSettings) cpu.Settings {
	return cpu.Settings{Governor: h.Governor, Turbo: h.Turbo, SMT: h.SMT, CStates: h.CStates, THP: h.THP, KSM: h.KSM, ASLR: h.ASLR,
		IRQsAway: h.IRQs == matrix.IRQsAway}
}

// of is the plan of a cell.
func (c *cpus) of(cell matrix.Cell) cpu.Plan { return c.plans[wantedCPUs(cell).String()] }

// pinSelf puts ukprobe, and so the clients that it starts, where a plan has the client.
func (c *cpus) pinSelf(p cpu.Plan) error {
	if len(p.Client) == 0 || slices.Equal(c.pinned, p.Client) {
		return nil
	}
	c.pinned = p.Client
	return cpu.PinSelf(p.Client)
}

// release lets ukprobe run where it could before.
func (c *cpus) release() error {
	if c.pinned == nil {
		return nil
	}
	c.pinned = nil
	return cpu.PinSelf(c.own)
}

// guestCPUs are those that a cell's guests run on. Only vCPUs of KVM have threads that
// are known; all else is where the VMM is.
func guestCPUs(c *cell, p cpu.Plan) []int {
	if c.accel != platform.KVM {
		return p.VMM
	}
	return slices.Concat(p.VCPU[:min(len(p.VCPU), c.VCPUs)], p.VMM)
}

// recordCPUs is a plan as it stands in the results.
func recordCPUs(p cpu.Plan) *results.CPUs {
	return &results.CPUs{VCPU: p.VCPU, VMM: p.VMM, Client: p.Client, Reason: p.Reason}
}
