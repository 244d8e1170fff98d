// SPDX-License-Identifier: Apache-2.0

package orchestrate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ukprobe/ukprobe/guests/linux"
	"github.com/ukprobe/ukprobe/orchestrate/catalogue"
	"github.com/ukprobe/ukprobe/orchestrate/claim"
	"github.com/ukprobe/ukprobe/orchestrate/experiment"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/network"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/orchestrate/system"
	"github.com/ukprobe/ukprobe/probe"
	"github.com/ukprobe/ukprobe/results"
)

// processSystem boots no kernel, so that nothing reads a command line.
const processSystem = "process"

// containerPlatform has an engine start its guests, and containerSystem is what it
// runs: nobody boots a kernel there either.
const (
	containerPlatform = "docker"
	containerSystem   = "docker"
)

// referenceSystem is the guest whose claims are known to be right.
const referenceSystem = "reference"

// cell is one cell of the matrix, prepared or with the reason why not.
type cell struct {
	matrix.Cell
	system     system.System
	platform   platform.Platform
	image      system.Boot
	claims     []claim.Pattern
	accel      string
	emulated   bool             // KVM has no hardware behind it
	counts     probe.Counts     // of all its samples
	taps       *experiment.Taps // that stay between the samples; nil: none does
	argvStored bool
	stored     int    // samples
	status     string // "" while it can be sampled, else results.Cell…
	reason     string

	limit    experiment.Limit // of a start
	over     bool             // its stopping rule has ended it
	expected int              // samples, as far as can be told; 0: all
	past     past             // of a run that was resumed
}

// claimEvents are the events from which a claim can count, in the order of a boot.
var claimEvents = []string{
	probe.EventCreateSent, probe.EventCreated, probe.EventStartSent, probe.EventRuntimeExec, probe.EventContainerMade, probe.EventStarted,
	probe.EventVMMExec, probe.EventVMCreate, probe.EventVMCreated, probe.EventVCPUCreated, probe.EventFirstRun, probe.EventGuestEntry,
	probe.EventOptionROM, probe.EventFirmwareEnd, probe.EventDecompress, probe.EventKernel, probe.EventConsoleFirst, probe.EventConsoleReady,
	probe.EventFrameIn, probe.EventFrameOut, probe.EventSYN, probe.EventSYNACK, probe.EventFirstRequest, probe.EventFirstResponse,
	probe.EventIdle, probe.EventBootTimer,
	platform.EventAPIReady, platform.EventInstanceStart, platform.EventInstanceStarted,
}

// Vocabulary is the names that a matrix may use, with those of a catalogue.
func Vocabulary(images *catalogue.Images) matrix.Vocabulary {
	v := matrix.Vocabulary{Experiments: slices.Sorted(maps.Keys(samplers)), Events: claimEvents, Claims: claim.Builtin()}
	apps := map[string]bool{}
	for _, s := range system.All(system.Env{Images: images}) {
		v.Systems = append(v.Systems, s.Name())
		for _, a := range s.Apps() {
			if !apps[a] {
				apps[a] = true
				v.Apps = append(v.Apps, a)
			}
		}
	}
	for _, p := range platform.All() {
		v.Platforms = append(v.Platforms, p.Name())
	}
	return v
}

// Check says what is wrong with the matrix and the selectors. It touches nothing.
func (o *Options) Check() error {
	_, err := o.expand()
	return err
}

