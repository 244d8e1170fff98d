// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/ukprobe/ukprobe/orchestrate/journal"
	"github.com/ukprobe/ukprobe/probe"
)

// removeTime bounds how long the engine may take to kill and remove a container.
const removeTime = 30 * time.Second

// drainTime bounds how long a container's last words are waited for after its end.
const drainTime = time.Second

// Spec is a container to start.
type Spec struct {
	Name      string // of the container, and of its entry in the journal
	Image     string // reference or ID
	Args      []string
	MemoryMiB int    // its limit, without swap
	CPUs      []int  // none: any
	Cgroup    string // below which it is put, such as /ukprobe/RUN/SAMPLE
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
	ended  chan struct{} // closed when err is valid
	err    error
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
		if err != nil {
			err = errors.Join(err, c.remove(context.WithoutCancel(ctx)))
		}
	}()
	s.Event(probe.EventCreateSent)
	created, err := e.api.ContainerCreate(ctx, s.options())
	if err != nil {
		return nil, e.failed("create container "+s.Name, err)
	}
	s.Event(probe.EventCreated)
	c.id = created.ID
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

// options is what the engine is asked for: what docker run would, with no network
// and no log, of which both would be the engine's work beside the app's.
func (s *Spec) options() client.ContainerCreateOptions {
	host := &container.HostConfig{
		NetworkMode: "none",
		LogConfig:   container.LogConfig{Type: "none"},
		Resources: container.Resources{
			CgroupParent: s.Cgroup,
			Memory:       int64(s.MemoryMiB) << 20,
			MemorySwap:   int64(s.MemoryMiB) << 20,
			CpusetCpus:   cpuList(s.CPUs),
		},
	}
	config := &container.Config{Image: s.Image, Cmd: s.Args, AttachStdout: true, AttachStderr: true,
		Labels: map[string]string{"ukprobe": s.Name}}
	return client.ContainerCreateOptions{Name: s.Name, Config: config, HostConfig: host}
}

func cpuList(cpus []int) string {
	words := make([]string, len(cpus))
	for i, c := range cpus {
		words[i] = strconv.Itoa(c)
	}
	return strings.Join(words, ",")
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
	case err := <-wired:
		return err
	case <-time.After(time.Second): // it has been started: whatever there was to see has been there
		cancel()
		return <-wired
	}
}

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
	_, err := c.engine.api.ContainerKill(ctx, c.id, client.ContainerKillOptions{Signal: "KILL"})
	if err != nil && !errdefs.IsNotFound(err) && !errdefs.IsConflict(err) && !client.IsErrConnectionFailed(err) && ctx.Err() == nil {
		err = c.engine.failed("kill container "+c.spec.Name, err)
	} else {
		err = nil
	}
	select {
	case <-c.ended:
	case <-time.After(killTime):
		c.stop() // the engine does not tell: it is not waited for
	}
	return err
}

// killTime is how long the engine may take to tell that a container has ended.
const killTime = 10 * time.Second

// Close removes the container and its cgroups. If the engine does not answer, the
// container stays in the journal, for `ukprobe clean`.
func (c *Container) Close() error {
	if c.stop != nil {
		c.stop()
	}
	<-c.ended
	return c.remove(context.Background())
}
