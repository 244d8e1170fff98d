// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// server is a registry on loopback, with a hand in front of it.
type server struct {
	*httptest.Server
	registry http.Handler

	mu       sync.Mutex
	requests []string // METHOD PATH
	// meddle answers a request in the registry's place if it returns true.
	meddle func(w http.ResponseWriter, r *http.Request) bool
}

func serve(t *testing.T) *server {
	t.Helper()
	s := &server{registry: registry.New(registry.Logger(log.New(io.Discard, "", 0)))}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.requests = append(s.requests, r.Method+" "+r.URL.Path)
		s.mu.Unlock()
		if s.meddle == nil || !s.meddle(w, r) {
			s.registry.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// ref is a reference to that registry.
func (s *server) ref(rest string) string { return strings.TrimPrefix(s.URL, "http://") + "/" + rest }

// log is what was asked for.
func (s *server) log() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// forget empties the log.
func (s *server) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = nil
}

// asked tells how often a path with that word was asked for.
func (s *server) asked(word string) int {
	n := 0
	for _, r := range s.log() {
		if strings.Contains(r, word) {
			n++
		}
	}
	return n
}

// kraftImage packs a unikernel as kraft does: see guest.go.
func kraftImage(t *testing.T, platform, arch string, files map[string][]byte, args ...string) v1.Image {
	t.Helper()
	img := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	img = mutate.ConfigMediaType(img, types.OCIConfigJSON)
	for _, path := range []string{kernelPath, initrdPath} {
		if content, ok := files[path]; ok {
			var err error
			if img, err = mutate.AppendLayers(img, static.NewLayer(tarOf(t, path, content), types.OCIUncompressedLayer)); err != nil {
				t.Fatal(err)
			}
		}
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Config.Cmd = platform, arch, args
	if img, err = mutate.ConfigFile(img, config); err != nil {
		t.Fatal(err)
	}
	return img
}

func tarOf(t testing.TB, path string, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: path, Size: int64(len(content)), Mode: 0o644, Typeflag: tar.TypeReg}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// push puts images as one index under a tag.
func (s *server) push(t *testing.T, tag string, images ...v1.Image) {
	t.Helper()
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, img := range images {
		config, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: config.OS, Architecture: config.Architecture}}})
	}
	ref, err := name.ParseReference(s.ref(tag))
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(ref, index); err != nil {
		t.Fatal(err)
	}
	s.forget()
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func newCache(t *testing.T) *Cache { return &Cache{Dir: t.TempDir(), Logf: t.Logf} }

