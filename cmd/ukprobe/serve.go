// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// server serves metrics. The zero listener serves nothing.
type server struct {
	listener net.Listener
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
	if host == "" {
		host = "127.0.0.1"
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, fmt.Errorf("--listen %s: %w: choose another port, or end what uses it", addr, err)
	}
	return &server{listener: l}, nil
}

// Serve begins to answer.
func (s *server) Serve(metrics http.Handler, p *progress) {
	if s.listener == nil {
		return
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", metrics)
	s.http = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	p.Log("metrics: http://%s/metrics", s.listener.Addr())
	go func() {
		if err := s.http.Serve(s.listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
			p.Log("metrics: %v", err)
		}
	}()
}

// Linger serves until the context ends.
func (s *server) Linger(ctx context.Context, p *progress) {
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
