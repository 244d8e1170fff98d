// SPDX-License-Identifier: Apache-2.0

package orchestrate

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/ukprobe/ukprobe/orchestrate/catalogue"
	"github.com/ukprobe/ukprobe/orchestrate/cpu"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/orchestrate/system"
	"github.com/ukprobe/ukprobe/probe"
	"github.com/ukprobe/ukprobe/results"
)

// Plan is what a run would do: for --dry-run.
type Plan struct {
	Cells []PlannedCell `json:"cells"`
	CPUs  cpu.Plan      `json:"cpus"`
	// Host is what would be set of it, or why it cannot be.
	Host  []string           `json:"host,omitempty"`
	Hooks []probe.HookStatus `json:"hooks"`
	// HooksError says why the hooks could not be tried.
	HooksError string `json:"hooks_error,omitempty"`
}

// PlannedCell is one cell of a plan.
type PlannedCell struct {
	Cell    string   `json:"cell"`
	Pos     string   `json:"pos"` // in the matrix file
	Accel   string   `json:"accel"`
	Probes  string   `json:"probes"`
	Samples int      `json:"samples"`
	Until   *Until   `json:"until,omitempty"`
	Warmup  int      `json:"warmup"`
	Argv    []string `json:"argv,omitempty"`   // absent: nothing is started
	Device  string   `json:"device,omitempty"` // the tap or veth it would have
	Address string   `json:"address,omitempty"`
	// CPUs are the cell's, where they are not those of the plan.
	CPUs   *cpu.Plan `json:"cpus,omitempty"`
	Status string    `json:"status,omitempty"` // not "": it would not be sampled
	Reason string    `json:"reason,omitempty"`
}

// Until is a cell's stopping rule. It has at least its number of samples.
type Until struct {
	Figures       []string `json:"figures"` // the first one that there is decides
	WithinPercent int      `json:"within_percent"`
	AtMost        int      `json:"at_most"`
}

// MakePlan works out what a run would do and changes nothing: no image is built,
// no device made. The hooks are attached for a moment to learn their rungs.
func MakePlan(o Options) (Plan, error) {
	var p Plan
	wanted, err := o.expand()
	if err != nil {
		return p, err
	}
	plans, err := plansOf(wanted)
	if err != nil {
		return p, err
	}
	p.CPUs = plans.of(wanted[0])
	if p.Host, err = cpu.Preview(hostSettings(wanted[0].CPU.Host), plans.guests()); err != nil {
		return p, err
	}
	host := platform.DetectHost()
	systems := system.All(system.Env{Images: o.Images})
	for _, c := range wanted {
		cell := resolve(c, systems, host)
		cell.imageGiven(o.Images)
		planned := cell.planned()
		if own := plans.of(c); planned.Status == "" && c.Boots() && !reflect.DeepEqual(own, p.CPUs) {
			planned.CPUs = &own
		}
		p.Cells = append(p.Cells, planned)
	}
	if probed(wanted) {
		p.HooksError = p.tryHooks(o, slices.ContainsFunc(wanted, looksForInterference))
	}
	return p, nil
}

// imageGiven refuses a cell for which there is no image, as preparing it would.
func (c *cell) imageGiven(images *catalogue.Images) {
	if c.status != "" || c.Kernel+c.Initrd+c.Disk+c.Image != "" || slices.Contains(ownImages, c.System) {
		return
	}
	if _, ok := images.Find(c.System, c.App, c.Platform); !ok {
		c.refuse(errNoImage)
	}
}

// tryHooks attaches and detaches all hooks; it returns what went wrong.
func (p *Plan) tryHooks(o Options, interference bool) string {
	pr, err := probe.Open(probe.Options{Attach: o.Attach, Strict: o.Strict})
	if err == nil {
		p.Hooks = pr.Hooks()
		err = pr.Close()
	}
	if err == nil && interference {
		var seer *probe.Interference
		if seer, err = probe.OpenInterference(o.Attach); err == nil {
			p.Hooks = append(p.Hooks, seer.Hooks()...)
			err = seer.Close()
		}
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// planned describes a cell as if it were the only one running.
func (c *cell) planned() PlannedCell {
	out := PlannedCell{Cell: c.ID(), Pos: c.Pos, Accel: c.accel, Probes: c.Probes, Samples: c.Samples, Warmup: c.Warmup, Status: c.status, Reason: c.reason}
	if u := c.Until; u.WithinPercent > 0 {
		out.Until = &Until{results.MainFigures(c.Experiment), u.WithinPercent, u.AtMost}
	}
	if c.status != "" {
		return out
	}
	if !c.Boots() {
		return out
	}
	guest := c.sampleNIC()
	if guest != nil {
		out.Device, out.Address = guest.Name, guest.Prefix().String()
	}
	l, err := platform.Command(c.system, c.platform, c.system.Describe(c.want()), c.resources(), guest)
	if err != nil {
		c.refuse(err)
		out.Status, out.Reason = c.status, c.reason
		return out
	}
	out.Argv = l.Argv
	return out
}

// String says in one line where the cell would run.
func (c PlannedCell) String() string {
	if c.Accel == "" { // refused before there was one to choose
		return fmt.Sprintf("%s (%s)", c.Cell, c.samples())
	}
	probes := ""
	if c.Probes != "" && c.Probes != matrix.ProbesBoot {
		probes = "probes " + c.Probes + ", "
	}
	return fmt.Sprintf("%s (%s, %s%s)", c.Cell, c.Accel, probes, c.samples())
}

// samples says how many there will be.
func (c PlannedCell) samples() string {
	if u := c.Until; u != nil {
		return fmt.Sprintf("%d to %d samples, until %s is within ±%d %%", c.Samples, u.AtMost, strings.Join(u.Figures, " or "), u.WithinPercent)
	}
	if c.Samples == 1 {
		return "1 sample"
	}
	return fmt.Sprintf("%d samples", c.Samples)
}
