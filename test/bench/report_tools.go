// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/ukprobe/ukprobe/internal/paired"
)

// writeTools prints the comparison with other tools: the guest's time under each,
// then what each saw, wrote and lost.
func writeTools(w io.Writer, s slowdown) {
	fmt.Fprintf(w, "\nThe reference guest (microvm) under ukprobe and under other tools\n")
	writeRounds(w, s)
	fmt.Fprintf(w, "\nWhat each saw of %d port writes, %d CPUIDs and %d HLTs a round, in the worst round; firmware does some CPUIDs too\n",
		s.Known[portWrites], s.Known[cpuids], s.Known[halts])
	t := newTable(w, "condition", "port writes", "CPUIDs", "HLTs", "lost, as it says", "bytes written a round", "its own CPU time a round")
	for _, c := range s.have {
		accounts := s.Accounts[c.Name]
		if c.tool == nil && !c.Watch || len(accounts) == 0 {
			continue
		}
		row := table.Row{c.Name}
		for _, a := range []answer{portWrites, cpuids, halts} {
			row = append(row, sawOf(accounts, a, s.Known[a]))
		}
		t.AppendRow(append(row, lostOf(accounts), sizeOf(accounts), cpuOf(accounts)))
	}
	t.Render()
}

// sawOf is the fewest that was seen in any round; "-" if it is not looked at. More
// port writes than the guest's own are those of other people's guests.
func sawOf(accounts []account, what answer, known uint64) string {
	mark := ""
	if _, ok := accounts[0].Seen[what]; !ok && what == portWrites {
		what, mark = ioExits, " (of all ports)"
	}
	if _, ok := accounts[0].Seen[what]; !ok {
		return "-"
	}
	least := accounts[0].Seen[what]
	for _, a := range accounts {
		least = min(least, a.Seen[what])
	}
	if what == portWrites && least > known {
		mark = " (others' guests too)"
	}
	return strconv.FormatUint(least, 10) + mark
}

// lostOf adds up what was lost in all rounds.
func lostOf(accounts []account) string {
	var sum uint64
	for _, a := range accounts {
		if a.Lost == nil {
			return "it does not say"
		}
		sum += *a.Lost
	}
	return strconv.FormatUint(sum, 10)
}

func sizeOf(accounts []account) string {
	var bytes []float64
	for _, a := range accounts {
		bytes = append(bytes, float64(a.Bytes))
	}
	return fmt.Sprintf("%.0f", paired.Median(bytes))
}

func cpuOf(accounts []account) string {
	var ns []float64
	for _, a := range accounts {
		ns = append(ns, float64(a.CPU))
	}
	return time.Duration(paired.Median(ns)).Round(time.Millisecond).String()
}

// writeMillion prints the rates and what was lost at them.
func writeMillion(w io.Writer, m million) {
	fmt.Fprintf(w, "\nA great many exits at the highest rate that this machine gives\n")
	fmt.Fprintf(w, "  %d guests at once: %d port writes and %d CPUIDs; %.0f a second and guest; hooks fired %d times, %.0f a second and CPU\n",
		m.Guests, m.Did[portWrites], m.Did[cpuids], m.Rate, m.Fired, m.FireRate)
	fmt.Fprintf(w, "  seen: %d port writes, %d CPUIDs; lost: %d\n", m.Seen[portWrites], m.Seen[cpuids], m.Lost)
	switch a := m.Alone; {
	case a == nil:
	case a.Refused != "":
		fmt.Fprintf(w, "  the programs alone: not here: %s\n", a.Refused)
	default:
		fmt.Fprintf(w, "  the programs alone, fired from %d CPUs at once: %d pairs of exit and entry, %.0f a second and CPU; in the histogram of handling times: %d\n",
			a.CPUs, a.Pairs, a.Rate, a.Counted)
	}
}

// writeQuantiles prints the histograms' quantiles beside the trace's.
func writeQuantiles(w io.Writer, q quantiles) {
	fmt.Fprintf(w, "\nQuantiles of the histograms against a trace by perf of the same guest (%d events, %d lost): µs %s\n", q.Trace, q.Lost, q.What)
	if len(q.Rows) == 0 {
		fmt.Fprintf(w, "  no reason has %d spans in both\n", leastSpans)
		return
	}
	t := newTable(w, "reason", "n", "n of the trace", "longer, mean", "quantile", "histogram: at most", "trace: exactly", "buckets apart", "with the mean's difference")
	for _, r := range q.Rows {
		for i, p := range r.At {
			first := table.Row{r.Reason, r.N, r.TraceN, fmt.Sprintf("%+.2f", r.Later/1e3)}
			if i > 0 {
				first = table.Row{"", "", "", ""}
			}
			t.AppendRow(append(first, p.Q, fmt.Sprintf("%.2f", p.Bound/1e3), fmt.Sprintf("%.2f", p.Exact/1e3), p.Buckets, p.BucketsCorrected))
		}
	}
	t.Render()
}
