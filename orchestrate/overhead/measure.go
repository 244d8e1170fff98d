// SPDX-License-Identifier: Apache-2.0

package overhead

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/ukprobe/ukprobe/internal/paired"
	"github.com/ukprobe/ukprobe/orchestrate/cgroup"
	"github.com/ukprobe/ukprobe/orchestrate/cpu"
	"github.com/ukprobe/ukprobe/orchestrate/journal"
	"github.com/ukprobe/ukprobe/orchestrate/overhead/rig"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/probe"
	"github.com/ukprobe/ukprobe/results"
)

// Options is what a measurement is told.
type Options struct {
	Rounds int          // of the A/B; at least 1
	Attach []probe.Rung // rungs to measure one by one; none or Auto: all
	Seed   uint64       // of the order and of the bootstrap

	JournalDir string // of host changes, for clean
	RunID      string
	Version    string // of ukprobe

	// Progress, if not nil, is told of each step done, of how many, and what comes.
	Progress func(done, all int, next string)
}

// Report is a measurement: the figure, and every sample behind it.
type Report struct {
	Host       Host             `json:"host"`
	Version    string           `json:"version"`
	Overhead   results.Overhead `json:"overhead"`
	TicksPerNs float64          `json:"ticks_per_ns"` // of the guests' TSC
	// Samples by workload, condition and round.
	Samples map[string]map[string][]rig.Times `json:"samples"`
}

// measurement is what a measurement has set up on the host; all of it is in the
// journal.
type measurement struct {
	Options
	rand    *rand.Rand
	journal *journal.Journal
	cgroups cgroup.Hierarchy
	guest   *rig.Guest
	host    Host
	groups  int // made so far, for names

	baseline probe.Programs // tracing programs of others that stay
	ours     probe.Programs // of the present condition
	patience time.Duration  // left
	steps    int
	allSteps int
}

// Measure runs the rounds. It takes the machine to itself: what else runs on it
// ends up in the figures.
//
// Errors: no root, no /dev/kvm, no QEMU, no cgroup v2; a guest that fails; the
// context's end. The host is put back before it returns.
func Measure(ctx context.Context, o Options) (_ *Report, err error) {
	m, err := open(ctx, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.close()) }()
	r, err := m.measure(ctx)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return r, err
}

// open finds what is needed and says what is missing.
func open(ctx context.Context, o Options) (_ *measurement, err error) {
	if o.Rounds < 1 {
		return nil, fmt.Errorf("overhead: %d rounds: at least 1", o.Rounds)
	}
	if os.Geteuid() != 0 {
		return nil, errors.New("overhead: not root: BPF programs and cgroups need it: run with sudo")
	}
	h := platform.DetectHost()
	if !h.KVM {
		return nil, fmt.Errorf("overhead: the reference guest must run under KVM, or there is nothing to probe: %s", h.KVMReason)
	}
	m := &measurement{Options: o, rand: rand.New(rand.NewPCG(o.Seed, 1)), host: HostNow(h), patience: patience}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.close())
		}
	}()
	if m.cgroups, err = cgroup.Find(); err != nil {
		return nil, err
	}
	cpus, err := cpu.MakePlan(1)
	if err != nil {
		return nil, err
	}
	if m.journal, err = journal.Open(o.JournalDir, o.RunID); err != nil {
		return nil, err
	}
	return m, m.makeGuest(ctx, cpus.VMM)
}

// makeGuest gives the reference guest a folder of its own.
func (m *measurement) makeGuest(ctx context.Context, cpus []int) (err error) {
	dir, err := filepath.Abs(filepath.Join(os.TempDir(), "ukprobe-"+m.RunID))
	if err != nil {
		return err
	}
	if err := m.journal.Record(journal.Entry{Kind: journal.KindTempDir, Name: dir}); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("make a work folder: %w", err)
	}
	m.guest, err = rig.NewGuest(ctx, dir, m.host.KVMHardware, cpus)
	return err
}

// close puts the host back.
func (m *measurement) close() error {
	if m.journal == nil {
		return nil
	}
	report, err := m.journal.Rollback(context.Background(), map[journal.Kind]journal.Undoer{
		journal.KindCgroup: cgroup.Undo, journal.KindTempDir: journal.UndoTempDir,
	})
	return errors.Join(err, report.Err(), m.journal.Close())
}

// measure is the whole measurement: what can be had here, the TSC's rate, a round
// that warms up, the rounds, the programs' own times.
func (m *measurement) measure(ctx context.Context) (*Report, error) {
	now := time.Now().UTC().Round(time.Second)
	r := &Report{Host: m.host, Version: m.Version, Samples: map[string]map[string][]rig.Times{}}
	r.Overhead = results.Overhead{Measured: &now, Seed: m.Seed}
	if err := m.settle(ctx); err != nil {
		return nil, err
	}
	r.Overhead.Foreign = len(m.baseline)
	have, info, err := available(conditions(m.Attach))
	if err != nil {
		return nil, err
	}
	r.Overhead.Conditions = info
	m.allSteps = 1 + (m.Rounds+1)*len(have) + len(singleRungs(have))
	m.tell("rate of the guest's TSC")
	if r.TicksPerNs, err = m.calibrate(ctx); err != nil {
		return nil, err
	}
	m.steps++
	if _, _, err := m.round(ctx, have); err != nil { // warms the caches up
		return nil, err
	}
	for r.Overhead.Rounds < m.Rounds {
		got, disturbed, err := m.round(ctx, have)
		if err != nil {
			return nil, err
		}
		r.Overhead.Rounds++
		r.Overhead.Disturbed += disturbed
		r.add(got)
	}
	if r.Overhead.Programs, err = m.programs(ctx, have); err != nil {
		return nil, err
	}
	r.compare()
	return r, nil
}

func (m *measurement) tell(next string) {
	if m.Progress != nil {
		m.Progress(m.steps, m.allSteps, next)
	}
}

// sampled is one round: times by workload and condition.
type sampled map[string]map[string]rig.Times

func (r *Report) add(round sampled) {
	for w, byCondition := range round {
		if r.Samples[w] == nil {
			r.Samples[w] = map[string][]rig.Times{}
		}
		for c, t := range byCondition {
			r.Samples[w][c] = append(r.Samples[w][c], t)
		}
	}
}

// compare makes the costs from the samples.
func (r *Report) compare() {
	for i := range r.Overhead.Conditions {
		c := &r.Overhead.Conditions[i]
		if c.Missing != "" {
			continue
		}
		c.Cost = map[string]results.OverheadCost{}
		for _, w := range workloads() {
			off, on := r.values(w, results.OverheadNone), r.values(w, c.Name)
			if c.Name == results.OverheadNone {
				c.Cost[w.name] = results.OverheadCost{MedianNs: paired.Median(off)}
				continue
			}
			c.Cost[w.name] = compare(off, on, rand.New(rand.NewPCG(r.Overhead.Seed, 2)))
		}
	}
}

// values are a condition's times of a workload by round, in ns.
func (r *Report) values(w workload, condition string) []float64 {
	var out []float64
	for _, t := range r.Samples[w.name][condition] {
		out = append(out, w.ns(t, r.TicksPerNs))
	}
	return out
}
