// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/ukprobe/ukprobe/orchestrate/cpu"
	"github.com/ukprobe/ukprobe/orchestrate/journal"
	"github.com/ukprobe/ukprobe/probe"
)

// How long the engine may take to create a container, to kill one and tell that it has
// ended, and to remove one.
var (
	createTime = 30 * time.Second
	killTime   = 10 * time.Second
	removeTime = 30 * time.Second
)

// drainTime bounds how long a container's last words are waited for after its end.
const drainTime = time.Second

// Spec is a container to start.
type Spec struct {
	Name      string // of the container, and of its entry in the journal
	Image     string // reference or ID
	Args      []string
	MemoryMiB int      // its limit, without swap
	CPUs      []int    // none: any
	Binds     []string // files of the host, each with where it is in the container: PATH:PATH
	Cgroup    string   // below which it is put, such as /ukprobe/RUN/SAMPLE
	Journal   *journal.Journal

	Stdout, Stderr io.Writer
	// Event is told the names of what happens (probe.EventCreateSent and those
	// after it).
	Event func(name string)
	// NetNS, if not nil, is called with the pid of the container's first process
	// while that is still the runtime's, so that there is a network before the app.
	NetNS func(pid int) error
}

// Container is a container that is being started, or runs, or has ended.
type Container struct {
	engine *Engine
	spec   Spec
	id     string
	group  string // its cgroup on the v2 hierarchy
	stop   context.CancelFunc
	// unknown: the engine has not said whether it has created the container, so that
	// it may still come.
	unknown bool
	ended   chan struct{} // closed when err is valid
	err     error
}

// Start creates a container, in the journal first, and has it started: it returns
// when the engine has created it, and Wait tells what became of the start. It has to
// be closed, ctx ends the start.
func (e *Engine) Start(ctx context.Context, s Spec) (_ *Container, err error) {
	c := &Container{engine: e, spec: s, ended: make(chan struct{})}
	entry := c.entry()
	if err := s.Journal.Record(entry); err != nil {
		return nil, err
	}
	defer func() {
		if err == nil {
			return
		}
		if left := c.remove(context.WithoutCancel(ctx)); !errors.Is(err, ErrNoEngine) { // that has been said
			err = errors.Join(err, left)
		}
	}()
	if err := c.create(ctx); err != nil {
		return nil, err
	}
	if c.group, err = groupOf(s.Cgroup, c.id); err != nil {
		return nil, err
	}
	stream, err := e.api.ContainerAttach(ctx, c.id, client.ContainerAttachOptions{Stream: true, Stdout: true, Stderr: true})
	if err != nil {
		return nil, e.failed("attach to container "+s.Name, err)
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	c.stop = stop
	go c.run(ctx, run, stream.HijackedResponse)
	return c, nil
}

// create has the container created. That is not broken off by ctx: an engine goes on
// creating when its client has gone (Docker 20.10 does), and what cannot be found yet
// cannot be removed.
func (c *Container) create(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), createTime)
	defer cancel()
	c.spec.Event(probe.EventCreateSent)
	created, err := c.engine.api.ContainerCreate(bound, c.spec.options())
	if err != nil {
		err = c.engine.failed("create container "+c.spec.Name, err)
		c.unknown = errors.Is(err, ErrNoEngine)
		return err
	}
	c.spec.Event(probe.EventCreated)
	c.id = created.ID
	return nil
}

// options is what the engine is asked for: what docker run would, with no network
// and no log, of which both would be the engine's work beside the app's.
func (s *Spec) options() client.ContainerCreateOptions {
	host := &container.HostConfig{
		NetworkMode: "none",
		LogConfig:   container.LogConfig{Type: "none"},
		Binds:       s.Binds,
		Resources: container.Resources{
			CgroupParent: s.Cgroup,
			Memory:       int64(s.MemoryMiB) << 20,
			MemorySwap:   int64(s.MemoryMiB) << 20,
			CpusetCpus:   cpu.FormatList(s.CPUs),
		},
	}
	config := &container.Config{Image: s.Image, Cmd: s.Args, AttachStdout: true, AttachStderr: true,
		Labels: map[string]string{"ukprobe": s.Name}}
	return client.ContainerCreateOptions{Name: s.Name, Config: config, HostConfig: host}
}

// Argv is the command by which docker's own client asks for the same, but for the
// container's name and label.
func (s *Spec) Argv() []string {
	memory := strconv.Itoa(s.MemoryMiB) + "m"
	argv := []string{"docker", "run", "--rm", "--network", "none", "--log-driver", "none",
		"--cgroup-parent", s.Cgroup, "--memory", memory, "--memory-swap", memory}
	if len(s.CPUs) > 0 {
		argv = append(argv, "--cpuset-cpus", cpu.FormatList(s.CPUs))
	}
	for _, b := range s.Binds {
		argv = append(argv, "--volume", b)
	}
	return append(append(argv, s.Image), s.Args...)
}

