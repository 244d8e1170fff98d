// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// drip answers with a byte per pause until the client is gone.
func drip(w http.ResponseWriter, r *http.Request, pause time.Duration) {
	for r.Context().Err() == nil {
		_, _ = io.WriteString(w, " ")
		_ = http.NewResponseController(w).Flush()
		time.Sleep(pause)
	}
}

// TestImpatience: whatever a registry does not end is ended, with what it was.
func TestImpatience(t *testing.T) {
	silent := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	dripping := func(w http.ResponseWriter, r *http.Request) { drip(w, r, 10*time.Millisecond) }
	stopping := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "{")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
	circle := func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) }
	endless := func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			_, _ = w.Write(make([]byte, 1<<16))
		}
	}
	for _, tt := range []struct {
		name, path string
		answer     http.HandlerFunc
		want       string
		is         error
	}{
		{"ping, silent", "/v2/", silent, "sent nothing for 200ms", errStalled},
		{"manifest, silent", "/manifests/", silent, "sent nothing for 200ms", errStalled},
		{"manifest, stops", "/manifests/", stopping, "sent nothing for 200ms", errStalled},
		{"manifest, drips", "/manifests/", dripping, "too slow: ", errSlow},
		{"manifest, in a circle", "/manifests/", circle, "redirected 10 times", nil},
		{"manifest, endless", "/manifests/", endless, "more than 4194304 bytes", nil},
		{"blob, silent", "/blobs/", silent, "sent nothing for 200ms", errStalled},
		{"blob, stops", "/blobs/", stopping, "sent nothing for 200ms", errStalled},
		{"blob, drips", "/blobs/", dripping, "too slow: ", errSlow},
		{"blob, in a circle", "/blobs/", circle, "10 redirects", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, c := serve(t), newCache(t)
			c.patience = patience{200 * time.Millisecond, 400 * time.Millisecond, 1024}
			s.hello(t, 5000)
			s.meddle = func(w http.ResponseWriter, r *http.Request) bool {
				if tt.path == r.URL.Path || tt.path != "/v2/" && strings.Contains(r.URL.Path, tt.path) {
					tt.answer(w, r)
					return true
				}
				return false
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // else it may never end
			defer cancel()
			_, err := c.Guest(ctx, s.ref("hello:1"), "qemu")
			if ctx.Err() != nil || err == nil || !strings.Contains(err.Error(), tt.want) || tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if n := s.asked(tt.path); strings.Contains(tt.name, "circle") && n > 12 {
				t.Errorf("asked %d times", n)
			}
		})
	}
}

// TestSlowDisk: the time between two reads is not the registry's.
func TestSlowDisk(t *testing.T) {
	s, c := serve(t), newCache(t)
	c.patience = patience{500 * time.Millisecond, 500 * time.Millisecond, 1 << 20}
	layer := s.hello(t, 5000)
	client := http.Client{Transport: c.transport()}
	resp, err := client.Get(s.URL + "/v2/hello/blobs/" + layer.Digest.String())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	n := 0
	for err == nil {
		var k int
		k, err = resp.Body.Read(make([]byte, 2000))
		n += k
		time.Sleep(time.Second)
	}
	if !errors.Is(err, io.EOF) || int64(n) != layer.Size {
		t.Errorf("%d bytes of %d: %v", n, layer.Size, err)
	}
}

// TestInterruptedAnywhere: Ctrl-C ends a pull at once, also in the library's waits. On a
// busy machine the quickest of some pulls tells.
func TestInterruptedAnywhere(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"silent": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"busy":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
	} {
		quickest := time.Hour
		for range 5 {
			quickest = min(quickest, interruptedAfter(t, name, answer))
		}
		if quickest > 700*time.Millisecond {
			t.Errorf("%s: ended after %v", name, quickest)
		}
	}
}

// interruptedAfter is how long a pull takes that is interrupted 50 ms after the registry
// has been asked for a manifest.
func interruptedAfter(t *testing.T, name string, answer http.HandlerFunc) time.Duration {
	s, c := serve(t), newCache(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s.meddle = func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/manifests/") {
			return false
		}
		time.AfterFunc(50*time.Millisecond, cancel)
		answer(w, r)
		return true
	}
	begun := time.Now()
	if _, err := c.Guest(ctx, s.ref("hello:1"), "qemu"); !errors.Is(err, context.Canceled) {
		t.Errorf("%s: %v", name, err)
	}
	return time.Since(begun)
}