// leftovers lists what has no place in a cache: files on their way.
func leftovers(t *testing.T, c *Cache) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(c.Dir, func(path string, _ os.DirEntry, err error) error {
		if strings.HasSuffix(path, ".new") || strings.HasSuffix(path, ".part") {
			out = append(out, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestGuest: the manifest of the platform, kernel, initrd and arguments; offline from
// then on.
func TestGuest(t *testing.T) {
	s, c := serve(t), newCache(t)
	s.push(t, "nginx:1.25",
		kraftImage(t, "xen", "x86_64", map[string][]byte{kernelPath: []byte("xen kernel")}),
		kraftImage(t, "qemu", "arm64", map[string][]byte{kernelPath: []byte("arm kernel")}),
		kraftImage(t, "qemu", "x86_64", map[string][]byte{kernelPath: []byte("qemu kernel"), initrdPath: []byte("cpio")}, "-c", "/nginx.conf"),
		kraftImage(t, "fc", "x86_64", map[string][]byte{kernelPath: []byte("fc kernel")}))
	g, err := c.Guest(t.Context(), s.ref("nginx:1.25"), "qemu1nic")
	if err != nil {
		t.Fatal(err)
	}
	if readFile(t, g.Kernel) != "qemu kernel" || readFile(t, g.Initrd) != "cpio" || !slices.Equal(g.Args, []string{"-c", "/nginx.conf"}) {
		t.Errorf("guest %+v", g)
	}
	if n := s.asked("/blobs/"); n != 3 {
		t.Errorf("%d blobs asked for, want a configuration and two layers: %q", n, s.log())
	}
	if fc, err := c.Guest(t.Context(), s.ref("nginx:1.25"), "firecracker"); err != nil || readFile(t, fc.Kernel) != "fc kernel" || fc.Initrd != "" {
		t.Errorf("firecracker: %+v, %v", fc, err)
	}
	if _, err := c.Guest(t.Context(), s.ref("nginx:1.25"), "uhyve"); err == nil || !strings.Contains(err.Error(), "not for uhyve") {
		t.Errorf("uhyve: %v", err)
	}
	s.Close() // offline
	again, err := c.Guest(t.Context(), s.ref("nginx:1.25"), "qemu")
	if diff := cmp.Diff(g, again); err != nil || diff != "" {
		t.Errorf("offline: %v %s", err, diff)
	}
	if l := leftovers(t, c); l != nil {
		t.Errorf("left over: %q", l)
	}
}

// TestGuestOfOtherPacking: layers compressed, in a manifest without an index, and the
// initrd's media type of older kraft.
func TestGuestOfOtherPacking(t *testing.T) {
	s, c := serve(t), newCache(t)
	img := kraftImage(t, "kvm", "x86_64", nil)
	img, err := mutate.AppendLayers(img,
		static.NewLayer(gzipped(t, tarOf(t, "unikraft/bin/kernel", []byte("kernel"))), types.OCILayer),
		static.NewLayer([]byte("070701cpio"), initrdMediaType))
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(s.ref("hello:old"))
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
	g, err := c.Guest(t.Context(), s.ref("hello:old"), "qemu")
	if err != nil || readFile(t, g.Kernel) != "kernel" || readFile(t, g.Initrd) != "070701cpio" {
		t.Errorf("%+v, %v", g, err)
	}
	if _, err := c.Guest(t.Context(), s.ref("hello:old"), "firecracker"); err == nil || !strings.Contains(err.Error(), "the image is for kvm/x86_64") {
		t.Errorf("for firecracker: %v", err)
	}
}

// TestContainer: the layout is one that the library reads and finds sound, with the
// layers as they were pushed.
func TestContainer(t *testing.T) {
	s, c := serve(t), newCache(t)
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(tarOf(t, "bin/app", []byte("app")))), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(kraftImage(t, "linux", "amd64", nil, "/bin/app"), layer)
	if err != nil {
		t.Fatal(err)
	}
	s.push(t, "app:1", kraftImage(t, "linux", "arm64", nil), img)
	l, err := c.Container(t.Context(), s.ref("app:1"))
	if err != nil {
		t.Fatal(err)
	}
	index, err := layout.ImageIndexFromPath(l.Path)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	want, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	got, err := index.Image(want)
	if err != nil {
		t.Fatal(err)
	}
	wantLayers, _ := img.Layers()
	gotLayers, _ := got.Layers()
	size, _ := wantLayers[0].Size()
	raw, _ := img.RawManifest()
	config, _ := img.RawConfigFile()
	size += int64(len(raw) + len(config))
	if len(gotLayers) != 1 || l.Digest != want.String() || l.Size != size {
		t.Errorf("%d layers, %+v, want digest %s and size %d", len(gotLayers), l, want, size)
	}
	if again, err := OpenLayout(t.Context(), l.Path); err != nil || again != l {
		t.Errorf("opened: %+v, %v, want %+v", again, err, l)
	}
	s.Close()
	if again, err := c.Container(t.Context(), s.ref("app:1")); err != nil || again != l {
		t.Errorf("offline: %+v, %v", again, err)
	}
	if _, err := c.Guest(t.Context(), s.ref("app:1"), "qemu"); err == nil || !strings.Contains(err.Error(), "the image is for linux/arm64, linux/amd64") {
		t.Errorf("as a guest: %v", err)
	}
}

// TestMovedTag: a tag is locked to the digest of the first pull until an update.
func TestMovedTag(t *testing.T) {
	s, c := serve(t), newCache(t)
	pack := func(kernel string) v1.Image {
		return kraftImage(t, "qemu", "x86_64", map[string][]byte{kernelPath: []byte(kernel)})
	}
	s.push(t, "a/b:latest", pack("old"))
	kernel := func(ref string) string {
		t.Helper()
		g, err := c.Guest(t.Context(), ref, "qemu")
		if err != nil {
			t.Fatal(err)
		}
		return readFile(t, g.Kernel)
	}
	if got := kernel(s.ref("a/b:latest")); got != "old" {
		t.Fatalf("kernel %q", got)
	}
	first, _ := c.Guest(t.Context(), s.ref("a/b:latest"), "qemu")
	s.push(t, "a/b:latest", pack("new"))
	if got := kernel(s.ref("a/b:latest")); got != "old" || len(s.log()) != 0 {
		t.Errorf("locked tag: kernel %q, requests %q", got, s.log())
	}
	var told []string
	c.Update, c.Logf = true, func(format string, args ...any) { told = append(told, format) }
	if got := kernel(s.ref("a/b:latest")); got != "new" || len(told) == 0 || !strings.Contains(told[0], "moved") {
		t.Errorf("after an update: kernel %q, told %q", got, told)
	}
	if got := kernel(s.ref("a/b@" + first.Digest)); got != "old" {
		t.Errorf("by digest: kernel %q", got)
	}
	if got := kernel(s.ref("a/b:latest@" + first.Digest)); got != "old" {
		t.Errorf("by tag and digest: kernel %q", got)
	}
}
