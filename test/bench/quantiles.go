// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/ukprobe/ukprobe/guests/reference"
	"github.com/ukprobe/ukprobe/probe"
)

// quantiles holds ukprobe's histograms against the exact quantiles of a trace of the
// same guest: perf records every event that begins or ends the same span.
type quantiles struct {
	What  string        `json:"what"`
	Trace uint64        `json:"trace_events"`
	Lost  uint64        `json:"trace_lost"` // by perf, as it says
	Rows  []quantileRow `json:"rows"`
}

// quantileRow is one reason.
type quantileRow struct {
	Reason string `json:"reason"`
	N      uint64 `json:"n"`       // in the histogram
	TraceN uint64 `json:"trace_n"` // in the trace
	// Later is how much longer, in the mean, the histogram's spans are than the
	// trace's: the two read the clock at different instants.
	Later float64         `json:"mean_difference_ns"`
	At    []quantilePoint `json:"at"`
}

// quantilePoint is one quantile. The histogram gives the upper bound of a bucket.
type quantilePoint struct {
	Q         float64 `json:"q"`
	Bound     float64 `json:"bound_ns"`
	Exact     float64 `json:"exact_ns"`
	Corrected float64 `json:"corrected_ns"` // the exact one, later by Later
	Buckets   int     `json:"buckets"`      // the bound's bucket less the exact one's
	// BucketsCorrected is that of the corrected one.
	BucketsCorrected int `json:"buckets_corrected"`
}

// quantilesAt are compared; leastSpans is how many spans of a reason that takes.
var quantilesAt = []float64{0.5, 0.9, 0.99}

const leastSpans = 100

// spanKind is a span that both can see on this host.
type spanKind struct {
	what       string
	perf       []string // perf record's arguments for its events
	begin, end string   // tracepoints
	reason     func(text string) string
	of         func(probe.Counts) map[string]probe.Histogram
}

var exitSpan = spanKind{
	what: "from kvm_exit to kvm_entry, by exit reason", perf: []string{"-e", "kvm:kvm_exit", "-e", "kvm:kvm_entry"},
	begin: "kvm_exit", end: "kvm_entry", reason: exitName, of: func(c probe.Counts) map[string]probe.Histogram { return c.Exits },
}

// userExitSpan: KVM_RUN is ioctl 0xae80. A filter is the event's before it.
var userExitSpan = spanKind{
	what:  "from kvm_userspace_exit to the next KVM_RUN (as a system call), by KVM_EXIT reason",
	perf:  []string{"-e", "syscalls:sys_enter_ioctl", "--filter", "cmd==0xae80", "-e", "kvm:kvm_userspace_exit"},
	begin: "kvm_userspace_exit", end: "sys_enter_ioctl", reason: userExitName,
	of: func(c probe.Counts) map[string]probe.Histogram { return c.UserExits },
}

// exitNames are those that the kernel's tracepoint prints otherwise than ukprobe does.
var exitNames = map[string]string{"npf": "nested_page_fault", "interrupt": "external_interrupt", "ud excp": "ud_excp", "ept_violation": "ept_violation"}

func exitName(text string) string {
	m := exitReason.FindStringSubmatch(text)
	if m == nil {
		return ""
	}
	name := strings.ToLower(m[1])
	if known, ok := exitNames[name]; ok {
		return known
	}
	return name
}

var userReason = regexp.MustCompile(`^reason KVM_EXIT_(\S+) \(\d+\)`)

// userExitName: without KVM_EXIT_ it is an error, which ukprobe counts as interrupted.
func userExitName(text string) string {
	if m := userReason.FindStringSubmatch(text); m != nil {
		return strings.ToLower(m[1])
	}
	return "intr"
}

