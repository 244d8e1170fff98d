// SPDX-License-Identifier: Apache-2.0

package rig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ukprobe/ukprobe/guests/reference"
	"github.com/ukprobe/ukprobe/orchestrate/cgroup"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/orchestrate/system"
	"github.com/ukprobe/ukprobe/probe"
)

// VMM is the platform of the guest: the one that boots fastest.
const VMM = "qemumicrovm"

const (
	// guestTimeout ends a guest that hangs; an emulated host needs seconds.
	guestTimeout = 2 * time.Minute
	guestRAM     = 16 // MiB: enough for the reference guest
)

// Guest is the reference guest, ready to be started any number of times, also at the
// same time.
type Guest struct {
	image    system.Boot
	platform platform.Platform
	emulated bool  // KVM has no hardware behind it
	cpus     []int // that QEMU is started on; none: whichever
}

// NewGuest writes the guest's image into dir, which has to outlive the Guest. QEMU
// is started on those CPUs; on whichever if none are given. A missing QEMU is told
// here, before anything runs.
func NewGuest(ctx context.Context, dir string, hardware bool, cpus []int) (*Guest, error) {
	g := &Guest{emulated: !hardware, cpus: cpus}
	var err error
	if g.platform, err = platform.Find(VMM); err != nil {
		return nil, err
	}
	s, err := system.Find(system.All(system.Env{WorkDir: dir}), "reference")
	if err != nil {
		return nil, err
	}
	if g.image, err = s.Prepare(ctx, system.Want{App: system.Hello, Settings: matrix.DefaultSettings()}); err != nil {
		return nil, err
	}
	_, err = g.launch(reference.Cmdline{})
	return g, err
}

func (g *Guest) launch(task reference.Cmdline) (platform.Launch, error) {
	return g.platform.Launch(g.image, platform.Resources{MemoryMiB: guestRAM, VCPUs: 1, Accel: platform.KVM, Emulated: g.emulated}, nil, task.String())
}

// Target is what a probe is to watch of a guest in that cgroup.
func (g *Guest) Target(in *cgroup.Group, full bool) probe.Target {
	return probe.Target{CgroupID: in.ID, ConsolePort: reference.COM1, Image: g.image.Segments,
		Ready: regexp.MustCompile(reference.ReadyPattern), KVM: true, Full: full}
}

// CheckSeen compares a probe's count of port writes with the guest's task: the cost
// of probes that see nothing would be no answer.
func CheckSeen(task reference.Cmdline, counts probe.Counts) error {
	if got := counts.Ports[probe.Port{Number: reference.PIOPort, Out: true}]; got != uint64(task.PIO) {
		return fmt.Errorf("the probes counted %d of the guest's %d port writes: what they cost would mean nothing", got, task.PIO)
	}
	return nil
}

// Run starts QEMU inside the cgroup and reads the guest's lines from its stdout until
// both have ended; the guest ends itself after its task. A guest that did something
// else than its task is an error. The state is QEMU's, with its id and CPU time.
func (g *Guest) Run(ctx context.Context, task reference.Cmdline, in *cgroup.Group) (t Times, vmm *os.ProcessState, err error) {
	task.End = reference.EndExit
	if err := task.Validate(); err != nil {
		return t, nil, err
	}
	launch, err := g.launch(task)
	if err != nil {
		return t, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, guestTimeout)
	defer cancel()
	runtime.LockOSThread() // Pdeathsig and the affinity are the thread's
	defer runtime.UnlockOSThread()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, launch.Argv[0], launch.Argv[1:]...)
	cmd.Env, cmd.Dir, cmd.Stderr = launch.Env, "/", &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: in.FD(), Pdeathsig: syscall.SIGKILL, Setsid: true}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return t, nil, fmt.Errorf("make a pipe for the guest's console: %w", err)
	}
	begin, err := g.start(cmd)
	if err != nil {
		return t, nil, fmt.Errorf("start %s: %w", launch.Argv[0], err)
	}
	t, lines := readLines(stdout, task, begin)
	if lines != nil {
		_ = cmd.Process.Kill() // nobody reads its console any more
	}
	if err = errors.Join(lines, cmd.Wait()); err != nil {
		return t, nil, fmt.Errorf("run the reference guest (%s): %w; QEMU says: %.500s", task.String(), errors.Join(ctx.Err(), err), bytes.TrimSpace(stderr.Bytes()))
	}
	return t, cmd.ProcessState, nil
}

// start starts the command on the guest's CPUs; the time is that before it.
func (g *Guest) start(cmd *exec.Cmd) (begin time.Time, err error) {
	var before, set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return begin, fmt.Errorf("read CPU affinity: %w", err)
	}
	for _, c := range g.cpus {
		set.Set(c)
	}
	if set.Count() > 0 {
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			return begin, fmt.Errorf("set CPU affinity to %v: %w", g.cpus, err)
		}
		defer func() { err = errors.Join(err, unix.SchedSetaffinity(0, &before)) }()
	}
	begin = time.Now()
	return begin, cmd.Start()
}
