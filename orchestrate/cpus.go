// SPDX-License-Identifier: Apache-2.0

package orchestrate

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ukprobe/ukprobe/orchestrate/cpu"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/results"
)

// cpus are the plans of a run's cells, and the host as it is set for all of them.
type cpus struct {
	plans  map[string]cpu.Plan   // by what is wanted
	each   map[string][]cpu.Plan // likewise, of the guests that start at once
	host   *cpu.Host
	own    []int // that ukprobe may run on, before a plan
	pinned []int // that it is on now; nil: as it was
}

// wantedCPUs is what the matrix says of a cell.
func wantedCPUs(c matrix.Cell) cpu.Wanted {
	return cpu.Wanted{VCPU: c.CPU.VCPU, VMM: c.CPU.VMM, Client: c.CPU.Client}
}

// planKey is by what cells share a plan.
func planKey(c matrix.Cell) string {
	key := wantedCPUs(c).String()
	if c.Parallel > 1 {
		key += fmt.Sprintf(" for %d of %d", c.Parallel, guestVCPUs(c))
	}
	return key
}

// guestVCPUs is how many vCPUs a cell's guest has; 0: it is no VM.
func guestVCPUs(c matrix.Cell) int {
	if p, err := platform.Find(c.Platform); err == nil && p.Program() == "" {
		return 0
	}
	return c.VCPUs
}

// plan plans for a cell.
func (c *cpus) plan(cell matrix.Cell, vcpus int) (err error) {
	key, w := planKey(cell), wantedCPUs(cell)
	if cell.Parallel > 1 {
		c.plans[key], c.each[key], err = cpu.MakePlanFor(cell.Parallel, guestVCPUs(cell), w)
		return err
	}
	c.plans[key], err = cpu.MakePlanAs(vcpus, w)
	return err
}

// plansOf plans for every cell.
func plansOf(cells []matrix.Cell) (cpus, error) {
	c := cpus{plans: map[string]cpu.Plan{}, each: map[string][]cpu.Plan{}}
	for _, cell := range cells {
		if _, ok := c.plans[planKey(cell)]; ok {
			continue
		}
		if err := c.plan(cell, mostVCPUs(cells)); err != nil {
			return c, err
		}
	}
	return c, nil
}

// setCPUs sets the host and plans for every cell, in this order: SMT decides which CPUs
// there are.
func (l *laboratory) setCPUs(cells []matrix.Cell, log func(format string, args ...any)) (err error) {
	if len(cells) == 0 {
		return nil
	}
	wanted := hostSettings(cells[0].CPU.Host) // the same in all cells
	if l.cpus.host, err = cpu.SetHost(context.Background(), l.journal, wanted); err != nil {
		return err
	}
	if text := l.cpus.host.PutBack.String(); text != "" {
		log("%s", strings.TrimSpace(text))
	}
	if l.cpus.own, err = cpu.Affinity(0); err != nil {
		return err
	}
	plans, err := plansOf(cells)
	if err != nil {
		return err
	}
	l.cpus.plans, l.cpus.each = plans.plans, plans.each
	if wanted.IRQsAway {
		return l.cpus.host.MoveIRQs(plans.guests())
	}
	return nil
}

// guests are the CPUs of all plans' guests.
func (c *cpus) guests() []int {
	var out []int
	for _, key := range slices.Sorted(maps.Keys(c.plans)) {
		out = slices.Concat(out, c.plans[key].VCPU, c.plans[key].VMM)
	}
	return out
}

func hostSettings(h matrix.HostSettings) cpu.Settings {
	return cpu.Settings{Governor: h.Governor, Turbo: h.Turbo, SMT: h.SMT, CStates: h.CStates, THP: h.THP, KSM: h.KSM, ASLR: h.ASLR,
		IRQsAway: h.IRQs == matrix.IRQsAway}
}

// of is the plan of a cell.
func (c *cpus) of(cell matrix.Cell) cpu.Plan { return c.plans[planKey(cell)] }

// ofGuests are the plans of the guests of a cell that start at once; nil if it is one.
func (c *cpus) ofGuests(cell matrix.Cell) []cpu.Plan { return c.each[planKey(cell)] }

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
	return slices.Concat(p.VCPU[:min(len(p.VCPU), c.VCPUs*max(1, c.Parallel))], p.VMM)
}

// observed adds to a cell's settings which CPUs its guests run on, and when a sample is
// disturbed there: only of a cell that is run, and if somebody looks.
func (l *laboratory) observed(c *cell, out *results.Settings) {
	if c.status != "" || !c.Boots() {
		return
	}
	p := l.cpus.of(c.Cell)
	out.CPUs = &results.CPUs{VCPU: p.VCPU, VMM: p.VMM, Client: p.Client, Reason: p.Reason}
	if l.quiet.meter != nil && looksForInterference(c.Cell) {
		out.Interference = &results.InterferenceLimit{AtMostPercent: c.Interference.AtMostPercent, Repeat: c.Interference.Repeat}
	}
}

// apart tells whether a cell's guests run on other CPUs than ukprobe and its client. What
// starts no guest has nothing to be apart from.
func (l *laboratory) apart(c *cell) bool {
	if l == nil || !c.Boots() {
		return true
	}
	p := l.cpus.of(c.Cell)
	return len(p.Client) > 0 && !slices.ContainsFunc(guestCPUs(c, p), func(n int) bool { return slices.Contains(p.Client, n) })
}