// quantiles runs one guest under both. perf is attached first, to the same tracepoints
// as ukprobe: then at both ends of a span ukprobe reads its clock just after perf has
// recorded the event, and what lies between takes no part in the span.
func (b *bench) quantiles(ctx context.Context) (q quantiles, err error) {
	kind := exitSpan
	if b.isa == "" {
		kind = userExitSpan
	}
	q.What = kind.what
	runtime.LockOSThread() // perf is killed with the thread that started it
	defer runtime.UnlockOSThread()
	dir, err := os.MkdirTemp(b.workDir, "quantiles-")
	if err != nil {
		return q, fmt.Errorf("make a folder for perf: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	argv := append([]string{"perf", "record", "-B", "-N", "-k", "CLOCK_MONOTONIC", "-m", "4096"}, kind.perf...)
	s, err := startPerf(ctx, dir, nil, argv...)
	if err != nil {
		return q, fmt.Errorf("record a trace with perf: %w", err)
	}
	defer s.cancel()
	p, err := probe.Open(probe.Options{Attach: probe.TPBTF})
	if err != nil {
		return q, err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	o := &observer{probe: p, watch: true, full: b.isa == "", programs: probe.Programs{}, account: account{Seen: map[answer]uint64{}, Lost: new(uint64)}}
	t, bootErr := b.boot(ctx, reference.Cmdline{PIO: b.toolPIO, CPUID: b.toolPIO}, o)
	a, err := s.stop(ctx)
	if err = errors.Join(bootErr, err); err != nil {
		return q, err
	}
	q.Lost = *a.Lost
	text, err := post(ctx, dir, "perf", "script", "-i", perfData, "--ns", "-F", "pid,tid,time,event,trace")
	if err != nil {
		return q, err
	}
	spans, n := kind.spans(text, t.pid)
	q.Trace, q.Rows = n, compareSpans(kind.of(o.counts), spans)
	return q, nil
}

// traceEvent is a line of perf script.
type traceEvent struct {
	pid, tid int
	ns       uint64
	name     string // without its group
	text     string
}

var traceLine = regexp.MustCompile(`^\s*(\d+)/(\d+)\s+(\d+)\.(\d{9}):\s+\w+:(\w+):\s*(.*)$`)

// parseTrace reads a line of perf script --ns -F pid,tid,time,event,trace.
func parseTrace(line string) (e traceEvent, ok bool) {
	m := traceLine.FindStringSubmatch(line)
	if m == nil {
		return e, false
	}
	pid, err1 := strconv.Atoi(m[1])
	tid, err2 := strconv.Atoi(m[2])
	s, err3 := strconv.ParseUint(m[3], 10, 32)
	ns, err4 := strconv.ParseUint(m[4], 10, 32)
	if errors.Join(err1, err2, err3, err4) != nil {
		return e, false
	}
	return traceEvent{pid: pid, tid: tid, ns: s*1e9 + ns, name: m[5], text: strings.TrimSpace(m[6])}, true
}

// spans are the lengths, in ns and sorted, of one process's spans by reason, and how
// many events the trace has of it.
func (k spanKind) spans(text []byte, pid int) (out map[string][]uint64, events uint64) {
	type begun struct {
		ns     uint64
		reason string
	}
	out = map[string][]uint64{}
	open := map[int]begun{} // by thread
	in := bufio.NewScanner(bytes.NewReader(text))
	for in.Scan() {
		e, ok := parseTrace(in.Text())
		if !ok || e.pid != pid {
			continue
		}
		events++
		switch e.name {
		case k.begin:
			open[e.tid] = begun{e.ns, k.reason(e.text)}
		case k.end:
			if o, ok := open[e.tid]; ok && e.ns >= o.ns {
				out[o.reason] = append(out[o.reason], e.ns-o.ns)
			}
			delete(open, e.tid)
		}
	}
	for _, spans := range out {
		slices.Sort(spans)
	}
	return out, events
}

// compareSpans makes a row of each reason that both have, the most frequent first.
func compareSpans(hists map[string]probe.Histogram, spans map[string][]uint64) []quantileRow {
	var rows []quantileRow
	for reason, exact := range spans {
		h := hists[reason]
		if h.Count < leastSpans || len(exact) < leastSpans {
			continue
		}
		row := quantileRow{Reason: reason, N: h.Count, TraceN: uint64(len(exact)),
			Later: float64(h.SumNS)/float64(h.Count) - mean(exact)}
		for _, q := range quantilesAt {
			row.At = append(row.At, compareAt(h, exact, q, row.Later))
		}
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b quantileRow) int { return int(b.N) - int(a.N) })
	return rows
}

func compareAt(h probe.Histogram, sorted []uint64, q, later float64) quantilePoint {
	exact := float64(sorted[rankOf(q, len(sorted))])
	p := quantilePoint{Q: q, Bound: float64(h.Quantile(q)), Exact: exact, Corrected: exact + later}
	bucket := boundIndex(h.Schema, p.Bound)
	p.Buckets = bucket - bucketOf(h.Schema, p.Exact)
	p.BucketsCorrected = bucket - bucketOf(h.Schema, p.Corrected)
	return p
}

// rankOf is the index of the q-quantile, as probe.Histogram.Quantile ranks.
func rankOf(q float64, n int) int { return max(0, int(math.Ceil(q*float64(n)))-1) }

// bucketOf is the native bucket that ns belong in.
func bucketOf(schema int, ns float64) int {
	return int(math.Ceil(math.Ldexp(math.Log2(ns/1e9), schema)))
}

// boundIndex is the bucket whose upper bound, cut to whole nanoseconds, is ns.
func boundIndex(schema int, ns float64) int {
	return int(math.Round(math.Ldexp(math.Log2((ns+0.5)/1e9), schema)))
}

func mean(values []uint64) float64 {
	var sum float64
	for _, v := range values {
		sum += float64(v)
	}
	return sum / float64(len(values))
}
