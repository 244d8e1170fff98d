// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"

	"github.com/ukprobe/ukprobe/orchestrate"
	"github.com/ukprobe/ukprobe/orchestrate/cgroup"
	"github.com/ukprobe/ukprobe/orchestrate/journal"
	"github.com/ukprobe/ukprobe/orchestrate/network"
	"github.com/ukprobe/ukprobe/probe"
)

// errNotTried stands for a step that another one's failure made impossible.
var errNotTried = errors.New("not tried")

// trial is what came of doing once what every sample does: a cgroup, a process
// born in it and watched, a network with a tap and a veth, a watched device.
type trial struct {
	probe      *probe.Probe // nil if it could not be opened
	journal    *journal.Journal
	hierarchy  cgroup.Hierarchy
	journalErr error
	cgroupErr  error // find and make
	cloneErr   error // start a process inside
	watchErr   error
	seen       []string // events of that process
	missed     []string
	labErr     error
	tapErr     error
	vethErr    error
	deviceErr  error
	device     bool  // hooks of network devices were tried
	leftErr    error // something could not be put back
}

// try runs the trial. p may be nil. When it returns, all is gone.
func try(ctx context.Context, p *probe.Probe, journalDir string) *trial {
	t := &trial{probe: p, cgroupErr: errNotTried, cloneErr: errNotTried, watchErr: errNotTried, labErr: errNotTried, tapErr: errNotTried, vethErr: errNotTried}
	runID := fmt.Sprintf("doctor-%s-%d", time.Now().UTC().Format("20060102-150405"), os.Getpid())
	if t.journal, t.journalErr = journal.Open(journalDir, runID); t.journalErr != nil {
		var err error
		if t.hierarchy, err = cgroup.Find(); err != nil {
			t.cgroupErr = err
		}
		return t
	}
	t.tryCgroup(ctx, runID)
	if ctx.Err() == nil {
		t.tryNetwork(runID)
	}
	// Whatever a step could not put back is tried once more from the journal.
	_, err := t.journal.Rollback(context.WithoutCancel(ctx), orchestrate.Undoers())
	t.leftErr = errors.Join(t.leftErr, err, t.journal.Close())
	return t
}

// left notes what could not be put back.
func (t *trial) left(undo func() error) { t.leftErr = errors.Join(t.leftErr, undo()) }

func (t *trial) tryCgroup(ctx context.Context, runID string) {
	if t.hierarchy, t.cgroupErr = cgroup.Find(); t.cgroupErr != nil {
		return
	}
	g, err := t.hierarchy.New(t.journal, runID, "doctor")
	if t.cgroupErr = err; err != nil {
		return
	}
	defer t.left(g.Close)
	if t.probe == nil {
		t.cloneErr = startIn(ctx, g)
		return
	}
	w, err := t.probe.Watch(probe.Target{CgroupID: g.ID})
	if t.watchErr = err; err != nil {
		t.cloneErr = startIn(ctx, g)
		return
	}
	defer t.left(w.Close)
	if t.cloneErr = startIn(ctx, g); t.cloneErr != nil {
		t.watchErr = errNotTried
		return
	}
	timeline := w.Timeline()
	for _, name := range []string{probe.EventVMMExec, probe.EventVMMExit} {
		if _, ok := timeline.At(name); ok {
			t.seen = append(t.seen, name)
		} else {
			t.missed = append(t.missed, name)
		}
	}
}

// startIn starts a process inside the group, as VMMs are started, sees that it
// is there, and waits until it has ended.
func startIn(ctx context.Context, g *cgroup.Group) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "cat") // until its standard input ends
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: g.FD(), Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start a process in cgroup %s: %w", g.Path, err)
	}
	pids, err := g.Pids()
	if err == nil && !slices.Contains(pids, cmd.Process.Pid) {
		err = fmt.Errorf("process %d was started into cgroup %s and is not in it", cmd.Process.Pid, g.Path)
	}
	return errors.Join(err, in.Close(), cmd.Wait())
}

func (t *trial) tryNetwork(runID string) {
	lab, err := network.NewLab(t.journal, runID)
	if t.labErr = err; err != nil {
		return
	}
	defer t.left(lab.Close)
	veth, err := lab.Veth(network.VethOptions{})
	if t.vethErr = err; err == nil {
		defer t.left(veth.Close)
	}
	tap, err := lab.Tap(network.TapOptions{})
	if t.tapErr = err; err == nil {
		defer t.left(tap.Close)
	}
	switch {
	case t.probe == nil:
	case t.tapErr == nil:
		t.tryDevice(lab, tap.Ifindex)
	case t.vethErr == nil:
		t.tryDevice(lab, veth.Ifindex)
	}
}

// tryOthers attaches for a moment the hooks that are beside those of a Probe.
func (t *trial) tryOthers() []Check {
	if t.probe == nil {
		return nil // said already
	}
	return append(t.tryInterference(), t.tryDisk()...)
}

// tryInterference tries what sees who else runs on a sample's CPUs.
func (t *trial) tryInterference() []Check {
	seer, err := probe.OpenInterference(probe.Auto)
	if err != nil {
		return []Check{noHook("interference", "whether others ran on a sample's CPUs", err)}
	}
	defer t.left(seer.Close)
	var out []Check
	for _, s := range seer.Hooks() {
		out = append(out, otherHook(s))
	}
	return out
}

// tryDisk tries what sees how the host reads and writes a guest's disk.
func (t *trial) tryDisk() []Check {
	disk, err := probe.OpenDisk(probe.DiskOptions{Group: ^uint64(0)}) // no cgroup has that id
	if err != nil {
		return []Check{noHook(probe.HookDisk, "what the host does with a guest's disk, in experiment fs", err)}
	}
	defer t.left(disk.Close)
	return []Check{otherHook(disk.Hook())}
}

// tryDevice attaches the hooks of network devices to one.
func (t *trial) tryDevice(lab *network.Lab, ifindex int) {
	t.device = true
	t.deviceErr = lab.Do(func() error {
		w, err := t.probe.Watch(probe.Target{CgroupID: ^uint64(0)}) // no cgroup has that id
		if err != nil {
			return err
		}
		return errors.Join(w.WatchDevice(ifindex), w.Close())
	})
}
