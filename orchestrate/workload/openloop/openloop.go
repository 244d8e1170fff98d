// SPDX-License-Identifier: Apache-2.0

// Package openloop sends HTTP requests at a fixed rate, whether or not the server keeps
// up, and times each from the moment at which it was due. It does not know guests or
// experiments.
//
// A client that waits for an answer before it sends the next request (a closed loop)
// asks a slow server less often: while the server stalls, the requests that would have
// waited are not there (G. Tene: coordinated omission). Here they are.
package openloop

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Options say what is sent.
type Options struct {
	Addr        netip.AddrPort
	Rate        int // requests per second
	Requests    int
	Connections int           // that can wait for an answer at the same time
	Timeout     time.Duration // of one answer
}

// Result is what became of the requests. Times are in nanoseconds.
type Result struct {
	Due      int            `json:"due"` // requests of the schedule
	Answered int            `json:"answered"`
	Failed   int            `json:"failed"` // sent, without an answer or with a wrong one
	Unsent   int            `json:"unsent"` // due, and not sent when the schedule was long over
	Failures map[string]int `json:"failures,omitempty"`
	TookNs   int64          `json:"took_ns"` // from the first moment due to the last answer
	// Quantiles by name: p50, p90, p99, p999, max, and the mean. Those that so few
	// requests do not have are not there.
	Latency map[string]int64 `json:"latency_ns"` // from the moment due to the whole answer; of those unsent, what they had waited
	Service map[string]int64 `json:"service_ns"` // from the sending: what a closed loop would have told
	Late    map[string]int64 `json:"late_ns"`    // from the moment due to the sending
}

// grace is how long after the last moment due a request may still be sent.
const grace = time.Second

// maxFailures bounds the different failures that are told apart.
const maxFailures = 20

// attack is one schedule being worked off.
type attack struct {
	Options
	request []byte
	start   int64 // CLOCK_MONOTONIC
	due     chan int
	giveUp  atomic.Bool

	mu       sync.Mutex
	latency  []int64
	service  []int64
	late     []int64
	failures map[string]int
	failed   int
	unsent   int
	last     int64
}

// Run works the schedule off. The error is about the options and the host; what the
// server does is in the result.
func Run(ctx context.Context, o Options) (Result, error) {
	if o.Rate < 1 || o.Requests < 1 || o.Connections < 1 || o.Timeout <= 0 {
		return Result{}, fmt.Errorf("open loop: %d requests at %d per second over %d connections, %v for each: none may be zero", o.Requests, o.Rate, o.Connections, o.Timeout)
	}
	// One more for the thread that sleeps: it is never to keep the others waiting.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(runtime.NumCPU() + 1))
	const most = 1 << 20 // waiting; beyond that the clock goes on all the same
	a := &attack{Options: o, failures: map[string]int{}, due: make(chan int, min(o.Requests, most)),
		request: fmt.Appendf(nil, "GET / HTTP/1.1\r\nHost: %s\r\nUser-Agent: ukprobe\r\n\r\n", o.Addr)}
	var workers sync.WaitGroup
	a.start = now() + int64(10*time.Millisecond) // until all workers wait
	for range o.Connections {
		workers.Go(func() { a.work(ctx) })
	}
	err := a.pace(ctx)
	close(a.due)
	stop := time.AfterFunc(grace, func() { a.giveUp.Store(true) })
	workers.Wait()
	stop.Stop()
	return a.result(), err
}

// at is when a request is due.
func (a *attack) at(n int) int64 {
	return a.start + int64(float64(n)/float64(a.Rate)*1e9)
}

// pace hands each request out when it is due. It sleeps in the kernel, since Go's own
// timers can be a millisecond late (epoll_wait counts in those).
func (a *attack) pace(ctx context.Context) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("open loop: timer slack: %w", err)
	}
	for n := range a.Requests {
		if err := sleepUntil(ctx, a.at(n)); err != nil {
			return err
		}
		a.due <- n
	}
	return nil
}

func sleepUntil(ctx context.Context, ns int64) error {
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		left := ns - now()
		if left <= 0 {
			return nil
		}
		ts := unix.NsecToTimespec(min(left, int64(100*time.Millisecond)))
		if err := unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &ts, nil); err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("open loop: sleep: %w", err)
		}
	}
}

