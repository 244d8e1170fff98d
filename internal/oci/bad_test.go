// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// hello pushes a unikernel with a kernel of so many bytes, and returns its kernel's
// layer.
func (s *server) hello(t *testing.T, size int) v1.Descriptor {
	t.Helper()
	img := kraftImage(t, "qemu", "x86_64", map[string][]byte{kernelPath: []byte(strings.Repeat("k", size))})
	s.push(t, "hello:1", img)
	m, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	return m.Layers[0]
}

// isBlob tells a GET of that blob.
func isBlob(r *http.Request, d v1.Descriptor) bool {
	return r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, d.Digest.String())
}

// refused pulls an image and wants an error with those words, and nothing left of it.
func refused(t *testing.T, s *server, c *Cache, words ...string) error {
	t.Helper()
	_, err := c.Guest(t.Context(), s.ref("hello:1"), "qemu")
	if err == nil {
		t.Fatal("it is taken")
	}
	for _, w := range append(words, s.ref("hello:1")) {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q lacks %q", err, w)
		}
	}
	if guests, _ := filepath.Glob(filepath.Join(c.Dir, "guests", "*")); guests != nil {
		t.Errorf("left: %q", guests)
	}
	return err
}

// TestLies: bytes that are not what their digest says are refused, wherever they come
// from, and not kept; from a registry that means well again the pull succeeds.
func TestLies(t *testing.T) {
	tests := []struct {
		name   string
		of     string // part of the path; "" for the layer
		answer func(size int64) string
		want   string
	}{
		{"other bytes of the same length", "", func(n int64) string { return strings.Repeat("x", int(n)) }, "sent what has sha256:"},
		{"too many bytes", "", func(n int64) string { return strings.Repeat("x", int(n)+1) }, "sends more than the"},
		{"another manifest", "/manifests/sha256:", func(int64) string { return `{"schemaVersion":2}` }, "does not match"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, c := serve(t), newCache(t)
			layer := s.hello(t, 5000)
			s.meddle = func(w http.ResponseWriter, r *http.Request) bool {
				if !isBlob(r, layer) && (tt.of == "" || !strings.Contains(r.URL.Path, tt.of)) {
					return false
				}
				_, _ = io.WriteString(w, tt.answer(layer.Size))
				return true
			}
			if err := refused(t, s, c, tt.want); tt.of == "" && !errors.Is(err, ErrDigest) {
				t.Errorf("error %v", err)
			}
			s.meddle = nil
			if g, err := c.Guest(t.Context(), s.ref("hello:1"), "qemu"); err != nil || !strings.HasPrefix(readFile(t, g.Kernel), "kkk") {
				t.Errorf("honest again: %+v, %v", g, err)
			}
		})
	}
}

// TestBrokenOff: a pull goes on where it ended, within one run and in the next.
func TestBrokenOff(t *testing.T) {
	s, c := serve(t), newCache(t)
	layer := s.hello(t, 100_000)
	var ranges []string
	breaks := attempts + 1 // one run's, and one of the next
	s.meddle = func(w http.ResponseWriter, r *http.Request) bool {
		if !isBlob(r, layer) {
			return false
		}
		ranges = append(ranges, r.Header.Get("Range"))
		if breaks == 0 {
			return false
		}
		breaks--
		s.breakOff(w, r, 10_000)
		return true
	}
	refused(t, s, c, fmt.Sprintf("30000 of %d bytes: unexpected EOF", layer.Size))
	g, err := c.Guest(t.Context(), s.ref("hello:1"), "qemu")
	if err != nil || len(readFile(t, g.Kernel)) != 100_000 {
		t.Fatalf("%+v, %v", g, err)
	}
	end := layer.Size - 1
	want := []string{"", fmt.Sprintf("bytes=10000-%d", end), fmt.Sprintf("bytes=20000-%d", end), fmt.Sprintf("bytes=30000-%d", end), fmt.Sprintf("bytes=40000-%d", end)}
	if fmt.Sprint(ranges) != fmt.Sprint(want) {
		t.Errorf("asked for %q, want %q", ranges, want)
	}
	if l := leftovers(t, c); l != nil {
		t.Errorf("left over: %q", l)
	}
}

