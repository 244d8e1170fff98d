// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ukprobe/ukprobe/orchestrate/cgroup"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/orchestrate/workload"
)

// mostErrors is the share of requests without a good answer from which on a sample is
// not one of throughput: an error is often faster than an answer.
const mostErrors = 0.01

// busy is the share of its CPUs' time from which on a client may be what limits the
// throughput.
const busy = 0.95

// queueing is the share of the time, of each of its CPUs, from which on a client that was
// ready to run and had no CPU makes latencies longer.
const queueing = 0.05

// UnderLoad puts the service under load: experiments throughput and http.
func UnderLoad(g workload.Generator, w matrix.Workload, timeout time.Duration) *During {
	return &During{Limit: loadLimit(w, timeout), Do: func(ctx context.Context, l *Live) error { return l.Load(ctx, g, w) }}
}

// loadLimit is how long a load may take: some generators run twice, and before that
// there is what they prepare.
func loadLimit(w matrix.Workload, timeout time.Duration) time.Duration {
	d := 3*(w.Warmup+w.Duration) + timeout
	if w.Requests > 0 {
		d += timeout // nobody knows
	}
	return d
}

// Load puts the guest's service under a load and notes the figures.
func (l *Live) Load(ctx context.Context, g workload.Generator, w matrix.Workload) (err error) {
	svc := l.Boot.Image.Service
	if svc == nil || !l.Addr.IsValid() {
		return errors.New("the guest has no service on a network")
	}
	b, err := l.newBench()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	return g.Load(ctx, b, netip.AddrPortFrom(l.Addr, svc.Port), w)
}

// bench runs clients beside one guest: in the network namespace of the guests, on the
// client's CPUs, in a cgroup that is not the guest's.
type bench struct {
	live  *Live
	group *cgroup.Group
	dir   string // of the clients' files

}

func (l *Live) newBench() (*bench, error) {
	b := l.Boot
	name := filepath.Base(l.Group.Path) + "-client"
	out := &bench{live: l, dir: filepath.Join(b.WorkDir, name)}
	if err := l.lengthenQueue(); err != nil {
		return nil, err
	}
	if err := os.Mkdir(out.dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the client's folder: %w", err)
	}
	var err error
	if out.group, err = b.Cgroups.New(b.Journal, b.RunID, name); err != nil {
		return nil, errors.Join(err, os.RemoveAll(out.dir))
	}
	return out, nil
}

func (b *bench) close() error {
	return errors.Join(b.live.shortenQueue(), b.group.Close(), os.RemoveAll(b.dir))
}

// Run implements workload.Bench.
func (b *bench) Run(ctx context.Context, c workload.Command) (workload.Ran, error) {
	argv := slices.Clone(c.Argv)
	for i := range argv {
		argv[i] = strings.ReplaceAll(argv[i], workload.Dir, b.dir)
	}
	for name, text := range c.Files {
		if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o600); err != nil {
			return workload.Ran{}, fmt.Errorf("write a file of the client: %w", err)
		}
	}
	r, err := runClient(ctx, b.live.Boot.Lab.Do, b.group, b.live.Boot.CPUs.Client, argv, c.Line)
	if text := joinOutput(r); text != "" {
		b.live.Sample.Output(c.Name, text)
	}
	return r, err
}

func joinOutput(r workload.Ran) string {
	if r.Stderr == "" {
		return r.Stdout
	}
	return r.Stdout + "\n--- stderr ---\n" + r.Stderr
}

// Measure implements workload.Bench.
func (b *bench) Measure(ctx context.Context, prefix string, c workload.Command, read func(workload.Ran) (workload.Figures, error)) error {
	before, err := b.live.meter()
	if err != nil {
		return err
	}
	r, err := b.Run(ctx, c)
	if err != nil {
		return err
	}
	after, err := b.live.meter()
	if err != nil {
		return err
	}
	f, err := read(r)
	if err != nil {
		return err
	}
	f.Verify(c)
	b.live.figures(prefix, f)
	b.saturation(prefix, c, r)
	b.live.costs(prefix, before, after, f.Requests)
	b.live.hostNetwork(prefix, f)
	return judge(c.Name, f)
}

// judge fails a sample in which the service did not do what it was asked to.
func judge(client string, f workload.Figures) error {
	switch {
	case f.Requests == 0:
		return fmt.Errorf("%s: no request was answered: %s", client, cmp.Or(f.Trouble, "no errors either"))
	case float64(f.Errors) > mostErrors*float64(f.Requests):
		return fmt.Errorf("%s: %d errors beside %d good answers: %s", client, f.Errors, f.Requests, f.Trouble)
	}
	return nil
}

// figures notes what the client saw.
func (l *Live) figures(prefix string, f workload.Figures) {
	l.Value(prefix+"requests_per_second", f.PerSecond)
	l.Value(prefix+"requests", float64(f.Requests))
	l.Value(prefix+"errors", float64(f.Errors))
	l.Value(prefix+"load_ns", float64(f.Duration.Nanoseconds()))
	for name, d := range f.Latency {
		l.Value(prefix+"latency_"+name+"_ns", float64(d.Nanoseconds()))
	}
	if f.Apart > 0 {
		l.Value(prefix+"quantiles_requests_per_second", f.Apart)
	}
	for name, d := range f.Late {
		l.Value(prefix+"late_"+name+"_ns", float64(d.Nanoseconds()))
	}
	for _, name := range slices.Sorted(maps.Keys(f.Missing)) {
		l.Sample.Lacks(prefix+"latency_"+name+"_ns", f.Missing[name])
	}
	if f.Errors > 0 {
		l.Sample.Taint("%serrors: %s", prefix, f.Trouble)
	}
	for _, note := range f.Notes {
		l.Sample.Taint("%s", note)
	}
}

// saturation notes how busy the client was, and how long it waited for a CPU.
func (b *bench) saturation(prefix string, c workload.Command, r workload.Ran) {
	cpus := len(b.live.Boot.CPUs.Client)
	threads := max(c.Threads, 1)
	if cpus > 0 {
		threads = min(threads, cpus)
	}
	if r.Wall <= 0 {
		return
	}
	share := r.CPU.Seconds() / r.Wall.Seconds() / float64(threads)
	b.live.Value(prefix+"client_busy_percent", 100*share)
	if name := prefix + "client_waited_percent"; r.Waited < 0 {
		b.live.Sample.Lacks(name, "the kernel does not tell it (/proc/PID/task/TID/schedstat)")
	} else {
		waited := r.Waited.Seconds() / r.Wall.Seconds() / float64(threads)
		b.live.Value(name, 100*waited)
		if waited >= queueing {
			b.live.Sample.Taint("client: %s waited for a CPU in %.0f %% of the time: what it tells as latency is partly that", c.Name, 100*waited)
		}
	}
	if share >= busy {
		b.live.Sample.Taint("client: %s used %.0f %% of its %d CPUs' time: it may be what limits the throughput", c.Name, 100*share, threads)
	}
}

// isWired reports whether the guest's device is one of the lab's namespace.
func (l *Live) isWired() bool { return l.nic.Ifindex != 0 && l.Boot.Platform.Wire() != platform.NoWire }
