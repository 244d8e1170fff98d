// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ukprobe/ukprobe/guests/linux"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/workload"
)

// fioOutput is what the console of the app fio is kept as, and consoleKept how much of it:
// fio prints some 15 KiB for each block size.
const (
	fioOutput   = "fio"
	consoleKept = 4 << 20
)

// FileSystem has a guest with the app fio read and write its scratch disk: the guest's own
// figures.
func FileSystem(w matrix.Workload, timeout time.Duration) *During {
	each := w.Warmup + w.Duration
	limit := linux.FioPause + timeout + each*time.Duration(len(w.BlockBytes)*len(linux.FioKinds))
	if w.Requests > 0 {
		limit += timeout // nobody knows
	}
	return &During{Limit: limit, Do: func(ctx context.Context, l *Live) error { return l.fio(ctx, w) }}
}

func (l *Live) fio(ctx context.Context, w matrix.Workload) error {
	l.guest.stdout.keep(consoleKept)
	before, err := l.meter()
	if err != nil {
		return err
	}
	host, err := l.readDisk()
	if err != nil {
		return err
	}
	late := l.sinceReady() > linux.FioPause
	results, err := l.awaitFio(ctx)
	if err != nil {
		return err
	}
	after, err := l.meter()
	if err != nil {
		return err
	}
	busy := false
	for _, r := range results {
		busy = busy || r.Count > 0
		if r.BlockBytes == w.BlockBytes[0] {
			l.fioFigures("", r)
		}
		if len(w.BlockBytes) > 1 {
			l.fioFigures(fmt.Sprintf("block_%d_", r.BlockBytes), r)
		}
	}
	if late {
		l.hostLacks("ukprobe was not given a CPU between the guest's ready line and its first read")
	} else if err := l.hostFigures(host, busy); err != nil {
		return err
	}
	l.Value("cpu_ns", float64((after.cpu - before.cpu).Nanoseconds()))
	return nil
}

// awaitFio waits until the guest has printed what fio says. The sample keeps it, whatever
// it is.
func (l *Live) awaitFio(ctx context.Context) ([]workload.FioResult, error) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		console := l.guest.stdout.String()
		results, err := workload.ReadFio(console)
		if !errors.Is(err, workload.ErrNotOver) || ctx.Err() != nil {
			l.Sample.Output(fioOutput, strings.ReplaceAll(console, "\r", ""))
		}
		switch {
		case !errors.Is(err, workload.ErrNotOver):
			return results, err
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// fioNames are the beginnings of the values' names, by kind, and what is counted.
var fioNames = map[string]struct{ prefix, count string }{
	"randread":  {"read_", "reads"},
	"read":      {"sequential_read_", "sequential_reads"},
	"randwrite": {"write_", "writes"},
	"write":     {"sequential_write_", "sequential_writes"},
	"fsync":     {"flush_", "flushes"},
}

// fioFigures notes what one job has done.
func (l *Live) fioFigures(size string, r workload.FioResult) {
	names := fioNames[r.Kind]
	l.Value(size+"block_bytes", float64(r.BlockBytes))
	l.Value(size+names.count, float64(r.Count))
	wrong := r.Verify()
	for name, d := range r.Latency {
		l.Value(size+names.prefix+"latency_"+name+"_ns", float64(d.Nanoseconds()))
	}
	for _, name := range slices.Sorted(maps.Keys(wrong)) {
		l.Sample.Lacks(size+names.prefix+"latency_"+name+"_ns", wrong[name])
	}
	if r.Duration > 0 {
		l.Value(size+names.prefix+"bytes", float64(r.Bytes))
		l.Value(size+names.prefix+"bytes_per_second", float64(r.Bytes)/r.Duration.Seconds())
		l.Value(size+names.count+"_per_second", float64(r.Count)/r.Duration.Seconds())
	}
}
