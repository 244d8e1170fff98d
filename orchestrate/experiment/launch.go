// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/probe"
)

// unpack makes the sample's own folder, if the launch wants one, writes its files
// and copies there and puts the folder's path into the command. remove takes the folder
// away. An error that wraps errOriginal is about a file that was to be copied, one that
// wraps ctx's says that it was interrupted, others are about the folder.
func unpack(ctx context.Context, l *platform.Launch, dir string) (remove func() error, err error) {
	inDir := func(s string) bool {
		return strings.Contains(s, platform.Dir) || strings.Contains(s, platform.DirOption)
	}
	if len(l.Files)+len(l.Copies) == 0 && l.Scratch == nil && l.Drive == nil && l.Start == nil && !slices.ContainsFunc(slices.Concat(l.Argv, l.Env, []string{l.Chroot}), inDir) {
		return func() error { return nil }, nil
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the sample's folder: %w", err)
	}
	for name, data := range l.Files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return nil, errors.Join(fmt.Errorf("write a file of the sample: %w", err), os.RemoveAll(dir))
		}
	}
	for name, from := range l.Copies {
		if err := copyTo(ctx, filepath.Join(dir, name), from); err != nil {
			return nil, errors.Join(fmt.Errorf("copy %s for the sample: %w", from, err), os.RemoveAll(dir))
		}
	}
	if s := l.Scratch; s != nil {
		if err := fill(ctx, filepath.Join(dir, s.Name), s.Bytes); err != nil {
			return nil, errors.Join(fmt.Errorf("make the scratch disk of %d bytes: %w", s.Bytes, err), os.RemoveAll(dir))
		}
	}
	l.Argv, l.Env = slices.Clone(l.Argv), slices.Clone(l.Env)
	path := strings.NewReplacer(platform.Dir, dir, platform.DirOption, strings.ReplaceAll(dir, ",", ",,"))
	for _, words := range [][]string{l.Argv, l.Env} {
		for i := range words {
			words[i] = path.Replace(words[i])
		}
	}
	l.Chroot = path.Replace(l.Chroot)
	return func() error { return os.RemoveAll(dir) }, nil
}

// notes are events that ukprobe saw itself, beside the kernel's.
type notes struct {
	mu     sync.Mutex
	events []probe.Event
}

// add notes that something happened now.
func (n *notes) add(name string) {
	e := userEvent(name, monotonicNs())
	n.mu.Lock()
	defer n.mu.Unlock()
	n.events = append(n.events, e)
}

// into puts what has been noted since the last call into a timeline, in the order of
// the times.
func (n *notes) into(t *probe.Timeline) {
	n.mu.Lock()
	defer n.mu.Unlock()
	t.Events = append(t.Events, n.events...)
	n.events = nil
	slices.SortStableFunc(t.Events, func(a, b probe.Event) int { return int(max(-1, min(1, a.NS-b.NS))) })
}

// with is a timeline together with what has been noted and not been put into one.
func (n *notes) with(t probe.Timeline) probe.Timeline {
	n.mu.Lock()
	seen := notes{events: slices.Clone(n.events)}
	n.mu.Unlock()
	t.Events = slices.Clone(t.Events)
	seen.into(&t)
	return t
}

// driving is an API that is being talked to.
type driving struct {
	done chan struct{}
	err  error // valid after done
}

// drive talks to a started VMM, if its launch wants that.
func drive(ctx context.Context, l platform.Launch, d platform.Driven) *driving {
	out := &driving{done: make(chan struct{})}
	if l.Drive == nil {
		close(out.done)
		return out
	}
	go func() {
		defer close(out.done)
		out.err = l.Drive(ctx, d)
	}()
	return out
}

// failed is the error with which the driving has ended, nil while it goes on.
func (d *driving) failed() error {
	select {
	case <-d.done:
		return d.err
	default:
		return nil
	}
}
