// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ukprobe/ukprobe/orchestrate/cgroup"
	"github.com/ukprobe/ukprobe/orchestrate/cpu"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
)

// guest is a started VMM or process.
type guest struct {
	cmd     *exec.Cmd        // nil if somebody else has started it
	started platform.Started // then
	driving *driving
	stdout  *tail
	stderr  *tail
	done    chan struct{} // closed when it has ended
	err     error         // of Wait; valid after done
	// unpinned is why it is not on the CPUs that it was started on.
	unpinned error
}

// start runs a launch inside a cgroup, on the given CPUs. The calling thread
// must be locked and in the network namespace that the child shall have. A witness,
// if not nil, is told of what happens to the guest. pass is called right before fork and
// exec, and nothing is started if it says so.
//
// The child is killed by the kernel if ukprobe dies first.
func start(l platform.Launch, g *cgroup.Group, cpus []int, seen witness, pass func() error) (*guest, error) {
	var old unix.CPUSet
	if err := unix.SchedGetaffinity(0, &old); err != nil {
		return nil, fmt.Errorf("read CPU affinity: %w", err)
	}
	if len(cpus) > 0 {
		enoughProcessors(old.Count())
	}
	restore, err := affinity(cpus)
	if err != nil {
		return nil, err
	}
	defer restore() // once more: left can have taken the guest's CPUs away from those of before
	gst := newGuest()
	gst.cmd = &exec.Cmd{
		Path: l.Argv[0], Args: l.Argv, Env: l.Env, Dir: "/",
		SysProcAttr: &syscall.SysProcAttr{
			Chroot: l.Chroot, UseCgroupFD: true, CgroupFD: g.FD(),
			Pdeathsig: syscall.SIGKILL, Setsid: true,
		},
	}
	outR, err := gst.pipe(&gst.cmd.Stdout)
	if err != nil {
		return nil, err
	}
	errR, err := gst.pipe(&gst.cmd.Stderr)
	if err != nil {
		return nil, errors.Join(err, outR.Close(), closeWriter(gst.cmd.Stdout))
	}
	var before, after int64
	if err = pass(); err == nil {
		left := func() {}
		if len(cpus) > 0 {
			left = leaveAfterFork(g, newSet(cpus), old)
		}
		before = monotonicNs()
		err = gst.cmd.Start() // returns once the exec has succeeded
		after = monotonicNs()
		restore() // before left, which may have to wait: this thread is not to do that on the guest's CPU
		left()
		if err != nil {
			err = fmt.Errorf("start %s: %w", l.Argv[0], err)
		}
	}
	if err != nil {
		return nil, errors.Join(err, outR.Close(), errR.Close(), closeWriter(gst.cmd.Stdout), closeWriter(gst.cmd.Stderr))
	}
	if seen != nil {
		seen.Started(before, after)
	}
	gst.unpinned = repin(gst.cmd.Process.Pid, cpus)
	_, _ = closeWriter(gst.cmd.Stdout), closeWriter(gst.cmd.Stderr)
	go gst.wait(outR, errR, seen)
	return gst, nil
}

// usage is what the kernel has counted for its process, and for children that it has
// waited for; valid after done.
func (g *guest) usage() (*syscall.Rusage, bool) {
	if g.cmd == nil || g.cmd.ProcessState == nil {
		return nil, false
	}
	u, ok := g.cmd.ProcessState.SysUsage().(*syscall.Rusage)
	return u, ok
}

func newGuest() *guest {
	return &guest{stdout: newTail(4 << 10), stderr: newTail(4 << 10), done: make(chan struct{})}
}

// startElsewhere has somebody else start a guest.
func startElsewhere(ctx context.Context, l platform.Launch, o platform.StartOptions, seen witness) (*guest, error) {
	gst := newGuest()
	o.Stdout, o.Stderr = console{gst.stdout, seen}, gst.stderr
	before := monotonicNs()
	var err error
	if gst.started, err = l.Start(ctx, o); err != nil {
		return nil, err
	}
	if seen != nil {
		seen.Started(before, monotonicNs())
	}
	go func() {
		defer close(gst.done)
		gst.err = gst.started.Wait()
		if seen != nil {
			seen.Ended(monotonicNs())
		}
	}()
	return gst, nil
}

// kill ends what somebody else has started; the others die with their cgroup.
func (g *guest) kill(ctx context.Context) error {
	if g.started == nil {
		return nil
	}
	return g.started.Kill(ctx)
}

// close removes what is left of it.
func (g *guest) close() error {
	if g.started == nil {
		return nil
	}
	return g.started.Close()
}

// pipe makes one of the child's streams a pipe; the reading end is returned.
func (g *guest) pipe(stream *io.Writer) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe for the guest's console: %w", err)
	}
	*stream = w
	return r, nil
}

func closeWriter(w io.Writer) error {
	if c, ok := w.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// wait drains the streams, so that the guest never blocks on them, and reaps.
func (g *guest) wait(out, errs *os.File, seen witness) {
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = io.Copy(console{g.stdout, seen}, out); _ = out.Close() })
	wg.Go(func() { _, _ = io.Copy(g.stderr, errs); _ = errs.Close() })
	g.err = g.cmd.Wait()
	if seen != nil {
		seen.Ended(monotonicNs())
	}
	// What it said last is part of why it ended. A child that it left behind may
	// hold the streams open: that one is not waited for.
	drained := make(chan struct{})
	go func() { wg.Wait(); close(drained) }()
	select {
	case <-drained:
	case <-time.After(time.Second):
	}
	close(g.done)
}

// console takes each read from the guest's standard output: it keeps the last and
// tells the witness, if there is one, with the time of the read.
type console struct {
	kept *tail
	seen witness
}

// Write implements io.Writer.
func (c console) Write(p []byte) (int, error) {
	if c.seen != nil {
		c.seen.Console(monotonicNs(), p)
	}
	return c.kept.Write(p)
}

// affinity puts this thread, and so the next child, on some CPUs. No CPUs means
// where it is.
func affinity(cpus []int) (restore func(), err error) {
	if len(cpus) == 0 {
		return func() {}, nil
	}
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return nil, fmt.Errorf("read CPU affinity: %w", err)
	}
	set := newSet(cpus)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("set CPU affinity to %v: %w", cpus, err)
	}
	return func() { _ = unix.SchedSetaffinity(0, &before) }, nil
}

func newSet(cpus []int) (set unix.CPUSet) {
	for _, c := range cpus {
		set.Set(c)
	}
	return set
}

// repin puts a process that was just started on its CPUs again, if it is elsewhere: one
// that is born in a cgroup with a cpuset of its own gets that one's CPUs, whatever its
// parent had (cpuset_fork, Linux 6.1.25 and 6.3).
func repin(pid int, cpus []int) error {
	if len(cpus) == 0 {
		return nil
	}
	now, err := cpu.Affinity(pid)
	if err == nil && !slices.Equal(now, slices.Compact(slices.Sorted(slices.Values(cpus)))) {
		err = cpu.PinProcess(pid, cpus)
	}
	if errors.Is(err, unix.ESRCH) || errors.Is(err, os.ErrNotExist) {
		return nil // it has ended
	}
	return err
}

// tail keeps the last bytes written to it.
type tail struct {
	mu   sync.Mutex
	most int
	buf  []byte
}

func newTail(most int) *tail { return &tail{most: most} }

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - t.most; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(p), nil
}

// keep has it keep so many bytes from now on.
func (t *tail) keep(most int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.most = most
}

// String is what was kept.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}
