// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ukprobe/ukprobe/guests/linux"
	"github.com/ukprobe/ukprobe/orchestrate/workload/openloop"
)

// FioResult is what one job of fio has done: reads, writes, or the flushes after each of
// its writes.
type FioResult struct {
	Kind       string // one of linux.FioKinds
	BlockBytes int
	Count      uint64 // reads, writes or flushes
	Bytes      uint64
	Duration   time.Duration
	Latency    map[string]time.Duration // mean, max, p50, p90, p99, p999
}

// fioRun is what of fio's JSON is looked at (fio 3.33, stat.c).
type fioRun struct {
	Jobs []struct {
		Name  string   `json:"jobname"`
		Error int      `json:"error"`
		Read  *fioSide `json:"read"`
		Write *fioSide `json:"write"`
		Sync  *fioSide `json:"sync"`
	} `json:"jobs"`
}

type fioSide struct {
	Count   uint64  `json:"total_ios"`
	Bytes   uint64  `json:"io_bytes"`
	Runtime float64 `json:"runtime"` // ms
	Latency struct {
		Mean        float64            `json:"mean"`
		Max         float64            `json:"max"`
		N           uint64             `json:"N"`
		Percentiles map[string]float64 `json:"percentile"`
	} `json:"lat_ns"`
}

// fioPercentiles are the names that fio gives to those that fio.sh asks for.
var fioPercentiles = map[string]string{"50.000000": "p50", "90.000000": "p90", "99.000000": "p99", "99.900000": "p999"}

// ErrNotOver says that fio has not printed all yet.
var ErrNotOver = errors.New("fio is not done yet")

// ReadFio reads what the app fio has printed on its console. A job of fio that failed, or
// did nothing, is an error.
func ReadFio(console string) ([]FioResult, error) {
	console = strings.ReplaceAll(console, "\r", "")
	if _, why, failed := strings.Cut(console, linux.FioFailed); failed {
		why, _, _ = strings.Cut(why, "\n")
		return nil, fmt.Errorf("fio: %s", strings.TrimPrefix(why, ": "))
	}
	_, text, begun := strings.Cut(console, linux.FioResults+"\n")
	text, _, over := strings.Cut(text, linux.FioOver)
	if !begun || !over {
		return nil, ErrNotOver
	}
	start := strings.IndexByte(text, '{') // before that are notes of fio's
	if start < 0 {
		return nil, errNoFigures("fio", "JSON", text)
	}
	var run fioRun
	if err := json.NewDecoder(bytes.NewReader([]byte(text[start:]))).Decode(&run); err != nil {
		return nil, fmt.Errorf("fio's output: %w", err)
	}
	var out []FioResult
	for _, j := range run.Jobs {
		kind, size, _ := strings.Cut(j.Name, "-")
		n, err := strconv.Atoi(size)
		if err != nil || n < 1 || !slices.Contains(linux.FioKinds, kind) {
			return nil, fmt.Errorf("fio's output: unknown job %.40q", j.Name)
		}
		if j.Error != 0 {
			return nil, fmt.Errorf("fio: job %s ended with error %d", j.Name, j.Error)
		}
		side := j.Write
		switch kind {
		case "read", "randread":
			side = j.Read
		case "fsync":
			side = j.Sync
		}
		r, err := side.result()
		if err != nil {
			return nil, fmt.Errorf("fio's output: job %s: %w", j.Name, err)
		}
		if kind == "fsync" { // its own times are those of the writes
			r.Bytes, r.Duration = 0, 0
		}
		r.Kind, r.BlockBytes = kind, n
		out = append(out, r)
	}
	if len(out) == 0 {
		return nil, errNoFigures("fio", "jobs", text)
	}
	return out, nil
}

// result checks figures, which a guest has made.
func (s *fioSide) result() (r FioResult, err error) {
	if s == nil || s.Count == 0 || s.Latency.N == 0 {
		return r, errors.New("nothing was done")
	}
	r = FioResult{Count: s.Count, Bytes: s.Bytes, Latency: map[string]time.Duration{}}
	if r.Duration, err = durationOf(strconv.FormatFloat(s.Runtime, 'f', -1, 64), time.Millisecond); err != nil {
		return r, err
	}
	times := map[string]float64{"mean": s.Latency.Mean, "max": s.Latency.Max}
	for name, v := range s.Latency.Percentiles {
		if to, ok := fioPercentiles[name]; ok {
			times[to] = v
		}
	}
	for name, v := range times {
		if r.Latency[name], err = durationOf(strconv.FormatFloat(v, 'f', -1, 64), time.Nanosecond); err != nil {
			return r, err
		}
	}
	return r, nil
}

// Verify takes out of the latencies what is not known, and says why. A quantile of fio's
// is the upper end of a bucket (1.6 % wide), so that one in the bucket of the longest is at
// the most the longest; of so few that it is the longest itself there is none; and a
// latency of 0 is one that the guest's clock did not tell.
func (r *FioResult) Verify() map[string]string {
	const coarse = "shorter than the guest's clock can tell"
	out := map[string]string{}
	most := r.Latency["max"]
	for name, d := range r.Latency {
		q, isQuantile := openloop.Quantiles[name]
		switch {
		case d <= 0:
			out[name] = coarse
		case isQuantile && r.Count < uint64(q.Least):
			out[name] = fmt.Sprintf("of %d it is the slowest one", r.Count)
		case isQuantile && most > 0:
			r.Latency[name] = min(d, most)
		}
	}
	for name, why := range implausible(r.Latency, "") {
		if out[name] == "" {
			out[name] = why
		}
	}
	for name := range out {
		delete(r.Latency, name)
	}
	return out
}
