// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"
	"golang.org/x/sys/unix"

	"github.com/ukprobe/ukprobe/orchestrate/cgroup"
	"github.com/ukprobe/ukprobe/orchestrate/journal"
)

// Kind is the journal's for containers.
const Kind journal.Kind = "docker-container"

// entry is the container's in the journal.
func (c *Container) entry() journal.Entry {
	return journal.Entry{Kind: Kind, Name: c.spec.Name, Data: map[string]string{"host": c.engine.host, "cgroup": c.spec.Cgroup}}
}

// remove removes the container and forgets it. One that the engine does not remove, or
// may yet create, stays in the journal: it is tried again at the end of the run, where
// what is left is told of.
func (c *Container) remove(ctx context.Context) error {
	e := c.entry()
	if err := c.engine.remove(ctx, e); err != nil {
		return errors.Join(err, removeGroups(c.spec.Cgroup))
	}
	if c.unknown {
		return nil
	}
	return c.spec.Journal.Forget(e)
}

// validName and validGroup are what a run's containers and cgroups are called.
var (
	validName  = regexp.MustCompile(`^ukprobe-[A-Za-z0-9][A-Za-z0-9._-]{0,254}$`)
	validGroup = regexp.MustCompile(`^/ukprobe/[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$`)
)

// Undo is the journal's undoer for containers: it kills and removes one by its name.
// One that is gone is no error, an engine that is not there is.
func Undo(ctx context.Context, e journal.Entry) error {
	if !validName.MatchString(e.Name) || !validGroup.MatchString(e.Data["cgroup"]) {
		return fmt.Errorf("%q below %q is not a container of ukprobe: left alone", e.Name, e.Data["cgroup"])
	}
	engine, err := dial(ctx, client.FromEnv, client.WithHost(e.Data["host"]))
	if err != nil {
		return fmt.Errorf("remove container %s: %w, then run `ukprobe clean` again", e.Name, err)
	}
	defer engine.Close()
	return engine.remove(ctx, e)
}

// remove removes the container of an entry, and the cgroups that the runtime made
// for it on cgroup v1 hierarchies, of which it leaves the upper ones.
func (e *Engine) remove(ctx context.Context, entry journal.Entry) error {
	ctx, cancel := context.WithTimeout(ctx, removeTime)
	defer cancel()
	for {
		_, err := e.api.ContainerRemove(ctx, entry.Name, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		if err == nil || errdefs.IsNotFound(err) {
			break
		}
		if !errdefs.IsConflict(err) || ctx.Err() != nil { // a conflict: it is being removed already
			return e.failed("remove container "+entry.Name, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
	return removeGroups(entry.Data["cgroup"])
}

// removeGroups removes a group with what is below it, and the two above it where
// nothing else is in them, on each cgroup v1 hierarchy. That of v2 is package
// cgroup's. Its processes have ended; the kernel may need a moment to notice.
func removeGroups(group string) error {
	mounts, err := cgroup.V1Mounts()
	if err != nil {
		return err
	}
	var errs []error
	for _, mount := range mounts {
		path := filepath.Join(mount, group)
		err := removeTree(path)
		for end := time.Now().Add(leaveTime); errors.Is(err, unix.EBUSY) && time.Now().Before(end); err = removeTree(path) {
			time.Sleep(time.Millisecond)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("remove cgroup: %w", err))
			continue
		}
		for range strings.Count(group, "/") - 1 {
			path = filepath.Dir(path)
			_ = unix.Rmdir(path) // refuses, rightly, while others' are in it
		}
	}
	return errors.Join(errs...)
}

// leaveTime is how long processes that have been killed may take to leave a group.
const leaveTime = 2 * time.Second

// removeTree removes a group and those below it.
func removeTree(path string) error {
	below, err := os.ReadDir(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, b := range below {
		if b.IsDir() {
			if err := removeTree(filepath.Join(path, b.Name())); err != nil {
				return err
			}
		}
	}
	if err := unix.Rmdir(path); err != nil && !errors.Is(err, unix.ENOENT) {
		return &os.PathError{Op: "rmdir", Path: path, Err: err}
	}
	return nil
}