// TestRegistrysWords: no terminal is told what to do, and nobody reads a page.
func TestRegistrysWords(t *testing.T) {
	s, c := serve(t), newCache(t)
	for _, body := range []string{
		`{"errors":[{"code":"MANIFEST_UNKNOWN","message":"\u001b[31mred\u0007 \u202e` + strings.Repeat("x", 5000) + `"}]}`,
		"\x1b]0;title\x07" + strings.Repeat("<html>", 5000),
	} {
		s.meddle = func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.Contains(r.URL.Path, "/manifests/") {
				return false
			}
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, body)
			return true
		}
		err := refused(t, s, c, "has no such image: see the name and the tag")
		if strings.ContainsAny(err.Error(), "\x1b\a\u202e\n") || len(err.Error()) > 600 {
			t.Errorf("%d bytes: %q", len(err.Error()), err)
		}
	}
}

// TestStrangeFiles: what is no file of the cache's own is neither waited for nor
// written through.
func TestStrangeFiles(t *testing.T) {
	type place func(c *Cache, layer v1.Descriptor, g Guest) string
	places := map[string]struct {
		path  place
		heals bool // else it is refused
	}{
		"lock": {func(c *Cache, _ v1.Descriptor, _ Guest) string { return filepath.Join(c.Dir, ".lock") }, false},
		"part": {func(c *Cache, l v1.Descriptor, _ Guest) string { return c.path(l.Digest) + ".part" }, false},
		"manifest": {func(c *Cache, _ v1.Descriptor, g Guest) string {
			return filepath.Join(c.Dir, "blobs", "sha256", strings.TrimPrefix(g.Digest, "sha256:"))
		}, true},
		"new": {func(c *Cache, _ v1.Descriptor, g Guest) string {
			return filepath.Join(c.Dir, "blobs", "sha256", strings.TrimPrefix(g.Digest, "sha256:")) + ".new"
		}, true},
		"sums": {func(_ *Cache, _ v1.Descriptor, g Guest) string {
			return filepath.Join(filepath.Dir(g.Kernel), sumsFile)
		}, true},
		"ref": {func(c *Cache, _ v1.Descriptor, _ Guest) string {
			refs, _ := filepath.Glob(filepath.Join(c.Dir, "refs", "*.json"))
			return refs[0]
		}, false},
	}
	for name, tt := range places {
		kinds := []string{"pipe", "huge"} // only what is read can be too large
		if name == "lock" || name == "part" || name == "new" {
			kinds = []string{"pipe", "link", "hard link"} // only what is written can harm a link's target
		}
		for _, kind := range kinds {
			t.Run(name+", "+kind, func(t *testing.T) {
				s, c := serve(t), newCache(t)
				layer := s.hello(t, 5000)
				g, err := c.Guest(t.Context(), s.ref("hello:1"), "qemu")
				if err != nil {
					t.Fatal(err)
				}
				path, precious := tt.path(c, layer, g), filepath.Join(c.Dir, "precious")
				manifest := places["manifest"].path(c, layer, g)
				good, _ := os.ReadFile(path)
				_ = os.Remove(path)
				if name == "part" || name == "new" { // so that it is got again
					if err := errors.Join(os.Remove(c.path(layer.Digest)), os.Remove(manifest), os.RemoveAll(filepath.Dir(g.Kernel))); err != nil {
						t.Fatal(err)
					}
				}
				if err := os.WriteFile(precious, []byte(strings.Repeat("p", 10_000)), 0o600); err != nil {
					t.Fatal(err)
				}
				switch kind {
				case "pipe":
					err = syscall.Mkfifo(path, 0o600)
				case "link":
					err = os.Symlink(precious, path)
				case "hard link":
					err = os.Link(precious, path)
				case "huge":
					err = os.WriteFile(path, append(good, bytes.Repeat([]byte(" "), maxDocument)...), 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
				done := make(chan error, 1)
				go func() { _, err := c.Guest(t.Context(), s.ref("hello:1"), "qemu"); done <- err }()
				select {
				case err = <-done:
				case <-time.After(10 * time.Second):
					t.Fatal("it hangs")
				}
				if tt.heals != (err == nil) || err != nil && !strings.Contains(err.Error(), path) {
					t.Errorf("error %v", err)
				}
				if got := readFile(t, precious); len(got) != 10_000 || got[0] != 'p' {
					t.Error("the precious file was written to")
				}
			})
		}
	}
}
