// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"

	"github.com/ukprobe/ukprobe/internal/door"
)

// server serves metrics. The zero listener serves nothing.
type server struct {
	listener net.Listener
	name     string // of the host, as it was asked for
	http     *http.Server
}

// listen opens the address before anything else is done, so that a busy port is
// known at once. An address without a host is loopback.
func listen(addr string) (*server, error) {
	if addr == "" {
		return &server{}, nil
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, usage(fmt.Errorf("--listen %s: %w: use HOST:PORT or :PORT", addr, err))
	}
	if n, err := strconv.Atoi(port); err == nil && (n < 0 || n > 65535) {
		return nil, usage(fmt.Errorf("--listen %s: port %d: must be 0 to 65535", addr, n))
	}
	if host == "" {
		host = "127.0.0.1"
	}
	network := "tcp"
	if ip := net.ParseIP(host); ip != nil && ip.To4() != nil {
		network = "tcp4" // else 0.0.0.0 would be every address of IPv6 too
	}
	l, err := net.Listen(network, net.JoinHostPort(host, port))
	if err != nil {
		return nil, listenError(addr, port, err)
	}
	return &server{listener: l, name: host}, nil
}

// listenError says what to do.
func listenError(addr, port string, err error) error {
	var lookup *net.DNSError
	switch {
	case errors.As(err, &lookup) && strings.HasSuffix(lookup.Err, "unknown port"):
		return usage(fmt.Errorf("--listen %s: no service is called %q: give the port's number", addr, port))
	case errors.As(err, &lookup):
		return fmt.Errorf("--listen %s: %w: give an address of this host", addr, err)
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("--listen %s: %w: choose another port, or end what uses it", addr, err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("--listen %s: %w: no interface of this host has that address: give one that `ip address` lists, or 0.0.0.0 or [::] for all", addr, err)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("--listen %s: %w: ports below 1024 need root or CAP_NET_BIND_SERVICE: choose a higher one", addr, err)
	}
	return fmt.Errorf("--listen %s: %w", addr, err)
}

// logger takes what is to be told to a person.
type logger interface {
	Log(format string, args ...any)
}

// Serve begins to answer; more, if it is not nil, adds pages beside the metrics.
func (s *server) Serve(metrics http.Handler, p logger, more func(*http.ServeMux)) {
	if s.listener == nil {
		return
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics)
	if more != nil {
		more(mux)
	}
	s.http, s.listener = door.Open(s.listener, door.Named(s.listener.Addr(), []string{s.name}, mux), door.Errors(func(line string) { p.Log("metrics: %s", line) }))
	p.Log("metrics: http://%s/metrics", s.listener.Addr())
	go func() {
		if err := s.http.Serve(s.listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
			p.Log("metrics: %v", err)
		}
	}()
}

// Linger serves until the context ends.
func (s *server) Linger(ctx context.Context, p logger) {
	p.Log("serving metrics on http://%s/metrics until Ctrl-C", s.listener.Addr())
	<-ctx.Done()
}

// Close stops serving.
func (s *server) Close() {
	switch {
	case s.http != nil:
		_ = s.http.Close()
	case s.listener != nil:
		_ = s.listener.Close()
	}
}
