// SPDX-License-Identifier: Apache-2.0

package workload

import (
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The latencies that wrk prints are not those it has seen. Before it prints, always, it
// adds samples that it thinks were missed (wrk 4.0.0 to 4.2.0, src/stats.c,
// stats_correct): with E, the run's time over the requests of each connection, every
// sample n of at least 2 E also counts as n - E, n - 2 E, … above E, as if requests had
// been due at a fixed rate. In a closed loop they were not. And where those are below the
// shortest of all, as with a pipeline, of which E is the time of one request and n that of
// all of them, its sums leave them out and its count does not: quantiles of 0, a mean that
// is too small.
//
// What it has added is known exactly, so that it can be taken out again: from the longest
// sample down, to each of which nothing was added by those that are shorter.

// wrkSamplesScript makes wrk tell its samples when it is done, a line for each length: by
// its documented way, latency(i), that takes a time that grows with the square of them.
//
//go:embed wrksamples.lua
var wrkSamplesScript string

const wrkMark = "ukprobe:"

var (
	wrkSample = regexp.MustCompile(`^ukprobe: (\d+) (\d+)$`)
	wrkSum    = regexp.MustCompile(`^ukprobe: run (\d+) (\d+)$`)
)

// wrkSamples is what wrk tells at the end of one run.
type wrkSamples struct {
	all               micros
	runUs, complete   uint64
	over              bool // all was told
	connections, pipe int
}

// line takes a line of the output, if it is one of the script's.
func (s *wrkSamples) line(text string) bool {
	if !strings.HasPrefix(text, wrkMark) {
		return false
	}
	if m := wrkSample.FindStringSubmatch(text); m != nil {
		us, err1 := strconv.ParseUint(m[1], 10, 32)
		n, err2 := strconv.ParseUint(m[2], 10, 48)
		if err1 == nil && err2 == nil {
			s.all[uint32(us)] = n
		}
		return true
	}
	if m := wrkSum.FindStringSubmatch(text); m != nil {
		var err1, err2 error
		s.runUs, err1 = strconv.ParseUint(m[1], 10, 48)
		s.complete, err2 = strconv.ParseUint(m[2], 10, 48)
		s.over = err1 == nil && err2 == nil
	}
	return true
}

// wrkLatencies are the names of what wrk's samples yield.
var wrkLatencies = []string{"mean", "p50", "p90", "p99", "p999", "max"}

// into replaces latencies that wrk printed by those that it has seen. timeouts are
// answers that took too long to be a sample.
func (s *wrkSamples) into(f *Figures, timeouts uint64) {
	f.Latency, f.Missing = map[string]time.Duration{}, map[string]string{}
	seen, err := s.observed(timeouts)
	if err != nil {
		for _, name := range wrkLatencies {
			f.Missing[name] = "wrk adds samples that it has not seen, and " + err.Error()
		}
		return
	}
	seen.into(f)
	sum, n := 0.0, uint64(0)
	for us, k := range seen {
		sum, n = sum+float64(us)*float64(k), n+k
	}
	if n > 0 {
		f.Latency["mean"] = time.Duration(sum / float64(n) * 1e3)
		f.Latency["max"] = time.Duration(slices.Max(slices.Collect(maps.Keys(seen)))) * time.Microsecond
	}
}

// observed are the samples without those that wrk has added.
func (s *wrkSamples) observed(timeouts uint64) (micros, error) {
	if !s.over || s.connections < 1 || s.pipe < 1 {
		return nil, errors.New("this one does not tell which")
	}
	seen := maps.Clone(s.all)
	each := s.complete / uint64(s.connections)
	if each > 0 && s.runUs/each > 0 {
		if err := seen.takeOut(int64(s.runUs / each)); err != nil {
			return nil, err
		}
	}
	n := uint64(0)
	for _, k := range seen {
		n += k
	}
	// A sample is of all requests that were sent at once, and those at the end are cut off.
	if pipe := uint64(s.pipe); n*pipe > s.complete || pipe == 1 && n+timeouts != s.complete {
		return nil, fmt.Errorf("without them there are %d, of %d requests", n*pipe, s.complete)
	}
	return seen, nil
}

// takeOut undoes stats_correct, which was given so many µs.
func (a micros) takeOut(expected int64) error {
	lengths := slices.Sorted(maps.Keys(a))
	if len(lengths) == 0 {
		return nil
	}
	least := int64(lengths[0])
	for _, us := range slices.Backward(lengths) {
		n, count := int64(us), a[us]
		if count == 0 {
			delete(a, us)
			continue
		}
		if n < 2*expected {
			continue
		}
		for m := n - expected; m > expected && m >= least; m -= expected {
			if a[uint32(m)] < count {
				return fmt.Errorf("%d of %d µs have not left theirs at %d µs", count, n, m)
			}
			a[uint32(m)] -= count
		}
	}
	return nil
}
