// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// patience is how long a registry may keep a pull waiting. What is zero is the default.
type patience struct {
	silence time.Duration // without a byte: 1 minute
	window  time.Duration // that the rate is the mean of: 2 minutes
	rate    int64         // bytes per second at least, while they are waited for: 1024
}

func (p patience) orDefault() patience {
	return patience{cmp.Or(p.silence, time.Minute), cmp.Or(p.window, 2*time.Minute), cmp.Or(p.rate, 1024)}
}

var (
	errStalled = errors.New("the registry sent nothing")
	errSlow    = errors.New("the registry is too slow")
)

// maxRedirects is that of Go's own client, which the library's check of redirects
// takes away.
const maxRedirects = 10

// guard ends requests that a registry would never end: redirects in a circle, silence,
// a byte now and then, a document without an end.
type guard struct {
	base     http.RoundTripper
	patience patience
}

func (c *Cache) transport() http.RoundTripper {
	g := &guard{c.Transport, c.patience.orDefault()}
	if g.base == nil {
		g.base = remote.DefaultTransport
	}
	return g
}

// RoundTrip implements http.RoundTripper.
func (g *guard) RoundTrip(req *http.Request) (*http.Response, error) {
	first, redirects := origin(req)
	if redirects > maxRedirects {
		return nil, fmt.Errorf("the registry redirected %d times, at last to %s", maxRedirects, req.URL.Redacted())
	}
	ctx, cancel := context.WithCancelCause(req.Context())
	w := &watched{patience: g.patience, ctx: ctx, cancel: cancel, room: -1}
	if !strings.Contains(first.URL.Path, "/blobs/") { // whose sizes are known
		w.room = maxDocument
	}
	resp, err := waited(w, func() (*http.Response, error) { return g.base.RoundTrip(req.WithContext(ctx)) })
	if err != nil {
		cancel(nil)
		return nil, err
	}
	w.body, resp.Body = resp.Body, w
	return resp, nil
}

// origin is the request that a chain of redirects began with, and the chain's length.
func origin(req *http.Request) (first *http.Request, redirects int) {
	for req.Response != nil && req.Response.Request != nil {
		req = req.Response.Request
		redirects++
	}
	return req, redirects
}

// watched is a response's body. Only the time counts in which it is read from: the
// disk may be slow.
type watched struct {
	patience
	ctx    context.Context
	cancel context.CancelCauseFunc
	body   io.ReadCloser
	room   int64 // bytes that are taken; -1: any number

	spent time.Duration // of this window
	got   int64         // bytes
}

// waited does something that ends after some silence, and says why it ended.
func waited[T any](w *watched, do func() (T, error)) (T, error) {
	silent := time.AfterFunc(w.silence, func() { w.cancel(fmt.Errorf("%w for %v: try again later", errStalled, w.silence)) })
	defer silent.Stop()
	begun := time.Now()
	out, err := do()
	w.spent += time.Since(begun)
	if err == nil || errors.Is(err, io.EOF) || w.ctx.Err() == nil {
		return out, err
	}
	if cause := context.Cause(w.ctx); errors.Is(cause, errStalled) {
		return out, cause
	}
	return out, w.ctx.Err()
}

// Read implements io.Reader.
func (w *watched) Read(b []byte) (int, error) {
	n, err := waited(w, func() (int, error) { return w.body.Read(b) })
	w.got += int64(n)
	if w.room >= 0 && int64(n) > w.room {
		return 0, fmt.Errorf("the registry sends a document of more than %d bytes", maxDocument)
	}
	if w.room >= 0 {
		w.room -= int64(n)
	}
	if err == nil && w.spent >= w.window {
		if float64(w.got) < float64(w.rate)*w.spent.Seconds() {
			err = fmt.Errorf("%w: %d bytes in %v, less than %d a second: try again later", errSlow, w.got, w.spent.Round(time.Millisecond), w.rate)
		}
		w.spent, w.got = 0, 0
	}
	return n, err
}

// Close implements io.Closer.
func (w *watched) Close() error {
	err := w.body.Close()
	w.cancel(nil)
	return err
}

// unlessEnded does something that does not always end with ctx, such as the library's
// waits between its attempts; it is left alone then.
func unlessEnded[T any](ctx context.Context, do func() (T, error)) (T, error) {
	type result struct {
		out T
		err error
	}
	done := make(chan result, 1)
	go func() {
		out, err := do()
		done <- result{out, err}
	}()
	select {
	case r := <-done:
		return r.out, r.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}
