// SPDX-License-Identifier: Apache-2.0

package overhead

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ukprobe/ukprobe/guests/reference"
	"github.com/ukprobe/ukprobe/orchestrate/cgroup"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/probe"
	"github.com/ukprobe/ukprobe/results"
)

const (
	// guestTimeout ends a guest that hangs; an emulated host needs seconds.
	guestTimeout = 2 * time.Minute
	guestRAM     = 16 // MiB: enough for the reference guest
)

// workload is one task of the guest.
type workload struct {
	name string
	task reference.Cmdline
	ops  int // what the guest's time is divided by; 0: a boot counts as a whole
}

// workloads are as long as some tenth of a second where KVM emulates every
// instruction: the guest's time has no other error than what disturbs it.
func workloads() []workload {
	const pio, cpuid, hlt = 8000, 16000, 5
	return []workload{
		{results.OverheadPortWrite, reference.Cmdline{PIO: pio}, pio},
		{results.OverheadCPUID, reference.Cmdline{CPUID: cpuid}, cpuid},
		{results.OverheadHalt, reference.Cmdline{HLT: hlt}, hlt},
		{results.OverheadBootWall, reference.Cmdline{}, 0},
	}
}

// Times are those of one guest. None comes from a probe.
type Times struct {
	Ticks uint64        `json:"ticks"`   // guest's TSC from its first instruction to its ready line
	Pipe  time.Duration `json:"pipe_ns"` // from the start line's arrival on QEMU's stdout to the ready line's
	Boot  time.Duration `json:"boot_ns"` // from before QEMU's start to the ready line's arrival
}

// ns is the workload's time: of one operation by the guest's TSC, or of the boot.
func (w workload) ns(t Times, ticksPerNs float64) float64 {
	if w.ops == 0 {
		return float64(t.Boot)
	}
	return float64(t.Ticks) / ticksPerNs / float64(w.ops)
}

var (
	startLine  = regexp.MustCompile(reference.StartPattern)
	countsLine = regexp.MustCompile(reference.CountsPattern)
	readyLine  = regexp.MustCompile(reference.ReadyPattern + ` tsc=([0-9]+)$`)
)

// boot runs one guest to its end, in a cgroup of its own. If p is not nil it is
// watched, and what the probe counted is held against what the guest did: the cost
// of probes that see nothing would be no answer.
func (m *measurement) boot(ctx context.Context, task reference.Cmdline, p *probe.Probe, full bool) (t Times, err error) {
	task.End = reference.EndExit
	if err := task.Validate(); err != nil {
		return t, err
	}
	g, err := m.group()
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, g.Close()) }()
	var w *probe.Watch
	if p != nil {
		if w, err = p.Watch(m.target(g, full)); err != nil {
			return t, err
		}
		defer func() { err = errors.Join(err, w.Close()) }()
		if err := m.own(p); err != nil {
			return t, err
		}
	}
	if t, err = m.qemu(ctx, task, g); err != nil || w == nil {
		return t, err
	}
	return t, checkSeen(task, w)
}

// group makes a cgroup for one guest.
func (m *measurement) group() (*cgroup.Group, error) {
	m.groups++
	return m.cgroups.New(m.journal, m.RunID, "guest"+strconv.Itoa(m.groups))
}

func (m *measurement) target(g *cgroup.Group, full bool) probe.Target {
	return probe.Target{CgroupID: g.ID, ConsolePort: reference.COM1, Image: m.image.Segments,
		Ready: regexp.MustCompile(reference.ReadyPattern), KVM: true, Full: full}
}

// checkSeen compares the probe's count of port writes with the guest's task.
func checkSeen(task reference.Cmdline, w *probe.Watch) error {
	counts, err := w.Counts()
	if err != nil {
		return err
	}
	if got := counts.Ports[probe.Port{Number: reference.PIOPort, Out: true}]; got != uint64(task.PIO) {
		return fmt.Errorf("the probes counted %d of the guest's %d port writes: what they cost would mean nothing", got, task.PIO)
	}
	return nil
}