// run starts the container and waits for its end. ctx is the start's, run the
// container's own.
func (c *Container) run(ctx, run context.Context, stream client.HijackedResponse) {
	defer close(c.ended)
	var out sync.WaitGroup
	out.Go(func() { _, _ = stdcopy.StdCopy(c.spec.Stdout, c.spec.Stderr, stream.Reader) })
	defer func() { // what it said last is part of why it ended
		drained := make(chan struct{})
		go func() { out.Wait(); close(drained) }()
		select {
		case <-drained:
		case <-time.After(drainTime):
		}
		stream.Close()
	}()
	wait := c.engine.api.ContainerWait(run, c.id, client.ContainerWaitOptions{Condition: container.WaitConditionNextExit})
	if c.err = c.start(ctx); c.err != nil {
		c.err = c.alsoEnded(c.err, wait)
		return
	}
	select {
	case r := <-wait.Result:
		c.err = c.verdict(r)
	case err := <-wait.Error:
		c.err = c.engine.failed("wait for container "+c.spec.Name, err)
	case <-run.Done():
		c.err = errors.New("killed")
	}
}

// errUnwired says that a container has been started and could not be given its network.
var errUnwired = errors.New("no network")

// alsoEnded adds how a container has ended to the error that it could not be wired: one
// that ends at once has no process left to wire.
func (c *Container) alsoEnded(err error, wait client.ContainerWaitResult) error {
	if !errors.Is(err, errUnwired) {
		return err
	}
	select {
	case r := <-wait.Result:
		how := c.verdict(r)
		if how == nil {
			how = errors.New("exit status 0")
		}
		return fmt.Errorf("%w: %w", how, err)
	case unknown := <-wait.Error:
		return errors.Join(err, c.engine.failed("wait for container "+c.spec.Name, unknown))
	case <-time.After(drainTime):
	}
	return err
}

// start has the container started, and gives it its network on the way.
func (c *Container) start(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	wired := make(chan error, 1)
	groups, err := watchGroup(c.group)
	if err != nil {
		return err
	}
	go func() { wired <- c.wire(ctx, groups) }()
	c.spec.Event(probe.EventStartSent)
	if _, err := c.engine.api.ContainerStart(ctx, c.id, client.ContainerStartOptions{}); err != nil {
		cancel()
		failed := c.engine.failed("start container "+c.spec.Name, err)
		if why := <-wired; why != nil && !errors.Is(why, context.Canceled) {
			return errors.Join(failed, why)
		}
		return failed
	}
	c.spec.Event(probe.EventStarted)
	select {
	case err = <-wired:
	case <-time.After(time.Second): // it has been started: whatever there was to see has been there
		cancel()
		err = <-wired
	}
	if err != nil {
		return unwired{err}
	}
	return nil
}

// unwired marks an error as errUnwired, and reads as it is.
type unwired struct{ error }

func (u unwired) Unwrap() []error { return []error{u.error, errUnwired} }

// wire finds the container's first process and gives it its network.
func (c *Container) wire(ctx context.Context, groups *groupWatch) error {
	defer groups.close()
	if err := groups.made(ctx); err != nil {
		return fmt.Errorf("container %s: its cgroup %s has not been made: %w", c.spec.Name, c.group, err)
	}
	c.spec.Event(probe.EventContainerMade)
	if c.spec.NetNS == nil {
		return nil
	}
	pid, err := firstProcess(ctx, c.group)
	if err != nil {
		return fmt.Errorf("container %s: find its first process in %s: %w", c.spec.Name, c.group, err)
	}
	if err := c.spec.NetNS(pid); err != nil {
		return fmt.Errorf("container %s: give it its network: %w", c.spec.Name, err)
	}
	return nil
}

// verdict says how a container has ended; nil if well.
func (c *Container) verdict(r container.WaitResponse) error {
	if r.StatusCode == 0 && r.Error == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), askTime)
	defer cancel()
	text := fmt.Sprintf("exit status %d", r.StatusCode)
	const signalled = 128 // as a shell says it
	if n := r.StatusCode - signalled; n > 0 && n < 65 {
		text += fmt.Sprintf(" (signal %d)", n)
	}
	if i, err := c.engine.api.ContainerInspect(ctx, c.id, client.ContainerInspectOptions{}); err == nil && i.Container.State != nil {
		if i.Container.State.OOMKilled {
			text += fmt.Sprintf(": out of memory, with a limit of %d MiB: raise memory_mib", c.spec.MemoryMiB)
		}
		if why := i.Container.State.Error; why != "" {
			text += ": " + why
		}
	}
	return errors.New(text)
}

// Wait returns when the container has ended, or could not be started, with why if
// that was not well.
func (c *Container) Wait() error {
	<-c.ended
	return c.err
}

// Kill sends SIGKILL to all of the container, in whatever state it is. An engine
// that does not answer any more is no error: the container's cgroup is the
// caller's to kill.
func (c *Container) Kill(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, killTime)
	defer cancel()
	_, err := c.engine.api.ContainerKill(ctx, c.id, client.ContainerKillOptions{Signal: "KILL"})
	switch {
	case errdefs.IsNotFound(err), errdefs.IsConflict(err):
		err = nil
	case err != nil:
		if err = c.engine.failed("kill container "+c.spec.Name, err); errors.Is(err, ErrNoEngine) {
			c.stop() // it will not tell of the end either
			return nil
		}
	}
	select {
	case <-c.ended:
	case <-ctx.Done():
		c.stop() // the engine does not tell: it is not waited for
	}
	return err
}

// Close removes the container and its cgroups. On an error the container stays in the
// journal, for the run's end and `ukprobe clean`.
func (c *Container) Close() error {
	if c.stop != nil {
		c.stop()
	}
	<-c.ended
	return c.remove(context.Background())
}
