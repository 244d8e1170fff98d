// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"time"

	"github.com/ukprobe/ukprobe/orchestrate/matrix"
)

// Sysbench is sysbench, for mysql: its test oltp_point_select, in which a transaction
// is one query for one row by its key, so that a request is a query. Each of its
// threads has one connection.
type Sysbench struct{}

//go:embed create.lua
var createScript string

// tableRows is sysbench's own default.
const tableRows = 10_000

// Program implements Generator.
func (Sysbench) Program() Program { return Program{"sysbench", "sysbench", []string{"--version"}} }

// Check implements Generator.
func (Sysbench) Check(w matrix.Workload) error {
	if w.Pipeline > 1 {
		return errors.New("sysbench sends one query at a time on each connection: load.pipeline has to be 1")
	}
	return nil
}

// Load implements Generator.
func (g Sysbench) Load(ctx context.Context, b Bench, t netip.AddrPort, w matrix.Workload) error {
	create := g.command("sysbench-create", t, w, Dir+"/create.lua", "information_schema", "prepare")
	create.Files = map[string]string{"create.lua": createScript}
	if _, err := b.Run(ctx, create); err != nil {
		return err
	}
	if _, err := b.Run(ctx, g.command("sysbench-prepare", t, w, "oltp_point_select", "sbtest", "prepare")); err != nil {
		return err
	}
	if w.Warmup > 0 {
		if _, err := b.Run(ctx, g.run("sysbench-warmup", t, w, timed(w.Warmup))); err != nil {
			return err
		}
	}
	amount := timed(w.Duration)
	if w.Requests > 0 {
		amount = []string{"--time=0", "--events=" + strconv.Itoa(w.Requests)}
	}
	return b.Measure(ctx, "", g.run("sysbench", t, w, amount), func(r Ran) (Figures, error) { return readSysbench(r.Stdout) })
}

func timed(d time.Duration) []string { return []string{fmt.Sprintf("--time=%d", seconds(d))} }

func (g Sysbench) run(name string, t netip.AddrPort, w matrix.Workload, amount []string) Command {
	return g.command(name, t, w, "oltp_point_select", "sbtest", append(amount, "--histogram=on", "--percentile=99", "run")...)
}

func (Sysbench) command(name string, t netip.AddrPort, w matrix.Workload, script, database string, more ...string) Command {
	argv := []string{"sysbench", script, "--db-driver=mysql", "--mysql-host=" + t.Addr().String(), fmt.Sprintf("--mysql-port=%d", t.Port()),
		"--mysql-user=root", "--mysql-db=" + database}
	if script[0] != Dir[0] { // options of sysbench's own scripts
		argv = append(argv, "--tables=1", fmt.Sprintf("--table-size=%d", tableRows))
	}
	argv = append(argv, fmt.Sprintf("--threads=%d", w.Connections))
	return Command{Name: name, Argv: append(argv, more...), Threads: w.Connections, AtOnce: w.Connections}
}

var (
	sysbenchQueries = regexp.MustCompile(`(?m)^ +queries: +(\d+) +\(([0-9.]+) per sec\.\)$`)
	sysbenchTook    = regexp.MustCompile(`(?m)^ +total time: +([0-9.]+)s$`)
	sysbenchErrors  = regexp.MustCompile(`(?m)^ +(ignored errors|reconnects): +(\d+) +\(`)
	sysbenchTimes   = regexp.MustCompile(`(?m)^ +(avg|max|99th percentile): +([0-9.]+)$`)
	sysbenchBucket  = regexp.MustCompile(`(?m)^ *([0-9.]+) \|\**[ ]+(\d+)$`)
)

// readSysbench reads the report and the histogram (sysbench 1.0.20, src/sysbench.c and
// sb_histogram.c).
func readSysbench(text string) (f Figures, err error) {
	queries, took := sysbenchQueries.FindStringSubmatch(text), sysbenchTook.FindStringSubmatch(text)
	if queries == nil || took == nil {
		return f, errNoFigures("sysbench", "number of queries", text)
	}
	n, err1 := strconv.ParseUint(queries[1], 10, 62)
	perSecond, err2 := strconv.ParseFloat(queries[2], 64)
	d, err3 := durationOf(took[1], time.Second)
	if err := errors.Join(err1, err2, err3); err != nil {
		return f, fmt.Errorf("sysbench's output: %w", err)
	}
	f = Figures{Requests: n, PerSecond: perSecond, Duration: d, Latency: map[string]time.Duration{}}
	for _, m := range sysbenchErrors.FindAllStringSubmatch(text, -1) {
		k, err := strconv.ParseUint(m[2], 10, 62)
		if err != nil {
			return f, fmt.Errorf("sysbench's output: %w", err)
		}
		if k > 0 {
			f.Errors += k
			f.Trouble += m[2] + " " + m[1] + " "
		}
	}
	names := map[string]string{"avg": "mean", "max": "max", "99th percentile": "p99"}
	for _, m := range sysbenchTimes.FindAllStringSubmatch(text, -1) {
		if f.Latency[names[m[1]]], err = durationOf(m[2], time.Millisecond); err != nil {
			return f, fmt.Errorf("sysbench's output: %w", err)
		}
	}
	return f, f.sysbenchPercentiles(text)
}

// sysbenchPercentiles reads the histogram, whose buckets are 1.8 % wide.
func (f *Figures) sysbenchPercentiles(text string) error {
	type bucket struct {
		d time.Duration
		n uint64
	}
	var buckets []bucket
	total := uint64(0)
	for _, m := range sysbenchBucket.FindAllStringSubmatch(text, -1) {
		d, err1 := durationOf(m[1], time.Millisecond)
		n, err2 := strconv.ParseUint(m[2], 10, 50)
		if err := errors.Join(err1, err2); err != nil {
			return fmt.Errorf("sysbench's histogram: %w", err)
		}
		buckets = append(buckets, bucket{d, n})
		total += n
	}
	for name, q := range map[string]float64{"p50": 0.5, "p90": 0.9} {
		seen := uint64(0)
		for _, b := range buckets {
			if seen += b.n; float64(seen) >= q*float64(total) {
				f.Latency[name] = b.d
				break
			}
		}
	}
	return nil
}
