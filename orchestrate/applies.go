// SPDX-License-Identifier: Apache-2.0

package orchestrate

import (
	"fmt"
	"slices"

	"github.com/ukprobe/ukprobe/guests/linux"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/orchestrate/system"
	"github.com/ukprobe/ukprobe/orchestrate/workload"
)

// applicable are the experiments that do not go with every cell. The error says why
// not; if it wraps system.ErrUnsupported the cell makes no sense, otherwise something
// is missing or wrong.
var applicable = map[string]func(c *cell) error{
	matrix.Throughput: throughputApplies,
	matrix.HTTP:       httpApplies,
	matrix.DNS:        dnsApplies,
	matrix.FileSystem: fileSystemApplies,
	matrix.MemoryMin:  memoryMinApplies,
	matrix.MemoryUse:  memoryUseApplies,
	matrix.Density:    (*cell).stays,
}

// applies says why an experiment cannot be made of a cell, whose system and platform
// are known.
func (c *cell) applies() error {
	if err := c.startable(); err != nil {
		return err
	}
	if check := applicable[c.Experiment]; check != nil {
		return check(c)
	}
	return nil
}

// served refuses a platform on which no client reaches the guest.
func (c *cell) served() error {
	if c.platform.Wire() == platform.NoWire {
		return fmt.Errorf("%w: platform %s has no network: no client reaches %s", system.ErrUnsupported, c.Platform, c.App)
	}
	return nil
}

// sqliteApp is measured by what it prints, and nobody is its client.
const sqliteApp = "sqlite"

// appOfExperiment is the app that the system is asked for: that of the cell, but for
// sqlite's throughput, which has a variant that does nothing else, and where it has to
// run when it is looked at.
func (c *cell) appOfExperiment() string {
	looked := c.Experiment == matrix.ASLR && slices.Contains(insertsKnown, c.System)
	if c.App == sqliteApp && (c.Experiment == matrix.Throughput || looked) {
		return linux.SQLiteInserts
	}
	return c.App
}

// insertsKnown are the systems whose sqlite is guests/linux's.
var insertsKnown = []string{"linux", "lupine", "docker", processSystem}

func throughputApplies(c *cell) error {
	if c.App == sqliteApp {
		if !slices.Contains(insertsKnown, c.System) {
			return fmt.Errorf("%w: how many rows %s's sqlite inserts is in its image: it cannot be told to go on", system.ErrUnsupported, c.System)
		}
		return nil
	}
	g, ok := workload.For(c.App)
	if !ok {
		return fmt.Errorf("%w: there is no load for app %s", system.ErrUnsupported, c.App)
	}
	if err := c.served(); err != nil {
		return err
	}
	return c.loadable(g)
}

func httpApplies(c *cell) error {
	if !workload.HTTP(c.App) {
		return fmt.Errorf("%w: app %s does not speak HTTP", system.ErrUnsupported, c.App)
	}
	if err := c.served(); err != nil {
		return err
	}
	return c.loadable(workload.FixedRate{})
}

// client is the program that puts the cell's guests under load, if there is one.
func (c *cell) client() (workload.Program, bool) {
	g, ok := workload.For(c.App)
	if !ok || c.Experiment != matrix.Throughput && c.Experiment != matrix.DNS {
		return workload.Program{}, false
	}
	return g.Program(), g.Program().Name != ""
}

// loadable checks what a generator needs.
func (c *cell) loadable(g workload.Generator) error {
	if err := g.Check(c.Load); err != nil {
		return err
	}
	return g.Program().Find()
}