// expand checks the matrix and makes its cells, with the options' overrides.
func (o *Options) expand() ([]matrix.Cell, error) {
	if err := o.Matrix.Check(Vocabulary(o.Images)); err != nil {
		return nil, err
	}
	cells, err := o.Matrix.Expand()
	if err != nil {
		return nil, err
	}
	if cells, err = matrix.Select(cells, o.Only); err != nil {
		return nil, err
	}
	if err := matrix.Apply(o.Set, cells); err != nil {
		return nil, fmt.Errorf("--set %w", err)
	}
	for i := range cells {
		if c := cells[i]; c.System == processSystem && c.Args+c.Kernel+c.Initrd+c.Disk+c.Image != "" {
			return nil, fmt.Errorf("%s: system %s takes no args, kernel, initrd, disk or image: it runs the app of its Debian package", c.Pos, c.System)
		}
		if c := cells[i]; c.System == containerSystem && c.Kernel+c.Initrd+c.Disk != "" {
			return nil, fmt.Errorf("%s: system %s takes no kernel, initrd or disk: it runs a container's image", c.Pos, c.System)
		}
		if err := o.imageOf(cells[i]); err != nil {
			return nil, err
		}
		if err := o.override(&cells[i].Settings); err != nil {
			return nil, err
		}
		cells[i].Settle()
		if why := cells[i].Conflict(); why != "" {
			return nil, fmt.Errorf("%s: %s", cells[i].Pos, why)
		}
	}
	return cells, addressesFor(cells)
}

// imageOf checks the image that a cell names: it has to be in the catalogue, for that
// system, app and platform. A name that is not there may be an engine's, for containers.
func (o *Options) imageOf(c matrix.Cell) error {
	if c.Image == "" {
		return nil
	}
	if c.System == containerSystem && !o.Images.Has(c.Image) {
		return nil
	}
	if _, _, err := o.Images.For(c.Image, c.System, c.App, c.Platform); err != nil {
		return fmt.Errorf("%s: %w", c.Pos, err)
	}
	return nil
}

func (o *Options) override(s *matrix.Settings) error {
	if o.Samples > 0 {
		s.Samples = o.Samples
	}
	if o.Warmup != nil {
		s.Warmup = *o.Warmup
	}
	if o.Timeout > 0 {
		s.Timeout = o.Timeout
	}
	if o.Accel != "" {
		s.Accel = o.Accel
	}
	if o.Probes != "" {
		s.Probes = o.Probes
	}
	for _, path := range []*string{&s.Kernel, &s.Initrd, &s.Disk} { // VMMs start in /
		if *path == "" {
			continue
		}
		abs, err := filepath.Abs(*path)
		if err != nil {
			return fmt.Errorf("image %s: %w", *path, err)
		}
		*path = abs
	}
	return nil
}

// resolve finds the cell's system, platform and accelerator. What cannot be is
// noted in the cell, not returned.
func resolve(c matrix.Cell, systems []system.System, host platform.Host) *cell {
	out := &cell{Cell: c, emulated: host.KVM && !host.Hardware, limit: experiment.Limit{Bound: c.Timeout}}
	if c.Tap == matrix.TapKeep {
		out.taps = &experiment.Taps{}
	}
	var err error
	if out.system, err = system.Find(systems, c.System); err != nil {
		return out.refuse(err)
	}
	if out.platform, err = platform.Find(c.Platform); err != nil {
		return out.refuse(err)
	}
	asked := out.want()
	asked.App = c.App // and not the variant of it that an experiment boots
	if err := system.Supports(out.system, asked); err != nil {
		return out.refuse(err)
	}
	if err := out.applies(); err != nil {
		return out.refuse(err)
	}
	if c.Experiment == matrix.TimingValidation && c.Probes == matrix.ProbesNone {
		return out.refuse(fmt.Errorf("%w: %s holds what guests say against the kernel's times: leave --probes none out", system.ErrUnsupported, c.Experiment))
	}
	for _, p := range c.Claims {
		pattern, err := claim.NewPattern(p.Name, p.Pattern, p.Unit, p.Since)
		if err != nil {
			return out.refuse(err)
		}
		out.claims = append(out.claims, pattern)
	}
	if !c.Boots() {
		out.accel = platform.None
		return out
	}
	out.accel, err = out.platform.Accel(c.Accel, out.system.Describe(out.want()), host)
	if err != nil {
		return out.refuse(err)
	}
	if err := out.appliesUnder(); err != nil {
		return out.refuse(err)
	}
	return out
}

