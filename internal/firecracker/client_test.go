// SPDX-License-Identifier: Apache-2.0

package firecracker

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// serve answers on a socket of the test's; it returns the socket's path.
func serve(t *testing.T, answer http.HandlerFunc) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: answer}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	return socket
}

// connected is a client whose API is there.
func connected(t *testing.T, socket string) *Client {
	t.Helper()
	c := NewClient(socket)
	t.Cleanup(c.Close)
	if err := c.Wait(t.Context(), 5*time.Second); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestOneConnection: all requests go over the connection with which the API was
// found, and arrive as they are.
func TestOneConnection(t *testing.T) {
	var mu sync.Mutex // an idle connection's ConnState may come after its answer
	var got []string
	peers := map[net.Conn]bool{}
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{
		ConnState: func(c net.Conn, _ http.ConnState) {
			mu.Lock()
			defer mu.Unlock()
			peers[c] = true
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			mu.Lock()
			defer mu.Unlock()
			got = append(got, r.Method+" "+r.URL.Path+" "+string(body)+" "+r.Header.Get("Content-Type"))
			w.WriteHeader(http.StatusNoContent)
		}),
	}
	served := make(chan struct{})
	go func() { defer close(served); _ = s.Serve(l) }()
	c := connected(t, socket)
	for _, call := range []Call{{"PUT", "/a", `{"x":1}`}, {"GET", "/", ""}, Start()} {
		if err := c.Do(t.Context(), call); err != nil {
			t.Fatal(err)
		}
	}
	c.Close()
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-served
	mu.Lock()
	defer mu.Unlock()
	want := `PUT /a {"x":1} application/json|GET /  |PUT /actions {"action_type":"InstanceStart"} application/json`
	if text := strings.Join(got, "|"); text != want || len(peers) != 1 {
		t.Errorf("%d connections, %s; want one, %s", len(peers), text, want)
	}
}

// TestErrors: what an API that does not do as it should leads to.
func TestErrors(t *testing.T) {
	call := Call{"PUT", "/boot-source", "{}"}
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"fault": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"fault_message":"The kernel file cannot be opened:\nNo such file \u001b[31m"}`)
		}, "PUT /boot-source: 400: The kernel file cannot be opened: No such file [31m"},
		"no JSON": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = io.WriteString(w, "oh no")
		}, "PUT /boot-source: 500: oh no"},
		"silent refusal": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) },
			"PUT /boot-source: 418: (no reason given)"},
		"dies": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
			"PUT /boot-source: the connection was closed without an answer"},
		"redirects": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusMultipleChoices) },
			"PUT /boot-source: 300: (no reason given)"},
	} {
		t.Run(name, func(t *testing.T) {
			err := connected(t, serve(t, tt.answer)).Do(t.Context(), call)
			if err == nil || err.Error() != tt.want {
				t.Errorf("%v, want %s", err, tt.want)
			}
		})
	}
}

// TestNoAnswer: a request that is not answered ends with its context, and says which
// it was.
func TestNoAnswer(t *testing.T) {
	done := make(chan struct{})
	c := connected(t, serve(t, func(http.ResponseWriter, *http.Request) { <-done }))
	defer close(done)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := c.Do(ctx, Start()); err == nil || err.Error() != "PUT /actions: not answered yet" {
		t.Errorf("%v", err)
	}
}

// TestNotHTTP: something else listens there.
func TestNotHTTP(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if conn, err := l.Accept(); err == nil {
			_, _ = conn.Read(make([]byte, 1)) // the request has begun
			_, _ = io.WriteString(conn, "220 mail ready\r\n")
			_, _ = io.Copy(io.Discard, conn)
		}
	}()
	if err := connected(t, socket).Do(t.Context(), Start()); err == nil || !strings.Contains(err.Error(), "malformed HTTP") {
		t.Errorf("%v", err)
	}
}

func TestWait(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	c := NewClient(socket)
	defer c.Close()
	err := c.Wait(t.Context(), 20*time.Millisecond)
	if want := "the API socket " + socket + " did not come within 20ms: connect: no such file or directory"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := c.Wait(ctx, time.Minute); err == nil || !strings.Contains(err.Error(), "was not there yet") {
		t.Errorf("%v", err)
	}
	// It comes later.
	come := make(chan error, 1)
	go func() {
		time.Sleep(30 * time.Millisecond)
		l, err := net.Listen("unix", socket)
		come <- err
		if err == nil {
			t.Cleanup(func() { _ = l.Close() })
		}
	}()
	begun := time.Now()
	if err := c.Wait(t.Context(), 10*time.Second); err != nil || time.Since(begun) < 20*time.Millisecond {
		t.Errorf("%v after %v", err, time.Since(begun))
	}
	if err := <-come; err != nil {
		t.Fatal(err)
	}
}

// TestLongPath: a jail's socket has a longer path than connect takes.
func TestLongPath(t *testing.T) {
	short := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	deep := filepath.Join(t.TempDir(), strings.Repeat("d", 60), strings.Repeat("e", 60))
	c := NewClient(filepath.Join(deep, "s"))
	defer c.Close()
	if err := c.Wait(t.Context(), 5*time.Millisecond); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("before it is there: %v", err)
	}
	if err := os.MkdirAll(deep, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(short, filepath.Join(deep, "s")); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(t.Context(), time.Second); err != nil {
		t.Fatal(err)
	}
	if err := c.Do(t.Context(), Start()); err != nil {
		t.Error(err)
	}
}

func TestAPIVersion(t *testing.T) {
	answers := map[string]string{ // as 0.18.0 and 1.14.2 give them, and as none should
		`{"id":"anonymous-instance","state":"Uninitialized","vmm_version":"0.18.0"}`:                        "0.18.0",
		`{"id":"anonymous-instance","state":"Not started","vmm_version":"1.14.2","app_name":"Firecracker"}`: "1.14.2",
		`{"vmm_version":"new"}`: `GET /: vmm_version: no version in "new"`,
		`[`:                     "GET /: unexpected end of JSON input",
		`{}`:                    `GET /: vmm_version: no version in ""`,
	}
	for answer, want := range answers {
		c := connected(t, serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, answer) }))
		v, err := c.Version(t.Context())
		if got := v.String(); (err == nil && got != want) || (err != nil && err.Error() != want) {
			t.Errorf("%s: %s, %v; want %s", answer, got, err, want)
		}
	}
}

func FuzzFault(f *testing.F) {
	f.Add([]byte(`{"fault_message":"x"}`))
	f.Add([]byte("\xff\x00\x1b[31m"))
	f.Add([]byte(`{"fault_message":`))
	f.Fuzz(func(t *testing.T, body []byte) {
		text := fault(body)
		if text == "" || strings.ContainsAny(text, "\n\r\x1b\x00") || len(text) > 4*1001+3 {
			t.Errorf("%q: %q", body, text)
		}
	})
}
