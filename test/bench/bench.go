// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/ukprobe/ukprobe/orchestrate/cgroup"
	"github.com/ukprobe/ukprobe/orchestrate/journal"
	"github.com/ukprobe/ukprobe/orchestrate/overhead/rig"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/probe"
)

// options are the command line's.
type options struct {
	only                               []string // sections; none: all
	conditions                         []string // none: all
	ownRounds, toolRounds, eventRounds int
	pio, cpuid                         int // per guest, of ukprobe's own slowdown
	toolPIO, toolCPUID                 int // per guest, of the comparison with other tools
	million                            int // exits
	seed                               uint64
	wait                               time.Duration // for other tracing programs to go
	crowded                            bool          // do not wait for them, only count them
	limit                              time.Duration // of a section of rounds: no round is begun after it
}

func (o *options) check() error {
	if o.ownRounds < 1 || o.toolRounds < 1 || o.eventRounds < 1 || o.wait < 0 || o.limit < 0 {
		return fmt.Errorf("rounds %d, tool-rounds %d, event-rounds %d, wait %v, limit %v: rounds must be at least 1, times not negative: leave a section out with --only", o.ownRounds, o.toolRounds, o.eventRounds, o.wait, o.limit)
	}
	for _, n := range []int{o.pio, o.cpuid, o.toolPIO, o.toolCPUID, o.million} {
		if n < 1 {
			return fmt.Errorf("%d port writes, CPUIDs or exits per guest: must be at least 1", n)
		}
	}
	for _, name := range o.only {
		if !slices.ContainsFunc(sections, func(s section) bool { return s.name == name }) {
			return fmt.Errorf("section %q: not known: use some of %s", name, sectionNames())
		}
	}
	if err := checkNames(o.conditions); err != nil {
		return err
	}
	if o.seed == 0 {
		o.seed = rand.Uint64() | 1
	}
	return nil
}

// bench is what a run has set up on the host; all of it is in the journal.
type bench struct {
	options
	rand     *rand.Rand
	runID    string
	journal  *journal.Journal
	cgroups  cgroup.Hierarchy
	workDir  string
	guest    *rig.Guest
	hardware bool           // behind KVM; else it emulates instructions
	isa      probe.ISA      // whose exits KVM has; "" if it only emulates and has none
	foreign  probe.Programs // tracing programs of others that stay: the baseline
	guests   atomic.Int64   // started so far, for names
	// ticksPerNS of the guests' TSC, once measured.
	ticksPerNS float64
}

// openBench finds what is needed and says what is missing: root, /dev/kvm, QEMU,
// cgroup v2.
func openBench(o options) (_ *bench, err error) {
	b := &bench{options: o, rand: rand.New(rand.NewPCG(o.seed, 1)), runID: "bench-" + strconv.Itoa(os.Getpid())}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	if os.Geteuid() != 0 {
		return nil, errors.New("the probes need BPF: run as root")
	}
	h := platform.DetectHost()
	if !h.KVM {
		return nil, fmt.Errorf("the reference guest must run under KVM, or there is nothing to probe: %s", h.KVMReason)
	}
	if b.hardware = h.Hardware; b.hardware {
		b.isa = probe.HostISA()
	}
	if b.cgroups, err = cgroup.Find(); err != nil {
		return nil, err
	}
	if b.journal, err = journal.Open(journal.DefaultDir, b.runID); err != nil {
		return nil, err
	}
	if err := b.makeGuest(); err != nil {
		return nil, err
	}
	return b, nil
}

// makeGuest gives the reference guest a folder of its own.
func (b *bench) makeGuest() error {
	dir, err := os.MkdirTemp("", "ukprobe-"+b.runID+"-")
	if err != nil {
		return fmt.Errorf("make a work folder: %w", err)
	}
	b.workDir = dir
	if err := b.journal.Record(journal.Entry{Kind: journal.KindTempDir, Name: dir}); err != nil {
		return err
	}
	b.guest, err = rig.NewGuest(context.Background(), dir, b.hardware, nil)
	return err
}

func (b *bench) close() error {
	var errs []error
	if b.workDir != "" {
		errs = append(errs, os.RemoveAll(b.workDir))
	}
	if b.journal != nil {
		errs = append(errs, b.journal.Forget(journal.Entry{Kind: journal.KindTempDir, Name: b.workDir}), b.journal.Close())
	}
	return errors.Join(errs...)
}

// pause is a sleep that an interrupt ends.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return fmt.Errorf("interrupted: %w", ctx.Err())
	case <-time.After(d):
		return nil
	}
}
