// SPDX-License-Identifier: Apache-2.0

package orchestrate

import (
	"maps"
	"slices"

	"github.com/ukprobe/ukprobe/guests/linux"
	"github.com/ukprobe/ukprobe/orchestrate/experiment"
	"github.com/ukprobe/ukprobe/orchestrate/imagesize"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/orchestrate/workload"
)

// samplers make the experiments, by their names, of what boots a cell's guest.
var samplers = map[string]func(c *cell, b *experiment.Boot) experiment.Sampler{
	matrix.Boot: func(c *cell, b *experiment.Boot) experiment.Sampler {
		if c.Parallel > 1 {
			return &experiment.Parallel{Boot: b}
		}
		return b
	},
	matrix.TimingValidation: func(c *cell, b *experiment.Boot) experiment.Sampler {
		b.Validate = &experiment.Validation{Patterns: c.claims, Controls: c.System == referenceSystem, KVM: c.accel == platform.KVM}
		return b
	},
	matrix.MemoryMin: func(c *cell, b *experiment.Boot) experiment.Sampler {
		return &experiment.MemoryMin{Boot: b, Exercise: c.exercise()}
	},
	matrix.MemoryUse: func(c *cell, b *experiment.Boot) experiment.Sampler {
		return experiment.MemoryUse(b, c.exercise())
	},
	matrix.Density: func(_ *cell, b *experiment.Boot) experiment.Sampler { return &experiment.Density{Boot: b} },
	matrix.Throughput: func(c *cell, b *experiment.Boot) experiment.Sampler {
		if c.App == sqliteApp {
			b.During = experiment.Inserts(linux.InsertsLine, linux.InsertsPerLine, b.Settings.Load, c.Timeout)
			return b
		}
		g, _ := workload.For(c.App) // a cell without one is unsupported
		b.During = experiment.UnderLoad(g, b.Settings.Load, c.Timeout)
		return b
	},
	matrix.DNS: func(c *cell, b *experiment.Boot) experiment.Sampler {
		b.During = experiment.UnderLoad(workload.Dnsperf{}, b.Settings.Load, c.Timeout)
		return b
	},
	matrix.FileSystem: func(c *cell, b *experiment.Boot) experiment.Sampler {
		b.DiskIO = true
		b.During = experiment.HostDisk(b.Settings.Load, c.Timeout)
		if c.App == linux.Fio {
			b.During = experiment.FileSystem(b.Settings.Load, c.Timeout)
		}
		return b
	},
	matrix.ImageSize: func(c *cell, b *experiment.Boot) experiment.Sampler {
		return &experiment.ImageSize{Image: imagesize.Image{Boot: c.image, System: c.System, App: c.App, Save: c.saveContainer()}, WorkDir: b.WorkDir}
	},
	matrix.ASLR: func(c *cell, b *experiment.Boot) experiment.Sampler {
		return &experiment.ASLR{Boot: b, Program: linux.Program(c.App)}
	},
	matrix.HTTP: func(c *cell, b *experiment.Boot) experiment.Sampler {
		b.During = experiment.UnderLoad(workload.FixedRate{}, b.Settings.Load, c.Timeout)
		return b
	},
}

// Experiments are the names of all of them, sorted.
func Experiments() []string {
	return slices.Sorted(maps.Keys(samplers))
}

// sampler makes the experiment of a cell. A warm-up is not in the metrics.
func (c *cell) sampler(l *laboratory, warmup bool) experiment.Sampler {
	settings := c.Settings
	settings.Timeout = c.timeLimit()
	settings.Load, _ = c.load()
	return samplers[c.Experiment](c, &experiment.Boot{
		Experiment: c.Experiment, Attach: l.attach, Attached: l.attached,
		Seen: l.seen, Instrument: l.instrument(c, warmup), Journal: l.journal, Lab: l.net, Cgroups: l.cgroups, CPUs: l.cpus.of(c.Cell), GuestCPUs: l.cpus.ofGuests(c.Cell), Window: l.quiet.window, Taps: c.taps, RunID: l.runID, WorkDir: l.workDir, Services: l.services,
		System: c.system, Platform: c.platform, Image: c.image, Accel: c.accel, Emulated: c.emulated, Settings: settings,
	})
}
