// SPDX-License-Identifier: Apache-2.0

package client

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// errEndedEarly: the connection ended before the first byte of an answer, as
// with a service that is still starting.
var errEndedEarly = errors.New("connection ended before the first byte")

// exchange sends the payload on an established connection and reads the answer. asked is
// called in between: what need not be done before the service has its request.
func exchange(p *poller, fd int, r Request, res *Result, asked func()) error {
	// From here on a close is an orderly one.
	if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{}); err != nil {
		return fmt.Errorf("setsockopt SO_LINGER: %w", err)
	}
	err := send(p, fd, r.Payload)
	asked()
	if err != nil {
		return err
	}
	if err := p.rewatch(fd, unix.EPOLLIN); err != nil {
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	buf := make([]byte, 64<<10)
	for {
		n, err := unix.Read(fd, buf)
		switch {
		case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
			if _, err := p.wait(); err != nil {
				return err
			}
		case err != nil || n == 0:
			return ended(err, len(res.Response))
		default:
			if done, err := receive(buf[:n], r, res); done || err != nil {
				return err
			}
		}
	}
}

// send writes all of payload.
func send(p *poller, fd int, payload []byte) error {
	for len(payload) > 0 {
		n, err := unix.SendmsgN(fd, payload, nil, nil, unix.MSG_NOSIGNAL)
		switch {
		case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
			if _, err := p.wait(); err != nil {
				return err
			}
		case err != nil:
			return ended(err, 0)
		default:
			payload = payload[n:]
		}
	}
	return nil
}

// ended tells a connection that may be tried again from an answer cut short.
func ended(err error, received int) error {
	gone := err == nil || errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ETIMEDOUT)
	switch {
	case gone && received == 0:
		return errEndedEarly
	case err == nil:
		return fmt.Errorf("the service closed the connection after %d bytes of an incomplete answer", received)
	}
	return fmt.Errorf("connection lost after %d bytes: %w", received, err)
}

// receive takes what was read and asks whether it is all.
func receive(b []byte, r Request, res *Result) (done bool, err error) {
	if res.FirstByte.IsZero() {
		res.FirstByte, res.FirstByteNs = time.Now(), monotonicNs()
	}
	res.Response = append(res.Response, b...)
	if r.Expect == nil {
		return true, nil
	}
	if done, err := r.Expect(res.Response); done || err != nil {
		return done, err
	}
	if len(res.Response) > maxResponse {
		return false, fmt.Errorf("the answer is longer than %d bytes and still not complete", maxResponse)
	}
	return false, nil
}
