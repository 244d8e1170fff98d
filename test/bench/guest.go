// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/ukprobe/ukprobe/guests/reference"
	"github.com/ukprobe/ukprobe/orchestrate/cgroup"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/probe"
)

// guestTimeout ends a guest that hangs; an emulated host needs seconds.
const guestTimeout = 2 * time.Minute

// guestRAM is enough for the reference guest.
const guestRAM = 16 // MiB

// times are those of one guest. None comes from a probe.
type times struct {
	Ticks uint64        `json:"ticks"`   // guest's TSC from its first instruction to its ready line
	Pipe  time.Duration `json:"pipe_ns"` // from the start line's arrival on QEMU's stdout to the ready line's
	Boot  time.Duration `json:"boot_ns"` // from before QEMU's start to the ready line's arrival
	CPU   time.Duration `json:"cpu_ns"`  // user and system time of the whole QEMU process
	pid   int           // QEMU's
}

var (
	startLine  = regexp.MustCompile(reference.StartPattern)
	countsLine = regexp.MustCompile(reference.CountsPattern)
	readyLine  = regexp.MustCompile(reference.ReadyPattern + ` tsc=([0-9]+)$`)
)

// boot runs one guest to its end, in a cgroup of its own. If an observer is given and
// it watches, what the probe counted is held against what the guest did: the cost of
// probes that see nothing would be no answer.
func (b *bench) boot(ctx context.Context, c reference.Cmdline, o *observer) (t times, err error) {
	c.End = reference.EndExit
	if err := c.Validate(); err != nil {
		return t, err
	}
	g, err := b.cgroups.New(b.journal, b.runID, "guest"+strconv.FormatInt(b.guests.Add(1), 10))
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, g.Close()) }()
	if o == nil || !o.watch {
		return b.qemu(ctx, c, g)
	}
	w, err := o.probe.Watch(probe.Target{CgroupID: g.ID, ConsolePort: reference.COM1, Image: b.image.Segments,
		Ready: regexp.MustCompile(reference.ReadyPattern), KVM: true, Full: o.full})
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	if err := o.addPrograms(); err != nil {
		return t, err
	}
	if t, err = b.qemu(ctx, c, g); err != nil {
		return t, err
	}
	return t, o.take(c, w)
}

// qemu starts QEMU inside the cgroup and reads the guest's lines from its stdout.
func (b *bench) qemu(ctx context.Context, c reference.Cmdline, g *cgroup.Group) (t times, err error) {
	launch, err := b.platform.Launch(b.image, platform.Resources{MemoryMiB: guestRAM, VCPUs: 1, Accel: platform.KVM, Emulated: !b.hardware}, nil, c.String())
	if err != nil {
		return t, err
	}
	ctx, cancel := context.WithTimeout(ctx, guestTimeout)
	defer cancel()
	runtime.LockOSThread() // Pdeathsig is about the thread
	defer runtime.UnlockOSThread()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, launch.Argv[0], launch.Argv[1:]...)
	cmd.Env, cmd.Dir, cmd.Stderr = launch.Env, "/", &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: g.FD(), Pdeathsig: syscall.SIGKILL, Setsid: true}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return t, fmt.Errorf("make a pipe for the guest's console: %w", err)
	}
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return t, fmt.Errorf("start %s: %w", launch.Argv[0], err)
	}
	t, lines := readLines(bufio.NewScanner(stdout), c, begin)
	err = errors.Join(lines, cmd.Wait())
	if err != nil {
		return t, fmt.Errorf("run the reference guest (%s): %w; QEMU says: %s", c.String(), errors.Join(ctx.Err(), err), bytes.TrimSpace(stderr.Bytes()))
	}
	t.pid = cmd.Process.Pid
	t.CPU = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return t, nil
}

// readLines takes the guest's three lines, and checks that it did its task.
func readLines(in *bufio.Scanner, c reference.Cmdline, begin time.Time) (t times, err error) {
	var started time.Time
	var from, to uint64
	for in.Scan() {
		at, line := time.Now(), in.Text()
		if m := startLine.FindStringSubmatch(line); m != nil {
			started = at
			from, err = strconv.ParseUint(m[1], 10, 64)
		} else if countsLine.MatchString(line) {
			err = checkTask(c, line)
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

func checkTask(c reference.Cmdline, line string) error {
	did, err := reference.ParseCounts(line)
	if err != nil {
		return err
	}
	if did.PIO != uint64(c.PIO) || did.CPUID != uint64(c.CPUID) || did.HLT != uint64(c.HLT) {
		return fmt.Errorf("the guest did not do its task (%s): %s", c.String(), line)
	}
	return nil
}
