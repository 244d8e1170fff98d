// SPDX-License-Identifier: Apache-2.0

// Package client finds the first moment at which a TCP service answers, finer
// than TCP itself would: a plain connect(2) whose first SYN is lost is not
// repeated for a second, which would round every boot time up to seconds. Here
// a new connection attempt, with one SYN, is started again and again, and the
// first to be established wins. The time between two grows with the time that has
// passed: a hundredth of it.
//
// The package knows sockets. It knows neither namespaces nor guests, and its
// own times are a client's: the time of an answer that counts is taken on the
// wire, by package probe.
package client

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// DefaultTimeout bounds one Ask.
	DefaultTimeout = 30 * time.Second

	// repeatAfter is when the kernel repeats a SYN: TCP_TIMEOUT_INIT (include/net/tcp.h).
	repeatAfter = time.Second
	// maxAge is when an attempt is given up: before its SYN would be repeated.
	maxAge = 950 * time.Millisecond
	// maxOpen bounds the attempts open at once. From DefaultInterval on no more than
	// 560 are younger than maxAge. But before the start is told (Request.Started) the time
	// between two does not grow: at 100 µs attempts are then given up after 102 ms, which
	// the service must not take longer than to answer a SYN.
	maxOpen = 1024
	// maxResponse bounds what is read, in bytes.
	maxResponse = 16 << 20
)

// ErrTimeout says that the answer was not complete within Request.Timeout.
var ErrTimeout = errors.New("no answer in time")

// Request is what to ask, and whom.
type Request struct {
	Addr     netip.AddrPort
	Interval time.Duration // between the first SYNs, and the least between any; 0 = DefaultInterval
	Timeout  time.Duration // for all of it; 0 = DefaultTimeout
	Payload  []byte        // sent once connected; empty = the service speaks first

	// Expect is given all bytes received so far and tells whether the answer is
	// complete, or why it is wrong. nil = the first byte is enough.
	Expect func(received []byte) (done bool, err error)

	// Asking, if not nil, is called once the first SYN has been sent or refused.
	Asking func()
	// Started is for a service that is started once it is being asked: when, on
	// CLOCK_MONOTONIC in ns. As long as it is 0, for at most a second, the time between SYNs
	// does not grow; after that by the time since. nil: it counts from the first SYN on.
	Started *atomic.Int64
}

// Result is how it went. Times are zero for what did not happen. After an error
// it holds what was seen until then.
type Result struct {
	// SYNs is how many attempts the kernel's TCP began, each with one SYN.
	// Without a carrier the kernel drops the frame unsent; it counts here.
	SYNs        int
	Refused     int // attempts answered by RST: the stack is up, no one listens
	Unreachable int // attempts the kernel refused to begin: no route, no network
	Resets      int // connections that ended before the first byte of an answer

	// LongestGap is the longest time between two attempts; 0: there were not two.
	LongestGap time.Duration

	// AskedNs is when the attempt that was answered had been sent, at the latest, and
	// AskedBeforeNs when the one before it had, at the earliest, which was not answered or
	// refused: the service cannot be known to be ready more precisely than from the one to
	// the other. CLOCK_MONOTONIC; 0: there was none.
	AskedNs, AskedBeforeNs int64

	Connected, FirstByte     time.Time
	ConnectedNs, FirstByteNs int64 // the same on CLOCK_MONOTONIC, in ns
	Response                 []byte
}

// Ask sends SYNs until the service takes a connection, sends the payload and
// reads the answer. What a service that is still starting does (RST, no route,
// no carrier, a connection closed before the first byte) is no error but tried
// again. inNS runs its argument inside a network namespace (network.Lab.Do);
// nil means the current one.
//
// Errors: ErrTimeout; the context's; what Expect found wrong; an answer cut
// short; sockets that cannot be made.
func Ask(ctx context.Context, inNS func(func() error) error, r Request) (Result, error) {
	var res Result
	if !r.Addr.IsValid() || r.Addr.Port() == 0 || r.Interval < 0 || r.Timeout < 0 {
		return res, fmt.Errorf("ask %v: want an address with a port, an interval and a timeout above 0", r.Addr)
	}
	if r.Interval == 0 {
		r.Interval = DefaultInterval
	}
	if r.Timeout == 0 {
		r.Timeout = DefaultTimeout
	}
	if inNS == nil {
		inNS = func(fn func() error) error { return fn() }
	}
	err := inNS(func() error { return ask(ctx, r, &res) })
	if err != nil {
		return res, fmt.Errorf("ask %v: %w", r.Addr, err)
	}
	return res, nil
}

func ask(ctx context.Context, r Request, res *Result) error {
	p, err := newPoller(ctx, time.Now().Add(r.Timeout))
	if err != nil {
		return err
	}
	defer p.close()
	w := &window{p: p, to: sockaddr(r.Addr), res: res, shortest: r.Interval, asking: r.Asking, started: r.Started}
	defer w.closeAll()
	for {
		fd, err := w.hunt()
		if err == nil {
			res.Connected, res.ConnectedNs = time.Now(), monotonicNs()
			err = exchange(p, fd, r, res, w.closeAll)
			err = errors.Join(err, unix.Close(fd))
		}
		switch {
		case errors.Is(err, errEndedEarly):
			res.Resets++
			res.Connected, res.ConnectedNs, res.AskedNs, res.AskedBeforeNs = time.Time{}, 0, 0, 0
		case errors.Is(err, ErrTimeout):
			return fmt.Errorf("%w (%v): %s", err, r.Timeout, res.soFar())
		default:
			return err
		}
	}
}

// soFar tells a person how far it went.
func (res *Result) soFar() string {
	switch {
	case len(res.Response) > 0:
		return fmt.Sprintf("the answer was not complete after %d bytes", len(res.Response))
	case !res.Connected.IsZero():
		return "connected, but not a byte came"
	}
	return fmt.Sprintf("never connected: %d SYNs, %d refused, %d unreachable, %d connections ended early",
		res.SYNs, res.Refused, res.Unreachable, res.Resets)
}

// monotonicNs reads CLOCK_MONOTONIC, the clock of every event in ukprobe.
func monotonicNs() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0
	}
	return ts.Nano()
}
