// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ukprobe/ukprobe/guests/linux"
	engine "github.com/ukprobe/ukprobe/orchestrate/docker"
	"github.com/ukprobe/ukprobe/orchestrate/network"
	"github.com/ukprobe/ukprobe/orchestrate/system"
)

// docker has a Docker Engine run a container. Nothing is virtualised; the engine
// starts the app, in namespaces and cgroups of its own making.
type docker struct{}

// Name implements Platform.
func (docker) Name() string { return "docker" }

// Program implements Platform: there is no VMM.
func (docker) Program() string { return "" }

// Wire implements Platform.
func (docker) Wire() Wire { return MovedWire }

// Accel implements Platform: there is none to choose.
func (docker) Accel(string, system.Boot, Host) (string, error) { return None, nil }

// Firmware implements Platform.
func (docker) Firmware() Firmware { return Firmware{} }

// Version implements Versioner.
func (docker) Version(ctx context.Context) (string, error) {
	e, err := engine.Connect(ctx)
	if err != nil {
		return "", err
	}
	return e.Description, e.Close()
}

// Launch implements Platform. Its Argv is the command that asks an engine for the
// same; what is done is two calls of the API.
func (docker) Launch(b system.Boot, r Resources, _ *network.Guest, cmdline string) (Launch, error) {
	if b.Container == "" {
		return Launch{}, fmt.Errorf("%w: platform docker runs container images; this system has none", system.ErrUnsupported)
	}
	s := engine.Spec{Image: b.Container, Args: strings.Fields(cmdline), MemoryMiB: r.MemoryMiB, CPUs: r.CPUs, Cgroup: Cgroup}
	if b.Scratch != nil {
		s.Binds = []string{Dir + "/" + scratchDisk + ":" + linux.ScratchFile}
	}
	l := Launch{
		Argv: s.Argv(), Accel: r.Accel, Console: Console{Write: true},
		Start: func(ctx context.Context, o StartOptions) (Started, error) { return startContainer(ctx, o, s) },
	}
	return l, l.scratch(b, scratchDisk, "docker")
}

// startContainer fills in the sample's part and has the engine start it.
func startContainer(ctx context.Context, o StartOptions, s engine.Spec) (Started, error) {
	e, err := engine.Dial(ctx)
	if err != nil {
		return nil, err
	}
	s.Name = strings.ReplaceAll(strings.Trim(o.Cgroup, "/"), "/", "-")
	s.Cgroup, s.Journal = o.Cgroup, o.Journal
	s.Binds = slices.Clone(s.Binds)
	for i := range s.Binds {
		s.Binds[i] = strings.ReplaceAll(s.Binds[i], Dir, o.Dir)
	}
	s.Stdout, s.Stderr, s.Event, s.NetNS = o.Stdout, o.Stderr, o.Event, o.NetNS
	c, err := e.Start(ctx, s)
	if err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return &started{Container: c, engine: e}, nil
}

// started is a container with its connection.
type started struct {
	*engine.Container
	engine *engine.Engine
}

// Close implements Started.
func (s *started) Close() error { return errors.Join(s.Container.Close(), s.engine.Close()) }
