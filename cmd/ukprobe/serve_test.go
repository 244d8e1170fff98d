// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/urfave/cli/v2"
)

func TestListenErrors(t *testing.T) {
	for addr, want := range map[string]string{
		"9435":       "--listen 9435: address 9435: missing port in address: use HOST:PORT or :PORT",
		"::1:9435":   "too many colons",
		"[::1:9435":  "use HOST:PORT or :PORT",
		":port:9435": "use HOST:PORT or :PORT",
		":99999":     "--listen :99999: port 99999: must be 0 to 65535",
		":-1":        "--listen :-1: port -1: must be 0 to 65535",
		":no-such":   `--listen :no-such: no service is called "no-such": give the port's number`,
	} {
		s, err := listen(addr)
		var coder cli.ExitCoder
		if err == nil || !strings.Contains(err.Error(), want) || !errors.As(err, &coder) || coder.ExitCode() != exitUsage {
			t.Errorf("%s: %v, %v: want %q and status 2", addr, s, err, want)
		}
	}
	for _, addr := range []string{":99999", ":abc", "39452"} {
		if _, text, status := ukprobe(t, "run", "--dry-run", "--only", "system=process", "--listen", addr); status != exitUsage || !strings.Contains(text, "--listen "+addr) {
			t.Errorf("--dry-run --listen %s: status %d, %q", addr, status, text)
		}
	}
	// An address that is not ours: another port would not help.
	if s, err := listen("192.0.2.1:0"); !errors.Is(err, syscall.EADDRNOTAVAIL) || strings.Contains(err.Error(), "port") || !strings.Contains(err.Error(), "no interface of this host has that address") {
		t.Errorf("%v, %v", s, err)
	}
}

// TestListenOnAll: an address of IPv4 is not IPv6's too.
func TestListenOnAll(t *testing.T) {
	s, err := listen("0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := s.listener.Addr().String(); !strings.HasPrefix(got, "0.0.0.0:") {
		t.Errorf("listening on %s", got)
	}
}

func TestListenOnABusyPort(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	_, port, _ := net.SplitHostPort(busy.Addr().String())
	if _, err := listen(":" + port); !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "choose another port, or end what uses it") {
		t.Errorf("busy port: %v", err)
	}
	// The run ends there, before it has touched anything.
	if os.Geteuid() == 0 {
		dir := t.TempDir()
		_, text, status := ukprobe(t, "run", "--listen", ":"+port, "--out", filepath.Join(dir, "out"), "--journal-dir", filepath.Join(dir, "journal"))
		if status != exitFailed || !strings.Contains(text, "address already in use") {
			t.Errorf("run: status %d, %q", status, text)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	}
}

func TestServe(t *testing.T) {
	logPath := filepath.Join(t.TempDir(), "log")
	log, err := os.Create(logPath)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	p := newProgress(log, false)
	s, err := listen(":0")
	if err != nil {
		t.Fatal(err)
	}
	host, _, _ := net.SplitHostPort(s.listener.Addr().String())
	if host != "127.0.0.1" {
		t.Errorf("listening on %s: an address without a host is loopback", host)
	}
	s.Serve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "figures") }), p, nil)
	if h := s.http; h.ReadTimeout == 0 || h.WriteTimeout == 0 || h.IdleTimeout == 0 {
		t.Errorf("who neither reads nor writes is waited for without end: %v, %v, %v", h.ReadTimeout, h.WriteTimeout, h.IdleTimeout)
	}
	get := func(path string) (int, string) {
		resp, err := http.Get("http://" + s.listener.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	if code, body := get("/metrics"); code != http.StatusOK || body != "figures" {
		t.Errorf("/metrics: %d, %q", code, body)
	}
	if code, _ := get("/other"); code != http.StatusNotFound {
		t.Errorf("/other: %d", code)
	}
	req, err := http.NewRequest(http.MethodGet, "http://"+s.listener.Addr().String()+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "evil.example"
	if resp, err := http.DefaultClient.Do(req); err != nil || resp.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("a foreign name: %+v, %v", resp, err)
	}
	if resp, err := http.Post("http://"+s.listener.Addr().String()+"/metrics", "text/plain", strings.NewReader("x")); err != nil || resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST /metrics: %+v, %v", resp, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	lingered := make(chan struct{})
	go func() { s.Linger(ctx, p); close(lingered) }()
	select {
	case <-lingered:
		t.Error("lingering ended by itself")
	case <-time.After(20 * time.Millisecond):
	}
	cancel()
	<-lingered
	s.Close()
	if _, err := net.Dial("tcp", s.listener.Addr().String()); err == nil {
		t.Error("the port is still open")
	}
	text, err := os.ReadFile(logPath)
	if err != nil || !strings.Contains(string(text), "metrics: http://"+s.listener.Addr().String()+"/metrics\n") {
		t.Errorf("log %q, %v", text, err)
	}
}

// TestNoListener: without --listen nothing is served, and that is no error.
func TestNoListener(t *testing.T) {
	s, err := listen("")
	if err != nil || s.listener != nil {
		t.Fatalf("%+v, %v", s, err)
	}
	s.Serve(http.NotFoundHandler(), newProgress(os.Stderr, true), nil)
	if s.http != nil {
		t.Error("a server without a listener")
	}
	s.Close()
}
