// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// poller is an epoll set with a timer, a deadline and a context. A timerfd
// ticks finer than epoll_wait's milliseconds.
type poller struct {
	ctx      context.Context
	deadline time.Time
	epoll    int
	timer    int
	wake     *waker
	stop     func() bool
	buf      [256]unix.EpollEvent
}

func newPoller(ctx context.Context, deadline time.Time) (*poller, error) {
	p := &poller{ctx: ctx, deadline: deadline, epoll: -1, timer: -1, wake: &waker{fd: -1}, stop: func() bool { return true }}
	err := p.open()
	if err != nil {
		p.close()
		return nil, fmt.Errorf("epoll, timerfd, eventfd: %w", err)
	}
	p.stop = context.AfterFunc(ctx, p.wake.ring)
	return p, nil
}

func (p *poller) open() (err error) {
	if p.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	if p.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK); err != nil {
		return err
	}
	if p.wake.fd, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return err
	}
	return errors.Join(p.watch(p.timer, unix.EPOLLIN), p.watch(p.wake.fd, unix.EPOLLIN))
}

func (p *poller) close() {
	p.stop()
	p.wake.close()
	for _, fd := range []int{p.timer, p.epoll} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}

func (p *poller) watch(fd int, events uint32) error {
	return unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
}

func (p *poller) rewatch(fd int, events uint32) error {
	return unix.EpollCtl(p.epoll, unix.EPOLL_CTL_MOD, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
}

// tickAt sets the timer to a time of CLOCK_MONOTONIC, in ns; 0 stops it.
func (p *poller) tickAt(ns int64) error {
	return unix.TimerfdSettime(p.timer, unix.TFD_TIMER_ABSTIME, &unix.ItimerSpec{Value: unix.NsecToTimespec(ns)}, nil)
}

// wait blocks until a socket is ready or the timer has ticked. ErrTimeout after
// the deadline, the context's error when it has ended.
func (p *poller) wait() (ready []unix.EpollEvent, err error) {
	left := time.Until(p.deadline)
	if err := p.ctx.Err(); err != nil {
		return nil, err
	}
	if left <= 0 {
		return nil, ErrTimeout
	}
	n, err := unix.EpollWait(p.epoll, p.buf[:], int(min(left.Milliseconds()+1, 1000)))
	if err != nil && !errors.Is(err, unix.EINTR) {
		return nil, fmt.Errorf("epoll_wait: %w", err)
	}
	for _, ev := range p.buf[:max(n, 0)] {
		switch int(ev.Fd) {
		case p.timer:
			var count [8]byte
			_, _ = unix.Read(p.timer, count[:])
		case p.wake.fd:
		default:
			ready = append(ready, ev)
		}
	}
	return ready, nil
}

// waker is an eventfd that may be rung from another goroutine while it is
// being closed.
type waker struct {
	mu sync.Mutex
	fd int
}

func (w *waker) ring() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fd >= 0 {
		_, _ = unix.Write(w.fd, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	}
}

func (w *waker) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fd >= 0 {
		_ = unix.Close(w.fd)
		w.fd = -1
	}
}
