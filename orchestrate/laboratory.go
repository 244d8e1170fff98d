// SPDX-License-Identifier: Apache-2.0

package orchestrate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/ukprobe/ukprobe/orchestrate/cgroup"
	"github.com/ukprobe/ukprobe/orchestrate/cpu"
	"github.com/ukprobe/ukprobe/orchestrate/docker"
	"github.com/ukprobe/ukprobe/orchestrate/experiment"
	"github.com/ukprobe/ukprobe/orchestrate/journal"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/netservice"
	"github.com/ukprobe/ukprobe/orchestrate/network"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/probe"
)

// kindTempDir is the journal's kind of the run's work folder.
const kindTempDir = journal.KindTempDir

// laboratory is what a run has set up on the host. All of it is in the journal
// before it is made, and gone after close.
type laboratory struct {
	runID   string
	journal *journal.Journal
	workDir string
	cgroups cgroup.Hierarchy
	memory  *cgroup.Memory // has every sample's memory counted, if a cell needs one's
	net     *network.Lab
	// services answer guests that ask for their address; nil if no cell wants that.
	services *netservice.Server
	cpus     cpus
	probe    *probe.Probe // nil if no cell has probes
	quiet    quiet        // who else runs on the CPUs
	metrics  *Metrics
	seen     func(probe.Timeline) // is told how a guest's boot goes on; may be nil

	attach probe.Rung                  // that was asked for
	extra  map[string]probe.HookStatus // hooks that single experiments had attached
}

// attached notes a hook of a single experiment.
func (l *laboratory) attached(s probe.HookStatus) { l.extra[s.Hook] = s }

// hooks are those beside the probe's, for the results.
func (l *laboratory) hooks() []probe.HookStatus {
	return append(l.quiet.hooks(), slices.Collect(maps.Values(l.extra))...)
}

// Undoers puts back every kind of thing that a run makes, for clean.
func Undoers() map[journal.Kind]journal.Undoer {
	all := network.Undoers()
	all[journal.KindCgroup] = cgroup.Undo
	all[cgroup.KindMemory] = cgroup.UndoMemory
	all[cgroup.KindController] = cgroup.UndoController
	all[journal.KindProcess] = journal.UndoProcess
	all[kindTempDir] = journal.UndoTempDir
	all[docker.Kind] = docker.Undo
	all[cpu.KindSetting] = cpu.UndoSetting
	return all
}

// openLaboratory sets everything up for some cells; on an error nothing is left.
// Without probed cells no BPF program is loaded.
func openLaboratory(ctx context.Context, o *Options, runID string, cells []matrix.Cell) (_ *laboratory, err error) {
	l := &laboratory{runID: runID, attach: o.Attach, extra: map[string]probe.HookStatus{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close())
		}
	}()
	if l.cgroups, err = cgroup.Find(); err != nil {
		return nil, err
	}
	if l.journal, err = journal.Open(o.JournalDir, runID); err != nil {
		return nil, err
	}
	// Absolute, as VMMs and clean have other working directories.
	if l.workDir, err = filepath.Abs(filepath.Join(workRoot(os.Getenv("TMPDIR"), os.TempDir(), "/var/tmp"), "ukprobe-"+runID)); err != nil {
		return nil, err
	}
	if err := l.journal.Record(journal.Entry{Kind: kindTempDir, Name: l.workDir}); err != nil {
		return nil, err
	}
	if err := os.Mkdir(l.workDir, 0o700); err != nil {
		return nil, fmt.Errorf("make the run's work folder: %w", err)
	}
	if slices.ContainsFunc(cells, countsMemory) {
		if l.memory, err = l.cgroups.HoldMemory(l.journal, runID); err != nil {
			return nil, err
		}
	}
	if err := l.setCPUs(cells, o.Observer.Log); err != nil {
		return nil, err
	}
	if probed(cells) {
		opt := probe.Options{Attach: o.Attach, Strict: o.Strict, Schema: o.Schema, Slots: slots(cells)}
		if slices.ContainsFunc(cells, inContainer) {
			opt.GroupLevel = l.cgroups.Level()
		}
		if l.probe, err = probe.Open(opt); err != nil {
			return nil, fmt.Errorf("%w (without BPF, `--probes none` times guests from outside)", err)
		}
	}
	if err := l.watchInterference(ctx, o.Attach, cells); err != nil {
		return nil, err
	}
	if l.net, err = network.NewLab(l.journal, runID); err != nil {
		return nil, err
	}
	if slices.ContainsFunc(cells, func(c matrix.Cell) bool { return c.Address == matrix.AddressDHCP }) {
		l.services, err = netservice.Start(l.net)
	}
	return l, err
}

// countsMemory: the cell's samples are in groups whose memory is counted or limited.
func countsMemory(c matrix.Cell) bool {
	switch c.Experiment {
	case matrix.MemoryUse, matrix.Density:
		return true
	case matrix.MemoryMin: // a VM's limit is its own size
		p, err := platform.Find(c.Platform)
		return err == nil && p.Program() == ""
	}
	return false
}

// slots is how many guests run at the same time at most, and one more.
func slots(cells []matrix.Cell) int {
	most := 1
	for _, c := range cells {
		most = max(most, c.Parallel)
		if c.Experiment == matrix.Density {
			most = max(most, c.Density.AtMost)
		}
	}
	return most + 1
}

// workRoot is where a run's folder goes: the folder for temporary files, but where that
// takes no devices, as systemd mounts /tmp, or no programs, and nobody has asked for it,
// the one for large ones: the roots of processes are made there.
func workRoot(asked, temp, large string) string {
	if asked == "" && noRoots(temp) && !noRoots(large) {
		return large
	}
	return temp
}

// noRoots tells whether devices do not open in a folder, or programs do not start, or
// there is no folder.
func noRoots(dir string) bool {
	var st unix.Statfs_t
	return unix.Statfs(dir, &st) != nil || st.Flags&(unix.ST_NODEV|unix.ST_NOEXEC) != 0
}

// mostVCPUs is the largest number of vCPUs that a guest has.
func mostVCPUs(cells []matrix.Cell) int {
	most := 1
	for _, c := range cells {
		most = max(most, c.VCPUs)
	}
	return most
}

// instrument is the probe, with the cell's metrics counted unless it warms up, or
// user space's clock for a cell without probes.
func (l *laboratory) instrument(c *cell, warmup bool) experiment.Instrument {
	switch {
	case c.Probes == matrix.ProbesNone:
		return experiment.Userspace{}
	case warmup:
		return experiment.Kernel{Probe: l.probe}
	}
	return experiment.Kernel{Probe: l.probe, Tracked: func(w *probe.Watch) func() error { return l.metrics.track(w, c) }}
}

// close puts the host back. What fails is reported and left in the journal, so
// that clean can try again.
func (l *laboratory) close() error {
	errs := []error{l.cpus.release(), l.quiet.close()}
	if l.probe != nil {
		errs = append(errs, l.probe.Close())
	}
	if l.services != nil {
		errs = append(errs, l.services.Close())
	}
	errs = append(errs, l.memory.Close())
	if l.net != nil {
		errs = append(errs, l.net.Close())
	}
	if l.journal == nil {
		return errors.Join(errs...)
	}
	report, err := l.journal.Rollback(context.Background(), Undoers())
	l.cpus.host.Close()
	errs = append(errs, err, report.Err(), l.journal.Close())
	return errors.Join(errs...)
}
