// SPDX-License-Identifier: Apache-2.0

package system

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	engine "github.com/ukprobe/ukprobe/orchestrate/docker"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/test/dockerd"
)

// containerImage is an image for Linux with one file.
func containerImage(t *testing.T) v1.Image {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "app", Mode: 0o755, Size: 4}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("text")); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err := mutate.AppendLayers(img, static.NewLayer(out.Bytes(), types.OCIUncompressedLayer))
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Config.Cmd = "linux", "amd64", []string{"/app"}
	if img, err = mutate.ConfigFile(img, config); err != nil {
		t.Fatal(err)
	}
	return img
}

// TestContainersOfCatalogue: the engine gets a layout whichever system it is of, and what
// results say of it is the manifest's, and of an image that it had before only its ID.
func TestContainersOfCatalogue(t *testing.T) {
	t.Setenv("DOCKER_HOST", dockerd.Start(t, dockerd.Options{}).Host)
	e, dir := images(t, `
  - {name: own, system: docker, app: thing, platform: docker, path: layout, ready: ^up}
  - {name: new, system: next, app: hello, platform: docker, path: layout, ready: ^up}
`)
	img := containerImage(t)
	path, err := layout.Write(filepath.Join(dir, "layout"), empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := path.AppendImage(img); err != nil {
		t.Fatal(err)
	}
	manifest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := img.RawManifest()
	config, _ := img.RawConfigFile()
	layers, _ := img.Layers()
	size, _ := layers[0].Size()
	want := Image{Path: filepath.Join(dir, "layout"), SHA256: manifest.Hex, Size: size + int64(len(raw)+len(config))}
	var id string
	for _, tt := range []struct{ system, app string }{{"docker", "thing"}, {"next", Hello}} {
		b, err := find(t, e, tt.system).Prepare(t.Context(), Want{App: tt.app, Platform: "docker"})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, b.Image); diff != "" || !strings.HasPrefix(b.Container, "sha256:") {
			t.Errorf("%s: container %q, image (-want +got):\n%s", tt.system, b.Container, diff)
		}
		id = b.Container
	}
	eng, err := engine.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer eng.Close()
	if _, err := eng.Find(t.Context(), id); err != nil {
		t.Errorf("the engine does not have it: %v", err)
	}
	had, err := find(t, e, "docker").Prepare(t.Context(), engineImage(id))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Image{Path: id, SHA256: strings.TrimPrefix(id, "sha256:")}, had.Image); diff != "" || had.Container != id {
		t.Errorf("that the engine had: container %q (-want +got):\n%s", had.Container, diff)
	}
	if err := os.RemoveAll(filepath.Join(dir, "layout", "blobs")); err != nil {
		t.Fatal(err)
	}
	if _, err := find(t, e, "next").Prepare(t.Context(), Want{App: Hello, Platform: "docker"}); err == nil || !strings.Contains(err.Error(), "image new (") {
		t.Errorf("a layout without blobs: %v", err)
	}
}

// engineImage is a cell with an image that the engine has.
func engineImage(id string) Want {
	return want(Hello, "docker", matrix.Settings{Image: id, Ready: "^up"})
}
