// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// layout makes an OCI image layout as registries have them: its one layer twice,
// compressed.
func layout(t testing.TB) (dir string, manifest digest.Digest) {
	t.Helper()
	dir = t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "blobs", "sha256"), 0o755); err != nil {
		t.Fatal(err)
	}
	put := func(data []byte) ocispec.Descriptor {
		d := ocispec.Descriptor{Digest: digest.FromBytes(data), Size: int64(len(data))}
		if err := os.WriteFile(filepath.Join(dir, blobPath(d.Digest)), data, 0o644); err != nil {
			t.Fatal(err)
		}
		return d
	}
	encode := func(v any) []byte {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	empty := make([]byte, 1024) // a tar archive of nothing
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(empty); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	diff := digest.FromBytes(empty)
	layer := put(packed.Bytes())
	layer.MediaType = ocispec.MediaTypeImageLayerGzip
	config := put(encode(ocispec.Image{RootFS: ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{diff, diff}}}))
	m := put(encode(ocispec.Manifest{Config: config, Layers: []ocispec.Descriptor{layer, layer}}))
	if err := os.WriteFile(filepath.Join(dir, "index.json"), encode(ocispec.Index{Manifests: []ocispec.Descriptor{m}}), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir, m.Digest
}

// TestLayoutBecomesArchive: all blobs come over as they are, each once, and the
// engine's own table of contents names them.
func TestLayoutBecomesArchive(t *testing.T) {
	dir, manifest := layout(t)
	for _, by := range []string{"", manifest.String()} {
		l, err := OpenLayout(dir, by)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := l.Archive(&out); err != nil {
			t.Fatal(err)
		}
		in := files(t, &out)
		names, err := filepath.Glob(filepath.Join(dir, "blobs", "sha256", "*"))
		if err != nil || len(names) != 3 {
			t.Fatal(names, err)
		}
		for _, name := range names {
			want, err := os.ReadFile(name)
			if err != nil || !bytes.Equal(in["blobs/sha256/"+filepath.Base(name)], want) {
				t.Errorf("%s is not in the archive (%v)", name, err)
			}
		}
		legacy := decode[[]struct{ Layers, RepoTags []string }](t, in["manifest.json"])
		if len(legacy) != 1 || len(legacy[0].Layers) != 2 || !slices.Equal(legacy[0].RepoTags, []string{l.Reference}) {
			t.Errorf("manifest.json %+v", legacy)
		}
	}
}

// TestBadLayout: what a layout does not hold, or not as it says, is an error that
// says where.
func TestBadLayout(t *testing.T) {
	dir, manifest := layout(t)
	path := filepath.Join(dir, blobPath(manifest))
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	none := digest.FromString("nothing").String()
	for _, tt := range []struct{ manifest, data, want string }{
		{none, "", "no such file"},
		{"sha256:../../../etc/passwd", "", "invalid checksum digest"},
		{"", string(good) + " ", "has the digest"},
	} {
		if tt.data != "" {
			if err := os.WriteFile(path, []byte(tt.data), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := OpenLayout(dir, tt.manifest); err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%+v: %v", tt, err)
		}
	}
	if _, err := OpenLayout(t.TempDir(), ""); err == nil || !strings.Contains(err.Error(), "index.json") {
		t.Errorf("an empty folder: %v", err)
	}
}

// FuzzOpenLayout: an index and a manifest of somebody else's give an image that can
// be written, or an error, and never a path outside the layout.
func FuzzOpenLayout(f *testing.F) {
	dir, manifest := layout(f)
	for _, name := range []string{"index.json", blobPath(manifest)} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"layers":[{"digest":"sha256:../x"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		sum := digest.FromBytes(data)
		path := filepath.Join(dir, blobPath(sum))
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		defer os.Remove(path)
		l, err := OpenLayout(dir, sum.String())
		if err != nil {
			return
		}
		for _, file := range l.content.layers {
			if filepath.Dir(file.path) != filepath.Join(dir, "blobs", "sha256") && filepath.Dir(filepath.Dir(file.path)) != filepath.Join(dir, "blobs") {
				t.Errorf("a layer at %s", file.path)
			}
		}
	})
}