func now() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(err) // a clock that every Linux has
	}
	return ts.Nano()
}

// conn is a worker's connection, made when it is needed.
type conn struct {
	net.Conn
	in *bufio.Reader
}

// work sends one request after the other over one connection.
func (a *attack) work(ctx context.Context) {
	var c *conn
	defer func() {
		if c != nil {
			_ = c.Close()
		}
	}()
	for n := range a.due {
		due := a.at(n)
		if a.giveUp.Load() || ctx.Err() != nil {
			a.skip(due)
			continue
		}
		sent := now()
		open, err := a.exchange(ctx, &c)
		a.note(due, sent, now(), err)
		if !open && c != nil {
			_ = c.Close()
			c = nil
		}
	}
}

// exchange sends one request and reads the answer. open says that the connection can
// be used again.
func (a *attack) exchange(ctx context.Context, c **conn) (open bool, err error) {
	if *c == nil {
		d := net.Dialer{Timeout: a.Timeout}
		fresh, err := d.DialContext(ctx, "tcp", a.Addr.String())
		if err != nil {
			return false, err
		}
		*c = &conn{fresh, bufio.NewReader(fresh)}
	}
	if err := (*c).SetDeadline(time.Now().Add(a.Timeout)); err != nil {
		return false, err
	}
	if _, err := (*c).Write(a.request); err != nil {
		return false, err
	}
	r, err := http.ReadResponse((*c).in, nil)
	if err != nil {
		return false, err
	}
	_, err = io.Copy(io.Discard, r.Body)
	if err = errors.Join(err, r.Body.Close()); err != nil {
		return false, err
	}
	if r.StatusCode < 200 || r.StatusCode > 399 {
		err = errors.New("status " + r.Status)
	}
	return !r.Close, err
}

func (a *attack) skip(due int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.unsent++
	a.latency = append(a.latency, max(now()-due, 0))
}

func (a *attack) note(due, sent, answered int64, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last = max(a.last, answered)
	a.late = append(a.late, sent-due)
	if err == nil {
		a.latency = append(a.latency, answered-due)
		a.service = append(a.service, answered-sent)
		return
	}
	if errors.Is(err, os.ErrDeadlineExceeded) { // at least so long; other errors are no latency
		a.latency = append(a.latency, answered-due)
	}
	a.failed++
	text := failure(err)
	if _, known := a.failures[text]; !known && len(a.failures) >= maxFailures {
		text = "other"
	}
	a.failures[text]++
}

// failure is an error without the addresses that make each another one.
func failure(err error) string {
	var errno syscall.Errno
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "no answer in time"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed before the answer"
	case errors.As(err, &errno):
		return errno.Error()
	}
	return err.Error()
}

func (a *attack) result() Result {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := Result{Due: a.Requests, Answered: len(a.service), Failed: a.failed, Unsent: a.unsent, Failures: a.failures, TookNs: max(a.last-a.start, 0),
		Latency: quantiles(a.latency), Service: quantiles(a.service), Late: quantiles(a.late)}
	r.Unsent += r.Due - len(a.late) - a.unsent // cut short
	return r
}

// quantiles are exact: all times are kept. A quantile is the smallest time that is not
// exceeded by that share of all.
func quantiles(times []int64) map[string]int64 {
	if len(times) == 0 {
		return nil
	}
	slices.Sort(times)
	sum := 0.0
	for _, t := range times {
		sum += float64(t)
	}
	out := map[string]int64{"mean": int64(sum / float64(len(times))), "max": times[len(times)-1]}
	for name, q := range Quantiles {
		if len(times) >= q.Least {
			rank := (len(times)*q.Thousandths + 999) / 1000
			out[name] = times[max(rank-1, 0)]
		}
	}
	return out
}

// Quantile is a share of all, and how many there have to be at least for it to differ
// from their maximum.
type Quantile struct{ Thousandths, Least int }

// Quantiles are those of a result, by name.
var Quantiles = map[string]Quantile{"p50": {500, 1}, "p90": {900, 10}, "p99": {990, 100}, "p999": {999, 1000}}
