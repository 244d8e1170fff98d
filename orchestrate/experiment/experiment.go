// SPDX-License-Identifier: Apache-2.0

// Package experiment knows, for each experiment, what a sample is, when it ends
// and what it yields. One file per experiment.
//
// It asks the instrument through the small interface [Instrument], so that an
// experiment can be tested without a kernel, and the laboratory (networks,
// cgroups, CPUs) through their packages.
package experiment

import (
	"context"
	"fmt"
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
	// OutOfMemory: something of the guest's was killed because its memory cgroup, or
	// one above it, had reached its limit.
	OutOfMemory bool

	// Values are what the experiment measured, by name; the unit is the end of the
	// name (see [Live.Value]).
	Values map[string]float64
	// Outputs are raw outputs of programs, by name, as they were printed.
	Outputs map[string]string
	// Curves are values over time, by name.
	Curves map[string][]Point
	// Facts are what is no figure, by name.
	Facts map[string]string
	// Addresses are those that the sample was seen at, by kind, the oldest first.
	Addresses map[string][]uint64
	// Guests are the samples of the single guests, where several were started at once.
	Guests []Sample
	// Lacking are values that could not be had, and why.
	Lacking []probe.Missing

	// ReadyAfter is when it was ready, of the time that its start may take; 0: it was not.
	ReadyAfter time.Duration

	noDisk   string // why nothing is seen of the guest's disks
	usedFrom int64  // when the experiment began to use the guest, CLOCK_MONOTONIC; 0: it did not
}

// Point is a value at a time.
type Point struct {
	NS    int64 // CLOCK_MONOTONIC
	Value float64
}

// Value notes a figure.
func (s *Sample) Value(name string, v float64) {
	if s.Values == nil {
		s.Values = map[string]float64{}
	}
	s.Values[name] = v
}

// Lacks notes why a figure could not be had.
func (s *Sample) Lacks(name, reason string) {
	s.Lacking = append(s.Lacking, probe.Missing{Name: name, Reason: reason})
}

// Output keeps what a program printed.
func (s *Sample) Output(name, text string) {
	if s.Outputs == nil {
		s.Outputs = map[string]string{}
	}
	s.Outputs[name] = text
}

// Taint notes a reason to distrust the sample.
func (s *Sample) Taint(format string, args ...any) {
	s.Taints = append(s.Taints, fmt.Sprintf(format, args...))
}

// Sampler is an experiment on one cell.
type Sampler interface {
	// Sample takes one sample, whose name is unique in the run. The error is about
	// ukprobe or the host, and ends the run; what guests do is in the sample.
	Sample(ctx context.Context, name string) (Sample, error)
}
