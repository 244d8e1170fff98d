// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
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
// cgroup and on some CPUs. When ctx ends it is killed, with all its children. line may be
// nil (see [workload.Command]).
func runClient(ctx context.Context, do func(func() error) error, g *cgroup.Group, cpus []int, argv []string, line func(string) bool) (r workload.Ran, err error) {
	path, err := clientPath(argv[0])
	if err != nil {
		return r, err
	}
	stdout, stderr := newTail(maxOutput), newTail(maxOutput)
	out := &lineFilter{taken: line, rest: stdout}
	if line == nil {
		out.taken = func(string) bool { return false }
	}
	cmd := &exec.Cmd{
		Path: path, Args: argv, Dir: "/", Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/", "LC_ALL=C"},
		Stdout: out, Stderr: stderr, WaitDelay: time.Second,
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
	queued := watchQueue(g.Pids, ended)
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
	err = errors.Join(err, out.flush())
	r = workload.Ran{Stdout: stdout.String(), Stderr: stderr.String(), Wall: time.Since(begun)}
	r.Waited = <-queued
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

// lineFilter passes on what is written, but for the lines that somebody takes.
type lineFilter struct {
	taken func(string) bool
	rest  io.Writer
	begun []byte // a line that has not ended yet
}

// Write implements io.Writer. A line that does not end soon is passed on as it is.
func (f *lineFilter) Write(p []byte) (int, error) {
	f.begun = append(f.begun, p...)
	rest := f.begun
	for {
		line, after, ended := bytes.Cut(rest, []byte("\n"))
		if !ended {
			break
		}
		if !f.taken(string(line)) {
			if _, err := f.rest.Write(rest[:len(line)+1]); err != nil {
				return 0, err
			}
		}
		rest = after
	}
	f.begun = append(f.begun[:0], rest...)
	if len(f.begun) < maxClientLine {
		return len(p), nil
	}
	return len(p), f.flush()
}

// flush passes on a line that has not ended.
func (f *lineFilter) flush() error {
	_, err := f.rest.Write(f.begun)
	f.begun = f.begun[:0]
	return err
}

// maxClientLine bounds a line of a client's output, in bytes.
const maxClientLine = 64 << 10