// breakOff answers as the registry would, and breaks the connection after so many
// bytes.
func (s *server) breakOff(w http.ResponseWriter, r *http.Request, after int) {
	rec := httptest.NewRecorder()
	s.registry.ServeHTTP(rec, r)
	maps.Copy(w.Header(), rec.Header())
	w.WriteHeader(rec.Code)
	_, _ = w.Write(rec.Body.Bytes()[:after])
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// TestRangeIgnored: a registry that sends all of it again is taken as that.
func TestRangeIgnored(t *testing.T) {
	s, c := serve(t), newCache(t)
	layer := s.hello(t, 50_000)
	part := c.path(layer.Digest) + ".part"
	if err := os.MkdirAll(filepath.Dir(part), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(part, []byte("what was there before"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.meddle = func(_ http.ResponseWriter, r *http.Request) bool { r.Header.Del("Range"); return false }
	g, err := c.Guest(t.Context(), s.ref("hello:1"), "qemu")
	if err != nil || len(readFile(t, g.Kernel)) != 50_000 {
		t.Errorf("%+v, %v", g, err)
	}
}

// TestDamagedPart: what was there before is not taken on trust, nor is it the registry's
// fault: one that cannot go on from there is asked for all of it.
func TestDamagedPart(t *testing.T) {
	for name, answer := range map[string]func(w http.ResponseWriter, r *http.Request) bool{
		"honest": nil,
		"nothing from there on": func(w http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("Range") == "" {
				return false
			}
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
			return true
		},
		"another range": func(w http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("Range") == "" {
				return false
			}
			w.Header().Set("Content-Range", "bytes 0-10/50000")
			w.WriteHeader(http.StatusPartialContent)
			_, _ = io.WriteString(w, "0123456789")
			return true
		},
		"no range": func(w http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("Range") != "" {
				w.WriteHeader(http.StatusPartialContent)
				_, _ = io.WriteString(w, "0123456789")
			}
			return r.Header.Get("Range") != ""
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, c := serve(t), newCache(t)
			layer := s.hello(t, 50_000)
			part := c.path(layer.Digest) + ".part"
			if err := os.MkdirAll(filepath.Dir(part), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(part, []byte("<html>log in first</html>"), 0o644); err != nil {
				t.Fatal(err)
			}
			s.meddle = func(w http.ResponseWriter, r *http.Request) bool {
				return answer != nil && isBlob(r, layer) && answer(w, r)
			}
			g, err := c.Guest(t.Context(), s.ref("hello:1"), "qemu")
			if err != nil || len(readFile(t, g.Kernel)) != 50_000 {
				t.Errorf("%+v, %v", g, err)
			}
		})
	}
}

// TestLiesTwice: all of it is asked for again once, and then it is the registry's fault.
func TestLiesTwice(t *testing.T) {
	s, c := serve(t), newCache(t)
	layer := s.hello(t, 50_000)
	part := c.path(layer.Digest) + ".part"
	if err := os.MkdirAll(filepath.Dir(part), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(part, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.meddle = func(w http.ResponseWriter, r *http.Request) bool {
		if isBlob(r, layer) {
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
		}
		return isBlob(r, layer)
	}
	refused(t, s, c, "416")
	if n := s.asked(layer.Digest.Hex); n != 2 {
		t.Errorf("asked %d times, want 2", n)
	}
}

// TestRefusals: what a registry may say, each with what can be done.
func TestRefusals(t *testing.T) {
	s, c := serve(t), newCache(t)
	refused(t, s, c, "has no such image: see the name and the tag")
	s.hello(t, 10)
	s.meddle = func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	refused(t, s, c, "docker login 127.0.0.1:")
	s.meddle = func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusTeapot)
		return true
	}
	refused(t, s, c, "is the reference right? Is 127.0.0.1:")
	s.meddle = nil
	s.Close()
	refused(t, s, c, "connection refused")
	refused(t, s, c, "is the reference right? Is the registry 127.0.0.1:")
}

// TestLogin: the login that `docker login` has stored is used, for manifests and blobs.
func TestLogin(t *testing.T) {
	s, c := serve(t), newCache(t)
	s.hello(t, 10)
	s.meddle = func(w http.ResponseWriter, r *http.Request) bool {
		if user, password, ok := r.BasicAuth(); ok && user == "u" && password == "p" {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
	dir := t.TempDir()
	t.Setenv("DOCKER_CONFIG", dir)
	config, err := json.Marshal(map[string]any{"auths": map[string]any{strings.TrimPrefix(s.URL, "http://"): map[string]string{"auth": "dTpw"}}}) // u:p
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), config, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Guest(t.Context(), s.ref("hello:1"), "qemu"); err != nil {
		t.Error(err)
	}
}

// TestTLS: an authority that nobody knows is an error with a remedy. The library
// speaks HTTP to loopback, and falls back to it never for others; so the name of a
// public host is led to loopback by the transport.
func TestTLS(t *testing.T) {
	s := httptest.NewTLSServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(s.Close)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	c := newCache(t)
	c.Transport = &http.Transport{DialTLSContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		d := tls.Dialer{Config: &tls.Config{ServerName: "example.com"}}
		return d.DialContext(ctx, network, s.Listener.Addr().String())
	}}
	_, err := c.Guest(t.Context(), "example.com/hello:1", "qemu")
	if err == nil || !strings.Contains(err.Error(), "certificate signed by unknown authority") || !strings.Contains(err.Error(), "SSL_CERT_FILE") {
		t.Errorf("error %v", err)
	}
}

// TestDiskFull: nothing half is left under a final name, and with room the pull goes on.
func TestDiskFull(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root: mounting a small file system needs it")
	}
	s := serve(t)
	s.hello(t, 900_000)
	c := &Cache{Dir: t.TempDir(), Logf: t.Logf}
	if err := syscall.Mount("ukprobe-test", c.Dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("mount a tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(c.Dir, 0); err != nil {
			t.Error(err)
		}
	})
	err := refused(t, s, c, "free some room, or choose another cache folder (--cache)")
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("error %v", err)
	}
	if err := syscall.Mount("ukprobe-test", c.Dir, "tmpfs", syscall.MS_REMOUNT, "size=4m"); err != nil {
		t.Fatal(err)
	}
	g, err := c.Guest(t.Context(), s.ref("hello:1"), "qemu")
	if err != nil || len(readFile(t, g.Kernel)) != 900_000 {
		t.Errorf("with room: %+v, %v", g, err)
	}
	if l := leftovers(t, c); l != nil {
		t.Errorf("left over: %q", l)
	}
}

// TestDamagedCache: what the disk has made of a manifest is noticed, and got again.
func TestDamagedCache(t *testing.T) {
	s, c := serve(t), newCache(t)
	s.hello(t, 10)
	g, err := c.Guest(t.Context(), s.ref("hello:1"), "qemu")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(c.Dir, "blobs", "sha256", strings.TrimPrefix(g.Digest, "sha256:"))
	good := readFile(t, path)
	if err := os.WriteFile(path, []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Guest(t.Context(), s.ref("hello:1"), "qemu"); err != nil || readFile(t, path) != good {
		t.Errorf("error %v, manifest %q", err, readFile(t, path))
	}
}

// flip changes one bit of a file, and not its size.
func flip(t *testing.T, path string) {
	t.Helper()
	text := []byte(readFile(t, path))
	text[len(text)/2] ^= 1
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestFlippedBits: what is used of the cache is what the digest says, also where only a
// bit is another: it is got again, or without a registry reported.
func TestFlippedBits(t *testing.T) {
	s, c := serve(t), newCache(t)
	layer := s.hello(t, 5000)
	g, err := c.Guest(t.Context(), s.ref("hello:1"), "qemu")
	if err != nil {
		t.Fatal(err)
	}
	good := readFile(t, g.Kernel)
	offline := *c
	offline.Offline = true
	again := func(what string) {
		t.Helper()
		if _, err := c.Guest(t.Context(), s.ref("hello:1"), "qemu"); err != nil || readFile(t, g.Kernel) != good {
			t.Errorf("%s: %v, and the kernel is the image's: %v", what, err, readFile(t, g.Kernel) == good)
		}
	}
	flip(t, g.Kernel)
	again("the kernel")
	if err := os.Remove(filepath.Join(filepath.Dir(g.Kernel), sumsFile)); err != nil {
		t.Fatal(err)
	}
	flip(t, g.Kernel)
	again("a kernel without its digest")
	flip(t, c.path(layer.Digest))
	flip(t, g.Kernel)
	if err := offline.Verify(t.Context(), g.Digest); !errors.Is(err, ErrDigest) || !strings.Contains(err.Error(), layer.Digest.Hex) {
		t.Errorf("verifying the layer: %v", err)
	}
	s.forget()
	again("kernel and layer")
	if s.asked("/blobs/") != 1 {
		t.Errorf("asked for %q, want the layer", s.log())
	}
	if l := leftovers(t, c); l != nil {
		t.Errorf("left over: %q", l)
	}
}

// TestFlippedContainer: the same for a layout, whose blobs are the cache's.
func TestFlippedContainer(t *testing.T) {
	s, c := serve(t), newCache(t)
	img := kraftImage(t, "linux", "amd64", map[string][]byte{kernelPath: []byte("a layer")})
	s.push(t, "app:1", img)
	l, err := c.Container(t.Context(), s.ref("app:1"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	blob := filepath.Join(l.Path, "blobs", "sha256", m.Layers[0].Digest.Hex)
	flip(t, blob)
	if _, err := OpenLayout(t.Context(), l.Path); !errors.Is(err, ErrDigest) || !strings.Contains(err.Error(), blob) {
		t.Errorf("opened with a flipped bit: %v", err)
	}
	offline := *c
	offline.Offline = true
	if _, err := offline.Container(t.Context(), s.ref("app:1")); !errors.Is(err, ErrDigest) {
		t.Errorf("offline: %v", err)
	}
	if again, err := c.Container(t.Context(), s.ref("app:1")); err != nil || again != l {
		t.Errorf("%+v, %v", again, err)
	}
	if _, err := OpenLayout(t.Context(), l.Path); err != nil {
		t.Errorf("pulled again: %v", err)
	}
}

// TestOffline: nothing is asked for, and what is not there says how to get it.
func TestOffline(t *testing.T) {
	s, c := serve(t), newCache(t)
	layer := s.hello(t, 10)
	s.forget()
	offline := *c
	offline.Offline = true
	refused(t, s, &offline, "not in the cache: `ukprobe image pull` gets it")
	g, err := c.Guest(t.Context(), s.ref("hello:1"), "qemu")
	if err != nil {
		t.Fatal(err)
	}
	s.forget()
	if got, err := offline.Guest(t.Context(), s.ref("hello:1"), "qemu"); err != nil || got.Kernel != g.Kernel {
		t.Errorf("%+v, %v", got, err)
	}
	if err := errors.Join(os.RemoveAll(filepath.Dir(g.Kernel)), os.Remove(c.path(layer.Digest))); err != nil {
		t.Fatal(err)
	}
	if err := refused(t, s, &offline, layer.Digest.Hex); !errors.Is(err, ErrOffline) {
		t.Errorf("error %v", err)
	}
	if l := s.log(); l != nil {
		t.Errorf("asked for %q", l)
	}
}

// TestBoundless: sizes that would fill the disk are refused before a byte is asked for.
func TestBoundless(t *testing.T) {
	one := int64(maxImage)/2 + 1
	for name, sizes := range map[string][]int64{"a layer": {1 << 50}, "the sum": {one, one}, "less than nothing": {-1}} {
		s, c := serve(t), newCache(t)
		img := kraftImage(t, "qemu", "x86_64", map[string][]byte{kernelPath: []byte("k"), initrdPath: []byte("i")})
		s.push(t, "hello:0", img)
		m, err := img.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		m = m.DeepCopy()
		for i, size := range sizes {
			m.Layers[i].Size = size
		}
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		s.meddle = func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, "/manifests/1") {
				return false
			}
			w.Header().Set("Content-Type", string(m.MediaType))
			_, _ = w.Write(text)
			return true
		}
		s.forget()
		refused(t, s, c, "images of more than")
		if s.asked("/blobs/") != 0 {
			t.Errorf("%s: asked for %q", name, s.log())
		}
	}
}

// TestBadLayout: what is wrong with a folder that somebody names, each with the place.
func TestBadLayout(t *testing.T) {
	s, c := serve(t), newCache(t)
	s.push(t, "app:1", kraftImage(t, "linux", "amd64", nil))
	l, err := c.Container(t.Context(), s.ref("app:1"))
	if err != nil {
		t.Fatal(err)
	}
	index := filepath.Join(l.Path, "index.json")
	good := readFile(t, index)
	double := strings.Replace(good, `"manifests":[`, `"manifests":[`+good[strings.Index(good, "[")+1:strings.LastIndex(good, "]")]+",", 1)
	for text, want := range map[string]string{"{": "index.json: ", `{"manifests":[]}`: "names 0 manifests", double: "names 2 manifests"} {
		if err := os.WriteFile(index, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenLayout(t.Context(), l.Path); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), l.Path) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	if err := os.Remove(index); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(index, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenLayout(t.Context(), l.Path); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a pipe: %v", err)
	}
	if _, err := OpenLayout(t.Context(), filepath.Join(l.Path, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("nothing: %v", err)
	}
}

// TestInterruptedUnpacking: the end of the context ends the inflating of a layer.
func TestInterruptedUnpacking(t *testing.T) {
	blob := filepath.Join(t.TempDir(), "blob")
	if err := os.WriteFile(blob, gzipped(t, tarOf(t, kernelPath, make([]byte, 1<<20))), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := unpackLayer(ctx, blob, v1.Descriptor{}, t.TempDir()); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// TestVerify: every byte that is kept is read again.
func TestVerify(t *testing.T) {
	s, c := serve(t), newCache(t)
	layer := s.hello(t, 10)
	g, err := c.Guest(t.Context(), s.ref("hello:1"), "qemu")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Verify(t.Context(), g.Digest); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(g.Kernel, []byte("patched"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := c.Verify(t.Context(), g.Digest); !errors.Is(err, ErrDigest) || !strings.Contains(err.Error(), g.Kernel) {
		t.Errorf("a changed kernel: %v", err)
	}
	if err := os.WriteFile(c.path(layer.Digest), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := c.Verify(t.Context(), g.Digest); !errors.Is(err, ErrDigest) || !strings.Contains(err.Error(), layer.Digest.Hex) {
		t.Errorf("a changed layer: %v", err)
	}
}

// TestInterrupted: Ctrl-C ends a pull, also one that waits for the lock.
func TestInterrupted(t *testing.T) {
	s, c := serve(t), newCache(t)
	layer := s.hello(t, 10)
	ctx, cancel := context.WithCancel(t.Context())
	s.meddle = func(_ http.ResponseWriter, r *http.Request) bool {
		if !isBlob(r, layer) {
			return false
		}
		cancel()
		<-r.Context().Done()
		return true
	}
	begun := time.Now()
	if _, err := c.Guest(ctx, s.ref("hello:1"), "qemu"); !errors.Is(err, context.Canceled) || time.Since(begun) > 10*time.Second {
		t.Errorf("after %v: %v", time.Since(begun), err)
	}
}
