// SPDX-License-Identifier: Apache-2.0

package openloop

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func serve(t *testing.T, h http.HandlerFunc) netip.AddrPort {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().(*net.TCPAddr).AddrPort()
}

func run(t *testing.T, o Options) Result {
	t.Helper()
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Answered+r.Failed+r.Unsent != r.Due || r.Due != o.Requests {
		t.Errorf("of %d requests due %d were answered, %d failed, %d were not sent", r.Due, r.Answered, r.Failed, r.Unsent)
	}
	return r
}

const delay = 20 * time.Millisecond

func slow(_ http.ResponseWriter, _ *http.Request) { time.Sleep(delay) }

// The server takes 20 ms for each: no latency is below, and the rate is the one asked
// for.
func TestKnownDelayAndRate(t *testing.T) {
	r := run(t, Options{Addr: serve(t, slow), Rate: 200, Requests: 100, Connections: 20, Timeout: 10 * time.Second})
	if r.Answered != 100 {
		t.Fatalf("%+v", r)
	}
	if r.Latency["p50"] < delay.Nanoseconds() || r.Service["p50"] < delay.Nanoseconds() {
		t.Errorf("latency %v, service %v: below what the server takes", r.Latency, r.Service)
	}
	// 99 gaps of 5 ms, and the last answer.
	if least := (99*5*time.Millisecond + delay).Nanoseconds(); r.TookNs < least {
		t.Errorf("took %d ns: faster than the schedule, %d ns", r.TookNs, least)
	}
	if r.Late["p50"] > r.Latency["p50"] {
		t.Errorf("late by %v, latency %v", r.Late, r.Latency)
	}
}

// The server stalls once, for 300 ms, while one connection wants to send every 5 ms: a
// closed loop sees one slow request of a hundred, and here those are slow that were due
// meanwhile.
func TestStallIsNotOmitted(t *testing.T) {
	const stall = 300 * time.Millisecond
	var n atomic.Int32
	r := run(t, Options{Addr: serve(t, func(http.ResponseWriter, *http.Request) {
		if n.Add(1) == 20 {
			time.Sleep(stall)
		}
	}), Rate: 200, Requests: 150, Connections: 1, Timeout: 10 * time.Second})
	if r.Answered != 150 {
		t.Fatalf("%+v", r)
	}
	// 60 of the 150 fell into the stall, and waited up to all of it.
	if r.Latency["p90"] < (stall / 3).Nanoseconds() {
		t.Errorf("p90 from the moment due is %d ns: the stall is omitted", r.Latency["p90"])
	}
	if r.Service["p90"] > r.Latency["p90"]/2 {
		t.Errorf("p90 from the sending %d ns, from the moment due %d ns: no difference", r.Service["p90"], r.Latency["p90"])
	}
}

// One connection with answers of 20 ms does 50 requests a second, not 400.
func TestTooFast(t *testing.T) {
	r := run(t, Options{Addr: serve(t, slow), Rate: 400, Requests: 400, Connections: 1, Timeout: 10 * time.Second})
	if most := int((2*time.Second + delay) / delay); r.Answered > most || r.Answered == 0 || r.Unsent < 400-most {
		t.Errorf("%d answered, %d unsent: want at most %d answered", r.Answered, r.Unsent, most)
	}
	if r.Latency["p99"] < time.Second.Nanoseconds() {
		t.Errorf("p99 %d ns: those unsent waited longer than a second", r.Latency["p99"])
	}
}

// What is not an answer is not in the latencies.
func TestFailures(t *testing.T) {
	for name, tt := range map[string]struct {
		handler http.HandlerFunc
		want    map[string]int
	}{
		"status": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }, map[string]int{"status 404 Not Found": 5}},
		"no answer": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
			map[string]int{"the connection was closed before the answer": 5}},
		"late": {func(http.ResponseWriter, *http.Request) { time.Sleep(300 * time.Millisecond) }, map[string]int{"no answer in time": 5}},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(t, Options{Addr: serve(t, tt.handler), Rate: 1000, Requests: 5, Connections: 5, Timeout: 100 * time.Millisecond})
			if diff := cmp.Diff(tt.want, r.Failures); diff != "" || r.Answered != 0 || (r.Latency != nil) != (name == "late") {
				t.Errorf("%+v (-want +got):\n%s", r, diff)
			}
		})
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().(*net.TCPAddr).AddrPort()
	l.Close()
	r := run(t, Options{Addr: addr, Rate: 1000, Requests: 3, Connections: 1, Timeout: time.Second})
	if r.Failures["connection refused"] != 3 {
		t.Errorf("%+v", r)
	}
}

// A server that closes each connection is asked over a new one.
func TestClosingServer(t *testing.T) {
	r := run(t, Options{Addr: serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") }),
		Rate: 500, Requests: 50, Connections: 2, Timeout: 5 * time.Second})
	if r.Answered != 50 {
		t.Errorf("%+v", r)
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithTimeoutCause(t.Context(), 200*time.Millisecond, errors.New("enough"))
	defer cancel()
	begun := time.Now()
	_, err := Run(ctx, Options{Addr: serve(t, slow), Rate: 1, Requests: 100, Connections: 1, Timeout: time.Second})
	if err == nil || err.Error() != "enough" || time.Since(begun) > 5*time.Second {
		t.Errorf("%v after %v", err, time.Since(begun))
	}
}

func TestBadOptions(t *testing.T) {
	if _, err := Run(t.Context(), Options{Rate: 1}); err == nil {
		t.Error("no requests, no connections: want an error")
	}
}

func TestQuantiles(t *testing.T) {
	var times []int64
	for i := range int64(1000) {
		times = append(times, 1000-i)
	}
	want := map[string]int64{"mean": 500, "max": 1000, "p50": 500, "p90": 900, "p99": 990, "p999": 999}
	if diff := cmp.Diff(want, quantiles(times)); diff != "" {
		t.Errorf("of 1 to 1000 (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int64{"mean": 7, "max": 7, "p50": 7}, quantiles([]int64{7})); diff != "" {
		t.Errorf("of one (-want +got):\n%s", diff)
	}
}