// warn says before anything is measured that a cell will not be, since something is wrong
// or missing that somebody can mend. What makes no sense, or has no image, is in the table.
func (c *cell) warn(log func(format string, args ...any)) {
	if c.status == results.CellFailed {
		log("%s will not be measured: %s", c.ID(), c.reason)
	}
}

// refuse notes why a cell cannot be sampled: it makes no sense, nobody has given an image
// for it, or something is missing or wrong.
func (c *cell) refuse(err error) *cell {
	c.status = results.CellFailed
	c.reason = strings.TrimPrefix(err.Error(), system.ErrUnsupported.Error()+": ")
	switch {
	case errors.Is(err, system.ErrUnsupported):
		c.status = results.CellUnsupported
	case errors.Is(err, system.ErrNoImage) && c.Image == "": // one that is named is missing
		c.status = results.CellNoImage
		c.reason = strings.TrimPrefix(c.reason, system.ErrNoImage.Error()+": ")
	}
	return c
}

// prepare finds or builds the cell's image.
func (c *cell) prepare(ctx context.Context, host platform.Host) {
	if c.status != "" {
		return
	}
	image, err := c.imageOnly(ctx)
	if err != nil {
		c.refuse(err)
		return
	}
	c.image = image
	if !c.Boots() {
		return
	}
	if c.accel, err = c.platform.Accel(c.Accel, image, host); err != nil {
		c.refuse(err)
		return
	}
	// The command is made here once, so that a VMM that is not there fails this
	// cell and not the run.
	if _, err := platform.Command(c.system, c.platform, image, c.resources(), c.sampleNIC()); err != nil {
		c.refuse(err)
		return
	}
	if err := wired(c.App, image, c.platform); err != nil {
		c.refuse(err)
	}
}

// wired refuses an app of which nothing shows that it is ready, or only its network on a
// platform that has none.
func wired(app string, b system.Boot, p platform.Platform) error {
	if b.Service == nil && b.Ready == "" {
		return fmt.Errorf("nothing says when %s is ready: give a line of its console (ready:) or a port that it serves (port:), in the cell or in the catalogue", app)
	}
	if b.Service != nil && b.Ready == "" && p.Wire() == platform.NoWire {
		return fmt.Errorf("%w: %s is ready at its first response, and platform %s has no network", system.ErrUnsupported, app, p.Name())
	}
	return nil
}

// inContainer: the guest is in a cgroup below the sample's own.
func inContainer(c matrix.Cell) bool { return c.Platform == containerPlatform }

// watchable refuses a cell whose guest the programs cannot tell from others.
func (c *cell) watchable(p *probe.Probe) {
	if p == nil || c.status != "" || !inContainer(c.Cell) || c.Probes == matrix.ProbesNone {
		return
	}
	if err := p.GroupsBelow(); err != nil {
		c.refuse(fmt.Errorf("%w: containers cannot be watched: %w (`--probes none` times them from outside)", system.ErrUnsupported, err))
	}
}

// want is what is asked of the cell's system.
func (c *cell) want() system.Want {
	return system.Want{App: c.appOfExperiment(), Platform: c.Platform, Settings: c.Settings, Scratch: c.Experiment == matrix.FileSystem && c.App == linux.Fio}
}

// sampleNIC stands for a guest's network device before there is one.
func (c *cell) sampleNIC() *network.Guest {
	if c.platform.Wire() == platform.NoWire {
		return nil
	}
	name := "uktap0"
	if w := c.platform.Wire(); w == platform.VethWire || w == platform.MovedWire {
		name = "ukveth0"
	}
	nic := network.First(name)
	return &nic
}

// resources are what the cell's guests are given.
func (c *cell) resources() platform.Resources {
	return platform.Resources{MemoryMiB: c.MemoryMiB, VCPUs: c.VCPUs, Accel: c.accel, Emulated: c.emulated, DHCP: c.Address == matrix.AddressDHCP, Vhost: c.Vhost}
}
