// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/ukprobe/ukprobe/orchestrate/matrix"
)

// Memaslap is memaslap of libmemcached, which Debian 12 calls memcaslap: nine GETs to
// one SET (its default) of keys of 64 bytes, one request at a time on each connection.
type Memaslap struct{}

const memaslap = "memcaslap"

// Program implements Generator.
func (Memaslap) Program() Program {
	return Program{memaslap, "libmemcached-tools", []string{"--version"}}
}

// Check implements Generator.
func (Memaslap) Check(w matrix.Workload) error {
	switch {
	case w.Pipeline > 1:
		return errors.New("memaslap sends one request at a time on each connection: load.pipeline has to be 1")
	case w.Connections%w.Threads != 0:
		return fmt.Errorf("memaslap wants a number of connections (%d) that its threads (%d) divide", w.Connections, w.Threads)
	}
	return nil
}

// Load implements Generator.
func (g Memaslap) Load(ctx context.Context, b Bench, t netip.AddrPort, w matrix.Workload) error {
	if w.Warmup > 0 {
		if _, err := b.Run(ctx, g.command("memaslap-warmup", t, w, forTime(w.Warmup))); err != nil {
			return err
		}
	}
	amount := forTime(w.Duration)
	if w.Requests > 0 {
		amount = []string{"-x", strconv.Itoa(w.Requests)}
	}
	return b.Measure(ctx, "", g.command("memaslap", t, w, amount), func(r Ran) (Figures, error) { return readMemaslap(r.Stdout) })
}

func forTime(d time.Duration) []string { return []string{"-t", fmt.Sprintf("%ds", seconds(d))} }

func (Memaslap) command(name string, t netip.AddrPort, w matrix.Workload, amount []string) Command {
	argv := []string{memaslap, "-s", t.String(), "-T", strconv.Itoa(w.Threads), "-c", strconv.Itoa(w.Connections), "-X", strconv.Itoa(w.ValueBytes),
		// So many keys of each connection: with memaslap's own 10k a guest of 64 MiB
		// forgets some.
		"-w", "1k",
		// Without it there is no distribution; it is printed at the end, and every so
		// often: never.
		"-S", "24h"}
	return Command{Name: name, Argv: append(argv, amount...), Threads: w.Threads, AtOnce: w.Connections}
}

var (
	memaslapRun    = regexp.MustCompile(`(?m)^Run time: ([0-9.]+)s Ops: (\d+) TPS: (\d+) `)
	memaslapMisses = regexp.MustCompile(`(?m)^get_misses: (\d+)$`)
	memaslapTotal  = regexp.MustCompile(`(?m)^Total Statistics \((\d+) events\)\n(?: +[A-Z].*\n)*((?: +\d+:[ \d]*\n?)+)`)
	memaslapMinMax = regexp.MustCompile(`(?m)^ +(Max|Avg): +(\d+)$`)
)

// readMemaslap reads what memaslap prints at its end (libmemcached-awesome 1.1.4,
// contrib/bin/memaslap/ms_stats.c). A miss is an error: it only asks for what it
// has stored.
func readMemaslap(text string) (f Figures, err error) {
	run, misses := memaslapRun.FindStringSubmatch(text), memaslapMisses.FindStringSubmatch(text)
	if run == nil || misses == nil {
		return f, errNoFigures("memaslap", "number of operations", text)
	}
	took, err1 := durationOf(run[1], time.Second)
	ops, err2 := strconv.ParseUint(run[2], 10, 62)
	tps, err3 := strconv.ParseUint(run[3], 10, 62)
	missed, err4 := strconv.ParseUint(misses[1], 10, 62)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return f, fmt.Errorf("memaslap's output: %w", err)
	}
	f = Figures{Requests: ops, Duration: took, PerSecond: float64(tps)}
	if missed > 0 {
		f.Errors, f.Trouble = missed, misses[1]+" keys that had been stored were not found"
	}
	total := memaslapTotal.FindStringSubmatchIndex(text)
	if total == nil {
		return f, errNoFigures("memaslap", "distribution", text)
	}
	f.Latency = map[string]time.Duration{}
	for _, m := range memaslapMinMax.FindAllStringSubmatch(text[total[0]:total[1]], -1) {
		us, err := strconv.ParseUint(m[2], 10, 40)
		if err != nil {
			return f, fmt.Errorf("memaslap's output: %w", err)
		}
		f.Latency[map[string]string{"Max": "max", "Avg": "mean"}[m[1]]] = time.Duration(us) * time.Microsecond
	}
	buckets, err := readLog2(text[total[4]:total[5]])
	if err != nil {
		return f, err
	}
	f.percentiles(buckets)
	return f, nil
}

// maxLog2 is how many buckets memaslap has at most.
const maxLog2 = 64

// readLog2 reads rows of four buckets, each row with the number of its first.
func readLog2(text string) (buckets []uint64, err error) {
	for line := range strings.Lines(text) {
		first, counts, ok := strings.Cut(strings.TrimSpace(line), ":")
		if !ok {
			continue
		}
		i, err := strconv.Atoi(first)
		if err != nil || i < len(buckets) {
			return nil, fmt.Errorf("memaslap's output: bucket %q after bucket %d", first, len(buckets)-1)
		}
		for _, digits := range strings.Fields(counts) {
			n, err := strconv.ParseUint(digits, 10, 56)
			if err != nil || i >= maxLog2 {
				return nil, fmt.Errorf("memaslap's output: bucket %d: %q", i, digits)
			}
			for len(buckets) < i {
				buckets = append(buckets, 0)
			}
			buckets = append(buckets, n)
			i++
		}
	}
	return buckets, nil
}

// percentiles notes upper bounds. Bucket i holds times above 2^(i-1) and up to 2^i µs,
// so that a percentile is at most twice the true one.
func (f *Figures) percentiles(buckets []uint64) {
	total := uint64(0)
	for _, n := range buckets {
		total += n
	}
	if total == 0 {
		return
	}
	for name, thousandths := range map[string]uint64{"p50": 500, "p90": 900, "p99": 990} {
		hi, lo := bits.Mul64(total, thousandths)
		rank, rest := bits.Div64(hi, lo, 1000)
		if rest > 0 {
			rank++
		}
		seen := uint64(0)
		for i, n := range buckets {
			if seen += n; seen < rank {
				continue
			}
			bound := time.Duration(1<<min(i, 40)) * time.Microsecond
			if most, ok := f.Latency["max"]; ok {
				bound = min(bound, most)
			}
			f.Latency[name] = bound
			break
		}
	}
}
