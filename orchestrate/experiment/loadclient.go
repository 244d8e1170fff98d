// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/ukprobe/ukprobe/orchestrate/cgroup"
	"github.com/ukprobe/ukprobe/orchestrate/workload"
	"github.com/ukprobe/ukprobe/probe"
)

// maxOutput bounds what is kept of a client's output: of its end.
const maxOutput = 256 << 10

// runClient runs a program to its end, in the network namespace that do enters, in a
// cgroup and on some CPUs. When ctx ends it is killed, with all its children.
func runClient(ctx context.Context, do func(func() error) error, g *cgroup.Group, cpus []int, argv []string) (r workload.Ran, err error) {
	path, err := clientPath(argv[0])
	if err != nil {
		return r, err
	}
	stdout, stderr := newTail(maxOutput), newTail(maxOutput)
	cmd := &exec.Cmd{
		Path: path, Args: argv, Dir: "/", Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/", "LC_ALL=C"},
		Stdout: stdout, Stderr: stderr, WaitDelay: time.Second,
		SysProcAttr: sysProcAttr(g),
	}
	begun := time.Now()
	err = do(func() error {
		restore, err := affinity(cpus)
		if err != nil {
			return err
		}
		defer restore()
		return cmd.Start()
	})
	if err != nil {
		return r, fmt.Errorf("start %s: %w", argv[0], err)
	}
	var waited error
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		waited = cmd.Wait()
	}()
	select {
	case <-ended:
		err = waited
	case <-ctx.Done():
		killing, stop := context.WithTimeout(context.WithoutCancel(ctx), killTime)
		defer stop()
		if err := g.Kill(killing); err != nil {
			return r, errors.Join(context.Cause(ctx), err)
		}
		<-ended
		err = context.Cause(ctx)
	}
	r = workload.Ran{Stdout: stdout.String(), Stderr: stderr.String(), Wall: time.Since(begun)}
	if p := cmd.ProcessState; p != nil {
		r.CPU = p.UserTime() + p.SystemTime()
	}
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("%s: %w%s", argv[0], err, lastWords(r))
	}
	return r, err
}

// sysProcAttr puts a child into a group, and ends it if ukprobe dies first.
func sysProcAttr(g *cgroup.Group) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: g.FD(), Pdeathsig: syscall.SIGKILL, Setsid: true}
}

// clientPath finds a program, or ukprobe itself.
func clientPath(name string) (string, error) {
	if name == workload.Self {
		return os.Executable()
	}
	return exec.LookPath(name)
}

// lastWords quotes a program that ended badly.
func lastWords(r workload.Ran) string {
	for _, text := range []string{r.Stderr, r.Stdout} {
		if text = strings.TrimSpace(text); text != "" {
			return ": " + (probe.Line{Text: lastOf(text)}).Clean()
		}
	}
	return ""
}
