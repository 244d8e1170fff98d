// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"encoding/csv"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/ukprobe/ukprobe/orchestrate/matrix"
)

// RedisBenchmark is redis-benchmark, for redis: SET, then GET, of one key (its default).
// It counts requests and not time, so that the warm-up also tells how many requests
// take as long as is wanted.
type RedisBenchmark struct{}

// Program implements Generator.
func (RedisBenchmark) Program() Program {
	return Program{"redis-benchmark", "redis-tools", []string{"--version"}}
}

// Check implements Generator.
func (RedisBenchmark) Check(matrix.Workload) error { return nil }

// The tests in their order, and the prefix of their values: GET's are those of a table.
var redisTests = []struct{ name, prefix string }{{"set", "set_"}, {"get", ""}}

// Load implements Generator.
func (g RedisBenchmark) Load(ctx context.Context, b Bench, t netip.AddrPort, w matrix.Workload) error {
	for _, test := range redisTests {
		n, err := g.warmUp(ctx, b, test.name, t, w)
		if err != nil {
			return err
		}
		c := g.command("redis-benchmark-"+test.name, test.name, t, w, n)
		if err := b.Measure(ctx, test.prefix, c, func(r Ran) (Figures, error) { return readRedis(r.Stdout, n) }); err != nil {
			return err
		}
	}
	return nil
}

// warmUp runs a test for as long as the warm-up takes, at first briefly to learn how
// many requests that are, and returns how many are to be measured.
func (g RedisBenchmark) warmUp(ctx context.Context, b Bench, test string, t netip.AddrPort, w matrix.Workload) (int, error) {
	if w.Requests > 0 && w.Warmup == 0 {
		return w.Requests, nil
	}
	const (
		begin = 100                    // requests
		least = 100 * time.Millisecond // below that a rate says little
		most  = 20                     // runs
	)
	n, warm := begin, max(w.Warmup/2, least)
	rate, took := 0.0, time.Duration(0)
	for i := 0; took < warm && i < most; i++ {
		n = clampRequests(n, w)
		r, err := b.Run(ctx, g.command("redis-benchmark-"+test+"-warmup", test, t, w, n))
		if err != nil {
			return 0, err
		}
		f, err := readRedis(r.Stdout, n)
		if err != nil {
			return 0, err
		}
		rate, took = f.PerSecond, max(f.Duration, time.Nanosecond)
		// At most ten times as many: the first rates are of a server that is cold.
		n = int(min(rate*w.Warmup.Seconds(), 10*float64(n))) + 1
		n = max(n, int(rate*least.Seconds())+1)
	}
	if w.Requests > 0 {
		return w.Requests, nil
	}
	return clampRequests(int(rate*w.Duration.Seconds())+1, w), nil
}

const maxRequests = 1 << 30

func clampRequests(n int, w matrix.Workload) int {
	return min(max(n, w.Connections*w.Pipeline), maxRequests)
}

func (RedisBenchmark) command(name, test string, t netip.AddrPort, w matrix.Workload, n int) Command {
	argv := []string{"redis-benchmark", "-h", t.Addr().String(), "-p", strconv.Itoa(int(t.Port())), "-t", test, "--csv", "--precision", "3",
		"-c", strconv.Itoa(w.Connections), "-n", strconv.Itoa(n), "-P", strconv.Itoa(w.Pipeline), "-d", strconv.Itoa(w.ValueBytes)}
	if w.Threads > 1 {
		argv = append(argv, "--threads", strconv.Itoa(w.Threads))
	}
	return Command{Name: name, Argv: argv, Threads: w.Threads, AtOnce: w.Connections * w.Pipeline}
}

// redisColumns are those of --csv, in milliseconds (redis 7.0, src/redis-benchmark.c).
var redisColumns = map[string]string{
	"avg_latency_ms": "mean", "p50_latency_ms": "p50", "p95_latency_ms": "p95", "p99_latency_ms": "p99", "max_latency_ms": "max",
}

// readRedis reads --csv of one test of n requests. redis-benchmark ends at the first
// error: who sees its figures has seen none.
func readRedis(text string, n int) (f Figures, err error) {
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		return f, fmt.Errorf("redis-benchmark's output: %w", err)
	}
	if len(rows) != 2 {
		return f, errNoFigures("redis-benchmark", "row of one test", text)
	}
	f = Figures{Requests: uint64(n), Latency: map[string]time.Duration{}, Missing: map[string]string{"p90": "redis-benchmark tells p50, p95 and p99"}}
	for i, column := range rows[0] {
		value := rows[1][i]
		name, isTime := redisColumns[column]
		switch {
		case column == "rps":
			f.PerSecond, err = strconv.ParseFloat(value, 64)
		case isTime:
			f.Latency[name], err = durationOf(value, time.Millisecond)
		}
		if err != nil {
			return f, fmt.Errorf("redis-benchmark's output, column %s: %w", column, err)
		}
	}
	if !(f.PerSecond > 0) {
		return f, errNoFigures("redis-benchmark", "rate", text)
	}
	f.Duration, err = durationOf(strconv.FormatFloat(float64(n)/f.PerSecond, 'g', -1, 64), time.Second)
	return f, err
}