// qemu starts QEMU inside the cgroup, on the CPUs that a run would give it, and
// reads the guest's lines from its stdout.
func (m *measurement) qemu(ctx context.Context, task reference.Cmdline, g *cgroup.Group) (t Times, err error) {
	launch, err := m.platform.Launch(m.image, platform.Resources{MemoryMiB: guestRAM, VCPUs: 1, Accel: platform.KVM, Emulated: !m.host.KVMHardware}, nil, task.String())
	if err != nil {
		return t, err
	}
	ctx, cancel := context.WithTimeout(ctx, guestTimeout)
	defer cancel()
	runtime.LockOSThread() // Pdeathsig and the affinity are the thread's
	defer runtime.UnlockOSThread()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, launch.Argv[0], launch.Argv[1:]...)
	cmd.Env, cmd.Dir, cmd.Stderr = launch.Env, "/", &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: g.FD(), Pdeathsig: syscall.SIGKILL, Setsid: true}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return t, fmt.Errorf("make a pipe for the guest's console: %w", err)
	}
	begin, err := m.start(cmd)
	if err != nil {
		return t, fmt.Errorf("start %s: %w", launch.Argv[0], err)
	}
	t, lines := readLines(stdout, task, begin)
	if lines != nil {
		_ = cmd.Process.Kill() // nobody reads its console any more
	}
	if err = errors.Join(lines, cmd.Wait()); err != nil {
		return t, fmt.Errorf("run the reference guest (%s): %w; QEMU says: %.500s", task.String(), errors.Join(ctx.Err(), err), bytes.TrimSpace(stderr.Bytes()))
	}
	return t, nil
}

// start starts the command on the VMM's CPUs; the time is that before it.
func (m *measurement) start(cmd *exec.Cmd) (begin time.Time, err error) {
	var before, set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return begin, fmt.Errorf("read CPU affinity: %w", err)
	}
	for _, c := range m.cpus.VMM {
		set.Set(c)
	}
	if set.Count() > 0 {
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			return begin, fmt.Errorf("set CPU affinity to %v: %w", m.cpus.VMM, err)
		}
		defer func() { err = errors.Join(err, unix.SchedSetaffinity(0, &before)) }()
	}
	begin = time.Now()
	return begin, cmd.Start()
}

// readLines takes the guest's three lines, and checks that it did its task.
func readLines(console io.Reader, task reference.Cmdline, begin time.Time) (t Times, err error) {
	in := bufio.NewScanner(console)
	var started time.Time
	var from, to uint64
	for in.Scan() {
		at, line := time.Now(), in.Text()
		if m := startLine.FindStringSubmatch(line); m != nil {
			started = at
			from, err = strconv.ParseUint(m[1], 10, 64)
		} else if countsLine.MatchString(line) {
			err = checkTask(task, line)
		} else if m := readyLine.FindStringSubmatch(line); m != nil {
			t.Pipe, t.Boot = at.Sub(started), at.Sub(begin)
			to, err = strconv.ParseUint(m[1], 10, 64)
		}
		if err != nil {
			return t, err
		}
	}
	if err := in.Err(); err != nil {
		return t, fmt.Errorf("read the guest's console: %w", err)
	}
	if from == 0 || to <= from {
		return t, fmt.Errorf("the guest's TSC went from %d to %d: it was not ready", from, to)
	}
	t.Ticks = to - from
	return t, nil
}

func checkTask(task reference.Cmdline, line string) error {
	did, err := reference.ParseCounts(line)
	if err != nil {
		return err
	}
	if did.PIO != uint64(task.PIO) || did.CPUID != uint64(task.CPUID) || did.HLT != uint64(task.HLT) {
		return fmt.Errorf("the guest did not do its task (%s): %s", task.String(), line)
	}
	return nil
}
