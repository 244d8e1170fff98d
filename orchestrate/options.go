// SPDX-License-Identifier: Apache-2.0

package orchestrate

import (
	"time"

	"github.com/ukprobe/ukprobe/internal/only"
	"github.com/ukprobe/ukprobe/orchestrate/catalogue"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/probe"
	"github.com/ukprobe/ukprobe/results"
)

// Options is what a run is told. Zero values of Samples and so on leave the
// matrix's own settings.
type Options struct {
	Matrix *matrix.Matrix
	Only   []only.Selector
	Set    []matrix.Override // of every cell

	Samples int           // > 0: of every cell
	Warmup  *int          // not nil: of every cell
	Timeout time.Duration // > 0: of every sample
	Accel   string        // not "": of every cell
	Probes  string        // not "": of every cell: boot, full or none
	Seed    uint64        // of the order of the samples
	Attach  probe.Rung    // the rung wanted
	Strict  bool          // no other rung
	Schema  *int          // of the histograms; nil: probe.DefaultSchema

	Out        string            // results folder, made by the run
	CacheDir   string            // of built images
	Images     *catalogue.Images // may be nil
	JournalDir string            // of host changes, for clean
	StateDir   string            // where `ukprobe overhead` keeps its figure
	Version    string            // of ukprobe
	Argv       []string
	Asked      results.Asked // what is stored of all this, to resume the run

	// Resume is the store of a run to go on with; all the above is as it was then. The run
	// closes it. With Force it goes on although the host, or an image, is another.
	Resume *results.Store
	Force  bool

	Observer Observer
}

// Progress says where a run is.
type Progress struct {
	Step, Steps int    // of all samples and warm-ups, from 1
	Warmups     int    // of Steps
	Estimated   bool   // Steps is: a cell with a stopping rule is still in
	Index       int    // of the cell in the results
	Cells       int    // that are run
	CellsDone   int    // of them, with all their samples
	Cell        string // its ID
	Accel       string
	Experiment  string
	Sample      int // of the cell, from 1
	Samples     int
	AtMost      int // samples, if a stopping rule decides; else 0
	Warmup      bool
	Left        time.Duration // estimated; negative if unknown yet
	// Apart says that the guest runs on other CPUs than ukprobe, so that what an observer
	// does while it runs takes nothing away from it.
	Apart bool
}

// Observer is told what a run does: of each sample, also of one that is taken again, that
// it begins and that it has ended, unless the run ends with it. Its methods are called from
// one goroutine.
type Observer interface {
	Log(format string, args ...any)
	Begin(p Progress)
	End(p Progress, s results.Sample)
}

// Watcher is an Observer that is also told how a guest's boot goes on: what has been seen
// so far, with every event and every 20 ms. Seen is called by the goroutines that wait for
// guests, which measure: it must return at once, and wake nobody up.
type Watcher interface {
	Observer
	Seen(t probe.Timeline)
}

// Quiet is the Observer that ignores everything.
type Quiet struct{}

// Log implements Observer.
func (Quiet) Log(string, ...any) {}

// Begin implements Observer.
func (Quiet) Begin(Progress) {}

// End implements Observer.
func (Quiet) End(Progress, results.Sample) {}
