// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/probe"
)

const tenRows = "rows: 10"

// every is a guest's console: a line after each so many milliseconds.
func every(milliseconds ...int64) []probe.Line {
	lines := []probe.Line{{Text: "up\n"}}
	for _, at := range milliseconds {
		lines = append(lines, probe.Line{Text: "(0) " + tenRows + "\r\n", FirstNS: at*1e6 - 1000, LastNS: at * 1e6})
	}
	return append(lines, probe.Line{Text: tenRows, Partial: true, LastNS: 1e15})
}

func TestInserts(t *testing.T) {
	for _, tt := range []struct {
		name     string
		w        matrix.Workload
		at       []int64
		requests float64
		load     time.Duration
		curve    []Point
	}{
		{"by time", matrix.Workload{Warmup: time.Second, Duration: 2 * time.Second}, []int64{100, 900, 1100, 2100, 3100, 4100}, 20, 2 * time.Second,
			[]Point{{2100e6, 10}, {3100e6, 10}}},
		{"without a warm-up the first rows are left out", matrix.Workload{Duration: time.Second}, []int64{100, 600, 1600, 2000}, 10, time.Second, []Point{{1600e6, 10}}},
		{"by number, rounded up to lines", matrix.Workload{Requests: 25}, []int64{0, 500, 600, 800, 1000, 1200}, 30, 500 * time.Millisecond,
			[]Point{{600e6, 100}, {800e6, 50}, {1000e6, 50}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, s := newLive(t, http.NotFoundHandler())
			s.lines = every(tt.at...)
			if err := Inserts(tenRows, 10, tt.w, time.Second).Do(t.Context(), l); err != nil {
				t.Fatal(err)
			}
			v := l.Sample.Values
			if want := tt.requests / tt.load.Seconds(); v["requests"] != tt.requests || v["load_ns"] != float64(tt.load.Nanoseconds()) || v["requests_per_second"] != want {
				t.Errorf("%v; want %v requests in %v", v, tt.requests, tt.load)
			}
			if diff := cmp.Diff(tt.curve, l.Sample.Curves[curveRate]); diff != "" {
				t.Errorf("curve (-want +got):\n%s", diff)
			}
			if _, ok := v["latency_p50_ns"]; ok || len(l.Sample.Lacking) == 0 {
				t.Errorf("a latency that nobody knows: %v, %v", v, l.Sample.Lacking)
			}
		})
	}
}

// A guest that prints too few lines is waited for, and one that prints too many is not.
func TestInsertsNotSeen(t *testing.T) {
	l, s := newLive(t, http.NotFoundHandler())
	s.lines = every(100, 200)
	ctx, cancel := context.WithTimeoutCause(t.Context(), 200*time.Millisecond, errGuestEnded)
	defer cancel()
	w := matrix.Workload{Duration: time.Hour}
	if err := Inserts(tenRows, 10, w, time.Second).Do(ctx, l); !errors.Is(err, errGuestEnded) {
		t.Errorf("error %v", err)
	}
	for at := int64(0); len(s.lines) < probe.MaxLines; at++ { // more a watch does not keep
		s.lines = append(s.lines, every(300 + at)[1])
	}
	if err := Inserts(tenRows, 10, w, time.Second).Do(t.Context(), l); err == nil || errors.Is(err, errGuestEnded) {
		t.Errorf("error %v", err)
	}
}
