// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/workload/openloop"
)

// FixedRate is ukprobe's own generator, in a process of its own: HTTP requests at a
// fixed rate (see package openloop).
type FixedRate struct{}

// HTTPCommand is the hidden command of ukprobe that it runs.
const HTTPCommand = "load-http"

// answerTime is how long one answer may take.
const answerTime = 10 * time.Second

// Program implements Generator.
func (FixedRate) Program() Program { return Program{} }

// Check implements Generator.
func (FixedRate) Check(w matrix.Workload) error {
	switch {
	case w.Rate == 0:
		return errors.New("experiment http measures at a fixed rate: load.rate is missing (requests per second; a tenth of what throughput finds is a start)")
	case w.Pipeline > 1:
		return errors.New("experiment http sends one request at a time on each connection: load.pipeline has to be 1")
	case w.Requests == 0 && count(w.Rate, w.Duration) > maxFixed, w.Requests > maxFixed:
		return fmt.Errorf("experiment http keeps every latency: at most %d requests", maxFixed)
	}
	return nil
}

// maxFixed bounds the memory of the client: some 30 bytes for each.
const maxFixed = 20_000_000

func count(rate int, d time.Duration) int {
	return max(int(float64(rate)*d.Seconds()), 1)
}

// Load implements Generator.
func (g FixedRate) Load(ctx context.Context, b Bench, t netip.AddrPort, w matrix.Workload) error {
	if w.Warmup > 0 {
		if _, err := b.Run(ctx, g.command("load-http-warmup", t, w, count(w.Rate, w.Warmup))); err != nil {
			return err
		}
	}
	n := w.Requests
	if n == 0 {
		n = count(w.Rate, w.Duration)
	}
	return b.Measure(ctx, "", g.command("load-http", t, w, n), func(r Ran) (Figures, error) { return readHTTP(r.Stdout, w.Rate) })
}

func (FixedRate) command(name string, t netip.AddrPort, w matrix.Workload, n int) Command {
	return Command{Name: name, Threads: w.Connections + 1, AtOnce: w.Connections, Argv: []string{Self, HTTPCommand, "--address", t.String(), "--rate", strconv.Itoa(w.Rate),
		"--requests", strconv.Itoa(n), "--connections", strconv.Itoa(w.Connections), "--timeout", answerTime.String()}}
}

// lateness is from which on the client itself is a part of the latency worth telling.
const lateness = time.Millisecond

// readHTTP reads what the hidden command prints.
func readHTTP(text string, rate int) (f Figures, err error) {
	var r openloop.Result
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return f, fmt.Errorf("output of ukprobe %s: %w", HTTPCommand, err)
	}
	if r.Due < 1 || r.Answered < 0 || r.Failed < 0 || r.Unsent < 0 || r.TookNs < 0 || r.Answered+r.Failed+r.Unsent != r.Due {
		return f, fmt.Errorf("output of ukprobe %s: %d requests due, and %d answered, %d failed, %d unsent", HTTPCommand, r.Due, r.Answered, r.Failed, r.Unsent)
	}
	f = Figures{Requests: uint64(r.Answered), Errors: uint64(r.Failed) + uint64(r.Unsent), Duration: time.Duration(r.TookNs), Latency: map[string]time.Duration{}}
	// The last answer may come before the schedule's last gap is over, which is a part of it:
	// n requests at a rate take n gaps.
	f.Duration = max(f.Duration, time.Duration(float64(r.Due)/float64(rate)*1e9))
	f.PerSecond = float64(r.Answered) / f.Duration.Seconds()
	f.Missing = map[string]string{}
	for name, q := range openloop.Quantiles {
		if r.Due < q.Least {
			f.Missing[name] = fmt.Sprintf("of %d requests it is the slowest one", r.Due)
			f.Missing["uncorrected_"+name] = f.Missing[name]
		}
	}
	for prefix, times := range map[string]map[string]int64{"": r.Latency, "uncorrected_": r.Service} {
		for name, ns := range times {
			f.Latency[prefix+name] = time.Duration(ns)
		}
	}
	var trouble []string
	for _, what := range slices.Sorted(maps.Keys(r.Failures)) {
		trouble = append(trouble, fmt.Sprintf("%d: %s", r.Failures[what], what))
	}
	if r.Unsent > 0 {
		trouble = append(trouble, fmt.Sprintf("%d were due and not sent, since all connections waited for answers: %d requests per second are too many", r.Unsent, rate))
	}
	f.Trouble = strings.Join(trouble, ", ")
	if late := time.Duration(r.Late["p99"]); late > lateness {
		f.Notes = append(f.Notes, fmt.Sprintf("load-http: one request in a hundred was sent %v or more after it was due: the client or its connections were too slow", late.Round(time.Microsecond)))
	}
	f.Late = map[string]time.Duration{}
	for _, name := range []string{"p50", "p99"} {
		if ns, ok := r.Late[name]; ok {
			f.Late[name] = time.Duration(ns)
		}
	}
	return f, nil
}
