// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/cilium/ebpf"

	"github.com/ukprobe/ukprobe/bpf"
	"github.com/ukprobe/ukprobe/guests/reference"
	"github.com/ukprobe/ukprobe/probe"
)

// million is a great many exits at the highest rate that there is: of guests, one per
// CPU at the same time; and of the programs alone, fired from each CPU.
type million struct {
	Guests int               `json:"guests"`
	Did    map[answer]uint64 `json:"did"`  // the guests, all together
	Seen   map[answer]uint64 `json:"seen"` // by the probe
	Lost   uint64            `json:"lost"`
	// Rate is exits per second and guest while the guests did them, by their TSC.
	Rate float64 `json:"rate"`
	// Fired is how often the hooks' programs ran in all, and FireRate how often per
	// second and CPU.
	Fired    uint64  `json:"fired"`
	FireRate float64 `json:"fire_rate"`
	Alone    *alone  `json:"alone"`
}

// alone is the pair of exit and entry by itself, run by the kernel.
type alone struct {
	Refused string  `json:"refused,omitempty"`
	CPUs    int     `json:"cpus"`
	Pairs   uint64  `json:"pairs"`   // all CPUs together
	Counted uint64  `json:"counted"` // in the histogram of handling times
	Rate    float64 `json:"rate"`    // pairs per second and CPU
}

// aloneFactor: the programs alone are fired so many times as often as guests exit, on
// each CPU.
const aloneFactor = 5

// manyExits runs both.
func (b *bench) manyExits(ctx context.Context) (m million, err error) {
	if _, err = b.calibrate(ctx); err != nil {
		return m, err
	}
	if m, err = b.manyOfGuests(ctx); err != nil {
		return m, err
	}
	m.Alone, err = b.manyAlone()
	return m, err
}

// manyOfGuests: three in four exits are CPUIDs, which KVM handles by itself.
func (b *bench) manyOfGuests(ctx context.Context) (m million, err error) {
	m.Guests = runtime.NumCPU()
	task := reference.Cmdline{PIO: b.million / 4 / m.Guests, CPUID: b.million * 3 / 4 / m.Guests}
	p, err := probe.Open(probe.Options{Slots: m.Guests})
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	observers, ts, errs := make([]*observer, m.Guests), make([]times, m.Guests), make([]error, m.Guests)
	before, begin := hits(p), time.Now()
	var all sync.WaitGroup
	for i := range observers {
		observers[i] = &observer{probe: p, watch: true, programs: probe.Programs{}, account: account{Seen: map[answer]uint64{}, Lost: new(uint64)}}
		all.Go(func() { ts[i], errs[i] = b.boot(ctx, task, observers[i]) })
	}
	all.Wait()
	m.Fired = hits(p) - before
	m.FireRate = float64(m.Fired) / time.Since(begin).Seconds() / float64(runtime.NumCPU())
	m.Did, m.Seen = map[answer]uint64{}, map[answer]uint64{}
	for i, o := range observers {
		for a, n := range known([]workload{{task: task}}) {
			m.Did[a] += n
		}
		for a, n := range o.account.Seen {
			m.Seen[a] += n
		}
		m.Lost += *o.account.Lost
		m.Rate += float64(task.PIO+task.CPUID) / (float64(ts[i].Ticks) / b.ticksPerNS / 1e9) / float64(m.Guests)
	}
	return m, errors.Join(errs...)
}

// hits is how often all hooks have fired.
func hits(p *probe.Probe) uint64 {
	var n uint64
	for _, h := range p.Hooks() {
		n += h.Hits
	}
	return n
}

// manyAlone fires the pair from one thread per CPU, each a vCPU of the watched guest.
func (b *bench) manyAlone() (_ *alone, err error) {
	bd, err := b.newBed()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, bd.close()) }()
	prog, err := bd.load(bpf.HistTestProgTestExitPair, false)
	if err != nil {
		return &alone{Refused: fmt.Sprintf("%v: needs Linux 6.10", errors.Unwrap(err))}, nil
	}
	defer func() { err = errors.Join(err, prog.Close()) }()
	if err := bd.reset(true, false); err != nil {
		return nil, err
	}
	a, pairs := &alone{CPUs: runtime.NumCPU()}, aloneFactor*b.million
	errs := make([]error, a.CPUs)
	rates := make([]float64, a.CPUs)
	var all sync.WaitGroup
	for i := range a.CPUs {
		all.Go(func() { rates[i], errs[i] = fire(prog, pairs) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("run %s: %w", bpf.HistTestProgTestExitPair, err)
	}
	for _, r := range rates {
		a.Rate += r / float64(a.CPUs)
	}
	a.Pairs = uint64(pairs * a.CPUs)
	a.Counted, err = bd.observed(bpf.KVMMapExitHist)
	return a, err
}

// fire runs the program from a thread of its own and returns the rate.
func fire(prog *ebpf.Program, pairs int) (float64, error) {
	runtime.LockOSThread() // the thread is the vCPU
	defer runtime.UnlockOSThread()
	begin := time.Now()
	ret, _, err := prog.Benchmark(make([]byte, 64), pairs, nil)
	if err == nil && ret != 0 {
		err = fmt.Errorf("it returned %d", ret)
	}
	return float64(pairs) / time.Since(begin).Seconds(), err
}

// observed adds up the observations in a map of histograms: the first word of each.
func (bd *bed) observed(table string) (uint64, error) {
	var sum uint64
	m := bd.maps[table]
	for key := range m.MaxEntries() {
		var perCPU []bpf.KVMHist
		if err := m.Lookup(key, &perCPU); err != nil {
			return 0, fmt.Errorf("read BPF map %s: %w", table, err)
		}
		for i := range perCPU {
			sum += perCPU[i].Count
		}
	}
	return sum, nil
}
