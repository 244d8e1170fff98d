// SPDX-License-Identifier: Apache-2.0

package door

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// open serves pages and returns where.
func open(t *testing.T, pages http.Handler) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, l := Open(l, pages, Errors(func(line string) { t.Errorf("logged: %s", line) }))
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

func hello(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }

func dial(t *testing.T, addr, say string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_, _ = io.WriteString(c, say) // it may be closed already
	return c
}

// TestTooMany: half-open connections take no more files than there is room, those beyond
// are closed at once, and when one leaves there is room again.
func TestTooMany(t *testing.T) {
	addr := open(t, http.HandlerFunc(hello))
	before := files(t)
	var inside []net.Conn
	for range MaxConnections {
		inside = append(inside, dial(t, addr, "GET / HTTP/1.1\r\nHost: a\r\n"))
	}
	beyond := dial(t, addr, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	_ = beyond.SetReadDeadline(time.Now().Add(time.Minute))
	var late net.Error
	if answer, err := io.ReadAll(beyond); len(answer) > 0 || errors.As(err, &late) && late.Timeout() {
		t.Errorf("one beyond the room: %q, %v: want it closed", answer, err)
	}
	for range 200 {
		c := dial(t, addr, "")
		_ = c.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := c.Read(make([]byte, 1)); err == nil || errors.As(err, &late) && late.Timeout() {
			t.Fatalf("%v: want it closed", err)
		}
		_ = c.Close()
	}
	if n := files(t) - before; n > 2*MaxConnections+8 { // both ends are in this process
		t.Errorf("%d files more than before", n)
	}
	_ = inside[0].Close()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		resp, err := http.Get("http://" + addr + "/")
		if err == nil {
			_ = resp.Body.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("one has left, and there is no room: %v", err)
		}
	}
}

func files(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// TestSlow: who does not get to the end of a header is not waited for.
func TestSlow(t *testing.T) {
	c := dial(t, open(t, http.HandlerFunc(hello)), "GET / HTTP/1.1\r\nHost: a\r\n")
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("still waiting: %v", err)
	}
}

func TestLongHeader(t *testing.T) {
	c := dial(t, open(t, http.HandlerFunc(hello)), "GET / HTTP/1.1\r\nHost: a\r\nX: "+strings.Repeat("a", maxHeader+4096)+"\r\n\r\n")
	answer := make([]byte, 12)
	if _, err := io.ReadFull(c, answer); err != nil || string(answer) != "HTTP/1.1 431" {
		t.Errorf("%q, %v", answer, err)
	}
}

func TestErrors(t *testing.T) {
	var told []string
	l := Errors(func(line string) { told = append(told, line) })
	for range 3 {
		l.Print("http: Accept error: too many open files; retrying in 5ms")
		l.Print("http: TLS handshake error from 192.0.2.1:1: EOF")
		l.Print("http: panic serving 192.0.2.1:1: broken\ngoroutine 1 [running]:")
	}
	if got := strings.Join(told, "\n"); got != "http: Accept error: too many open files; retrying in 5ms\nhttp: panic serving 192.0.2.1:1: broken" {
		t.Errorf("%q", got)
	}
}
