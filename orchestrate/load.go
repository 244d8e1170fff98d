// SPDX-License-Identifier: Apache-2.0

package orchestrate

import (
	"cmp"

	"github.com/ukprobe/ukprobe/guests/linux"
	"github.com/ukprobe/ukprobe/orchestrate/experiment"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/orchestrate/workload"
)

// load is what of the cell's load its experiment applies; false: its guests have none.
// What does not apply is left at zero.
func (c *cell) load() (w matrix.Workload, ok bool) {
	w = c.Load
	w.BlockBytes = nil
	switch c.Experiment {
	case matrix.HTTP, matrix.DNS:
		return w, true
	case matrix.Throughput:
		if c.App == sqliteApp { // nobody is its client
			return matrix.Workload{Duration: w.Duration, Warmup: w.Warmup, Requests: w.Requests}, true
		}
		w.Rate = 0
		return w, true
	case matrix.FileSystem:
		if c.App != linux.Fio { // it is only looked at
			return matrix.Workload{Duration: w.Duration}, true
		}
		return matrix.Workload{Duration: w.Duration, Warmup: w.Warmup, Requests: w.Requests, Pipeline: w.Pipeline, BlockBytes: c.Load.BlockBytes}, true
	case matrix.MemoryMin, matrix.MemoryUse:
		return c.exerciseLoad(w)
	}
	return matrix.Workload{}, false
}

// exerciseLoad is the load of a guest that is only to work. That of memory-use is repeated
// for its duration.
func (c *cell) exerciseLoad(w matrix.Workload) (matrix.Workload, bool) {
	if c.image.Service == nil || c.platform == nil || c.platform.Wire() == platform.NoWire {
		return matrix.Workload{}, false
	}
	w.Warmup, w.Rate = 0, 0
	if _, generated := workload.For(c.App); !generated {
		plain := matrix.Workload{Requests: cmp.Or(w.Requests, experiment.ExerciseRequests), Connections: min(w.Connections, experiment.ExerciseAtOnce)}
		if c.Experiment == matrix.MemoryUse {
			plain.Duration = w.Duration
		}
		return plain, true
	}
	if c.Experiment == matrix.MemoryMin {
		w.Duration = min(w.Duration, experiment.Briefly)
	}
	return w, true
}
