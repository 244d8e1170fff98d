// SPDX-License-Identifier: Apache-2.0

package client

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// attempt is one connection being tried.
type attempt struct {
	fd           int
	born         time.Time
	sent, before int64 // when it had been sent, and when the one before it was begun; ns
}

// window holds the attempts in flight, oldest first.
type window struct {
	p        *poller
	to       unix.Sockaddr
	res      *Result
	shortest time.Duration // between two attempts
	asking   func()        // told of the first
	started  *atomic.Int64 // see Request.Started; may be nil

	open        []attempt
	first, last int64 // when the first and the last attempt was begun, ns; 0: none was
	next        int64 // when the next is due
}

// hunt starts attempts at their pace, the first one now or, after another hunt, when it
// is due, until one is established, and gives its socket. The others are still open.
func (w *window) hunt() (fd int, err error) {
	if w.next > 0 { // closeAll has stopped the timer; a time that is past ticks at once
		if err := w.p.tickAt(w.next); err != nil {
			return -1, fmt.Errorf("timerfd_settime: %w", err)
		}
	}
	for {
		if now := monotonicNs(); now >= w.next {
			w.expire(time.Now())
			if err := w.start(); err != nil {
				return -1, err
			}
			if err := w.schedule(now); err != nil {
				return -1, err
			}
		}
		ready, err := w.p.wait()
		if err != nil {
			return -1, err
		}
		// No attempt is started between wait and here, so no descriptor in
		// ready can be another socket's by now.
		for _, ev := range ready {
			if established, err := w.settle(int(ev.Fd)); err != nil || established {
				return int(ev.Fd), err
			}
		}
	}
}

// schedule sets the timer for the next attempt: by the clock, so that what asking takes
// is no part of the pace, but never at once, to catch up.
func (w *window) schedule(began int64) error {
	started := w.first
	if w.started != nil {
		started = w.started.Load()
	}
	step := int64(pace(w.shortest, passed(began, w.first, started)))
	w.next = max(w.next+step, began+step/2)
	if err := w.p.tickAt(w.next); err != nil {
		return fmt.Errorf("timerfd_settime: %w", err)
	}
	return nil
}

// start begins one attempt. What may pass while a network comes up is counted,
// not returned.
func (w *window) start() error {
	fd, err := newSocket(w.to)
	if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) || errors.Is(err, unix.ENOBUFS) {
		w.drop(len(w.open)/2 + 1)
		return nil
	}
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	a := attempt{fd: fd, born: time.Now(), before: w.last}
	began := monotonicNs()
	err = unix.Connect(fd, w.to)
	a.sent = monotonicNs()
	switch {
	case err == nil || errors.Is(err, unix.EINPROGRESS):
		w.res.SYNs++
		w.tried(began)
	case passing(err):
		w.res.Unreachable++
		w.tried(began)
		return unix.Close(fd)
	default:
		_ = unix.Close(fd)
		return fmt.Errorf("connect: %w", err)
	}
	w.open = append(w.open, a)
	if err := w.p.watch(fd, unix.EPOLLOUT); err != nil {
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	return nil
}

// tried notes when an attempt was begun.
func (w *window) tried(began int64) {
	if w.last != 0 {
		w.res.LongestGap = max(w.res.LongestGap, time.Duration(began-w.last))
	} else {
		w.first, w.next = began, began
		if w.asking != nil {
			w.asking()
		}
	}
	w.last = began
}

// settle looks at an attempt that is over. The winner leaves the window.
func (w *window) settle(fd int) (established bool, err error) {
	i := slices.IndexFunc(w.open, func(a attempt) bool { return a.fd == fd })
	if i < 0 {
		return false, nil
	}
	a := w.open[i]
	w.open = slices.Delete(w.open, i, i+1)
	errno, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && errno == 0 && connected(fd) {
		w.res.AskedNs, w.res.AskedBeforeNs = a.sent, a.before
		if now := monotonicNs(); now-a.sent > int64(repeatAfter) {
			w.res.AskedNs = now // its SYN may have been repeated, by a kernel that had the CPU
		}
		return true, nil
	}
	if unix.Errno(errno) == unix.ECONNREFUSED {
		w.res.Refused++
	}
	return false, errors.Join(err, unix.Close(fd))
}

// connected asks whether a socket has a peer, and one other than itself: an
// attempt at an address of this machine can, by TCP's simultaneous open, meet
// its own SYN.
func connected(fd int) bool {
	peer, err := unix.Getpeername(fd)
	if err != nil {
		return false
	}
	own, err := unix.Getsockname(fd)
	return err == nil && addrPort(own) != addrPort(peer)
}

// expire gives up what is too old or too much.
func (w *window) expire(now time.Time) {
	n := max(0, len(w.open)+1-maxOpen)
	for n < len(w.open) && now.Sub(w.open[n].born) > maxAge {
		n++
	}
	w.drop(n)
}

// drop closes the n oldest attempts.
func (w *window) drop(n int) {
	n = min(n, len(w.open))
	for _, a := range w.open[:n] {
		_ = unix.Close(a.fd)
	}
	w.open = slices.Delete(w.open, 0, n)
}

// closeAll gives up all attempts that are left, and the next, until hunt is called again.
func (w *window) closeAll() {
	w.drop(len(w.open))
	_ = w.p.tickAt(0)
}

// newSocket makes a non-blocking TCP socket. Closed early it resets its
// connection instead of lingering in the guest.
func newSocket(to unix.Sockaddr) (int, error) {
	family := unix.AF_INET
	if _, six := to.(*unix.SockaddrInet6); six {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return -1, err
	}
	err = errors.Join(
		unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}),
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1))
	if err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// passing tells the errors of connect(2) that end by themselves when a network
// comes up.
func passing(err error) bool {
	return slices.ContainsFunc([]error{
		unix.ENETUNREACH, unix.EHOSTUNREACH, unix.ENETDOWN, unix.EHOSTDOWN, unix.EADDRNOTAVAIL,
		unix.EAGAIN, unix.ENOBUFS, unix.ECONNREFUSED, unix.ECONNRESET, unix.ETIMEDOUT, unix.EINTR,
	}, func(e error) bool { return errors.Is(err, e) })
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	ip := a.Addr().Unmap()
	if ip.Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: ip.As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: ip.As16()}
}

func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port))
	}
	return netip.AddrPort{}
}
