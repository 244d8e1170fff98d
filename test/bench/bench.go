// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"time"

	"github.com/ukprobe/ukprobe/orchestrate/cgroup"
	"github.com/ukprobe/ukprobe/orchestrate/journal"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/orchestrate/system"
)

// options are the command line's.
type options struct {
	rounds, eventRounds int
	pio, cpuid          int
	only                []string
	seed                uint64
	wait                time.Duration // for other tracing programs to go
}

func (o *options) check() error {
	if o.rounds < 0 || o.eventRounds < 0 || o.pio < 1 || o.cpuid < 1 || o.wait < 0 {
		return fmt.Errorf("rounds %d, event-rounds %d, pio %d, cpuid %d: wait %v: rounds and wait must not be negative, the counts at least 1", o.rounds, o.eventRounds, o.pio, o.cpuid, o.wait)
	}
	for _, name := range o.only {
		if _, err := findCondition(name); err != nil {
			return err
		}
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
	image    system.Boot
	platform platform.Platform
	hardware bool // behind KVM; else it emulates instructions
	foreign  foreign
	guests   int // started so far, for names
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
	b.hardware = h.Hardware
	if b.platform, err = platform.Find("qemumicrovm"); err != nil {
		return nil, err
	}
	if b.cgroups, err = cgroup.Find(); err != nil {
		return nil, err
	}
	if b.journal, err = journal.Open(journal.DefaultDir, b.runID); err != nil {
		return nil, err
	}
	if err := b.makeImage(); err != nil {
		return nil, err
	}
	return b, nil
}

// makeImage writes the reference guest into a folder of its own.
func (b *bench) makeImage() error {
	dir, err := os.MkdirTemp("", "ukprobe-"+b.runID+"-")
	if err != nil {
		return fmt.Errorf("make a work folder: %w", err)
	}
	b.workDir = dir
	if err := b.journal.Record(journal.Entry{Kind: journal.KindTempDir, Name: dir}); err != nil {
		return err
	}
	guest, err := system.Find(system.All(system.Env{WorkDir: dir}), "reference")
	if err != nil {
		return err
	}
	b.image, err = guest.Prepare(context.Background(), system.Hello, matrix.Settings{})
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
