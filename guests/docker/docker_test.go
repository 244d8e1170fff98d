// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ukprobe/ukprobe/guests/linux"
)

// cacheDir is the checkout's, which make uses too.
const cacheDir = "../../.cache/images"

func layerOf(t *testing.T, app string) linux.Layer {
	t.Helper()
	for _, p := range []string{"apt-get", "dpkg-deb"} {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%s not found", p)
		}
	}
	l, err := (&linux.Builder{Dir: cacheDir, Logf: log.Printf}).Layer(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// files reads a tar archive.
func files(t *testing.T, r io.Reader) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.ModTime.Unix() != 0 || h.Uid != 0 || h.Gid != 0 {
			t.Errorf("%s: time %v, owner %d:%d: want the epoch and root", h.Name, h.ModTime, h.Uid, h.Gid)
		}
		data, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		out[h.Name] = data
	}
}

func decode[T any](t *testing.T, data []byte) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	return v
}

// TestImageIsWhole follows every digest of the archive, from both of its tables of
// contents, down to the files of the app.
func TestImageIsWhole(t *testing.T) {
	for _, app := range Apps() {
		t.Run(app, func(t *testing.T) {
			layer := layerOf(t, app)
			img, err := (&Builder{Linux: &linux.Builder{Dir: cacheDir}}).Image(t.Context(), app)
			if err != nil {
				t.Fatal(err)
			}
			f, err := os.Open(img.Path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			in := files(t, f)
			for name, data := range in {
				if sum, ok := strings.CutPrefix(name, "blobs/sha256/"); ok && sum != "" && digest.FromBytes(data).Encoded() != sum {
					t.Errorf("%s holds %s", name, digest.FromBytes(data))
				}
			}
			index := decode[ocispec.Index](t, in[ocispec.ImageIndexFile])
			if len(index.Manifests) != 1 || index.Manifests[0].Digest != img.Manifest {
				t.Fatalf("index: %+v, want one manifest, %s", index, img.Manifest)
			}
			manifest := decode[ocispec.Manifest](t, in[blobPath(img.Manifest)])
			if manifest.Config.Digest != img.ID || len(manifest.Layers) != 1 || manifest.Layers[0].Digest != img.Layers[0] {
				t.Errorf("manifest %+v of image %+v", manifest, img)
			}
			legacy := decode[[]struct {
				Config           string
				RepoTags, Layers []string
			}](t, in["manifest.json"])
			if legacy[0].Config != blobPath(img.ID) || legacy[0].Layers[0] != blobPath(img.Layers[0]) || legacy[0].RepoTags[0] != img.Reference {
				t.Errorf("manifest.json %+v of image %+v", legacy, img)
			}
			config := decode[ocispec.Image](t, in[blobPath(img.ID)])
			if diff := cmp.Diff(layer.Argv, config.Config.Cmd); diff != "" || config.RootFS.DiffIDs[0] != img.Layers[0] {
				t.Errorf("command (-layer +config):\n%s%v", diff, config.RootFS)
			}
			if !cmp.Equal(bytes.TrimPrefix([]byte(img.Layers[0]), []byte("sha256:")), []byte(layer.SHA256)) {
				t.Errorf("diff ID %s, layer %s", img.Layers[0], layer.SHA256)
			}
			inside := files(t, bytes.NewReader(in[blobPath(img.Layers[0])]))
			if len(inside[strings.TrimPrefix(layer.Argv[0], "/")]) == 0 {
				t.Errorf("%s is not in the layer", layer.Argv[0])
			}
		})
	}
}

// TestReproducible: the same layer gives the same bytes, wherever it is built, also where
// a killed process has left a part of an archive, which goes.
func TestReproducible(t *testing.T) {
	layer := layerOf(t, "hello")
	var sums []digest.Digest
	for i := range 2 {
		dir := t.TempDir()
		if i == 1 {
			if err := os.WriteFile(filepath.Join(dir, newArchive), make([]byte, 64<<20), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		img, err := (&Builder{Linux: &linux.Builder{Dir: dir}}).image(t.Context(), layer)
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(img.Path)
		if err != nil {
			t.Fatal(err)
		}
		sums = append(sums, digest.FromBytes(data))
		if left, err := filepath.Glob(filepath.Join(filepath.Dir(img.Path), ".docker*")); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	}
	if sums[0] != sums[1] {
		t.Errorf("%s, then %s", sums[0], sums[1])
	}
}

// TestSameBinary: the image's app is byte for byte the bare process's.
func TestSameBinary(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("root is needed for mknod")
	}
	layer := layerOf(t, "nginx")
	root, err := (&linux.Builder{Dir: cacheDir}).RootFS(t.Context(), "nginx")
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(layer.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for name, data := range files(t, f) {
		if strings.HasSuffix(name, "/") {
			continue
		}
		same, err := os.ReadFile(filepath.Join(root.Dir, name))
		if err != nil || !bytes.Equal(same, data) {
			t.Errorf("%s: differs from the root folder's (%v)", name, err)
		}
	}
}
