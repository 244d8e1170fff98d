// SPDX-License-Identifier: Apache-2.0

// Package experiment knows, for each experiment, what a sample is, when it ends
// and what it yields. One file per experiment.
//
// It asks the instrument through the small interface [Instrument], so that an
// experiment can be tested without a kernel, and the laboratory (networks,
// cgroups, CPUs) through their packages.
package experiment

import (
	"time"

	"github.com/ukprobe/ukprobe/orchestrate/client"
	"github.com/ukprobe/ukprobe/probe"
)

// Instrument is what an experiment needs of package probe.
type Instrument interface {
	Watch(probe.Target) (Watch, error)
}

// Watch is one guest being watched; *probe.Watch is one.
type Watch interface {
	// WatchDevice is called in the network namespace of the device.
	WatchDevice(ifindex int) error
	Progress() <-chan struct{}
	Drain()
	Events() probe.Timeline // without what is missing
	Timeline() probe.Timeline
	Lines() []probe.Line
	Counts() (probe.Counts, error)
	Close() error
}

// Kernel is the Instrument that is a real probe. Tracked, if not nil, is told of
// every watch and called back before it is closed.
type Kernel struct {
	Probe   *probe.Probe
	Tracked func(*probe.Watch) (done func() error)
}

// Watch implements Instrument.
func (k Kernel) Watch(t probe.Target) (Watch, error) {
	w, err := k.Probe.Watch(t)
	if err != nil {
		return nil, err
	}
	if k.Tracked == nil {
		return w, nil
	}
	return trackedWatch{Watch: w, done: k.Tracked(w)}, nil
}

type trackedWatch struct {
	*probe.Watch
	done func() error
}

// Close tells the tracker first: afterwards the counts are gone.
func (t trackedWatch) Close() error {
	_ = t.done()
	return t.Watch.Close()
}

// The statuses of a sample.
const (
	OK          = "ok"
	Failed      = "failed"
	Timeout     = "timeout"
	Interrupted = "interrupted"
)

// Sample is what one repetition yielded.
type Sample struct {
	Started  time.Time
	Status   string
	Reason   string // why not ok
	Taints   []string
	Timeline probe.Timeline
	Counts   probe.Counts
	Lines    []probe.Line
	Stderr   string        // tail
	Argv     []string      // what was started
	Client   client.Result // of the client, if the app serves
	Claims   []Verdict     // of experiment timing-validation
}
