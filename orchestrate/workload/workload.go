// SPDX-License-Identifier: Apache-2.0

// Package workload knows the load generators, one file each: which app they are for,
// how they are run and how their output is read. It does not know where they run, nor
// what becomes of the figures: that is package experiment.
package workload

import (
	"context"
	"fmt"
	"math"
	"net/netip"
	"os/exec"
	"strings"
	"time"

	"github.com/ukprobe/ukprobe/internal/askprogram"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
)

// Generator puts a service under load with a program.
type Generator interface {
	Program() Program
	// Check says what of a load it cannot do. A rate is for [FixedRate] and [Dnsperf]: the
	// others send as fast as they are answered.
	Check(w matrix.Workload) error
	// Load warms the service up and measures it. What it has no figures of is no error.
	Load(ctx context.Context, b Bench, t netip.AddrPort, w matrix.Workload) error
}

// Program is what a generator runs.
type Program struct {
	Name    string   // in PATH; "" for ukprobe itself
	Package string   // Debian's
	Version []string // arguments that make it tell its version
}

// Find fails with what to install.
func (p Program) Find() error {
	if p.Name == "" {
		return nil
	}
	if _, err := exec.LookPath(p.Name); err != nil {
		return fmt.Errorf("%s is not in PATH: apt-get install %s", p.Name, p.Package)
	}
	return nil
}

// Ask returns the line in which the program tells its version.
func (p Program) Ask(ctx context.Context) (string, error) {
	return askprogram.Version(ctx, p.Name, p.Version...)
}

// Bench runs programs beside a guest.
type Bench interface {
	// Run runs what is not measured: preparation and warm-up.
	Run(ctx context.Context, c Command) (Ran, error)
	// Measure runs what is, notes what read makes of it under names with a prefix, and
	// what it cost the guest.
	Measure(ctx context.Context, prefix string, c Command, read func(Ran) (Figures, error)) error
}

// Dir stands, in a command, for the folder with its files.
const Dir = "{dir}"

// Self as the program of a command, is ukprobe itself.
const Self = "ukprobe"

// Command is one run of a program.
type Command struct {
	Name    string // of its output
	Argv    []string
	Threads int               // that can be busy at the same time
	AtOnce  int               // requests that can be without an answer at the same time
	Files   map[string]string // content by name
	// Line, if not nil, is given each line of the output as it comes. Those of which it
	// returns true are not kept: there may be millions.
	Line func(text string) bool
}

// Ran is a run that ended well.
type Ran struct {
	Stdout, Stderr string
	Wall, CPU      time.Duration // CPU is of all its threads, in user and kernel mode
	Waited         time.Duration // of all its threads: ready to run, and on no CPU; negative if it is not known
}

// Figures are what a generator saw. What it does not tell is not there.
type Figures struct {
	Requests  uint64 // that were answered
	Errors    uint64 // requests without an answer, or with a wrong one
	Trouble   string // the errors, in the generator's words
	Duration  time.Duration
	PerSecond float64
	Latency   map[string]time.Duration // by name: mean, p50, p90, p95, p99, p999, max
	Late      map[string]time.Duration // how late requests were sent, likewise
	Missing   map[string]string        // why one of the names is not there
	Notes     []string                 // reasons to distrust the sample
	Apart     float64                  // requests per second of the run that quantiles are of, if it is another than that of all else
}

// For returns the generator for an app.
func For(app string) (Generator, bool) {
	g, ok := byApp[app]
	return g, ok
}

// byApp are the generators of experiment throughput.
var byApp = map[string]Generator{
	"nginx":     Wrk{},
	"http":      Wrk{},
	"redis":     RedisBenchmark{},
	"memcached": Memaslap{},
	"mysql":     Sysbench{},
	"dnsmasq":   Dnsperf{},
	"dns":       Dnsperf{},
}

// DNS reports whether an app answers questions for names.
func DNS(app string) bool { return app == "dnsmasq" || app == "dns" }

// HTTP reports whether an app speaks it.
func HTTP(app string) bool { return app == "nginx" || app == "http" }

// seconds is a duration in whole seconds, rounded up: most generators know no others.
func seconds(d time.Duration) int { return int(math.Ceil(d.Seconds())) }

// errNoFigures is when a program ended well and did not say what is looked for.
func errNoFigures(program, what, text string) error {
	const most = 200
	text = strings.TrimSpace(text)
	if len(text) > most {
		text = "…" + text[len(text)-most:]
	}
	return fmt.Errorf("%s's output has no %s: %q", program, what, text)
}
