// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// FuzzUnpackLayer: whatever a layer is, no panic, and nothing is written but kernel
// and initrd.
func FuzzUnpackLayer(f *testing.F) {
	layer := tarOf(f, initrdPath, []byte("cpio"))
	f.Add(layer, string(types.OCIUncompressedLayer))
	f.Add(gzipped(f, layer), string(types.OCILayer))
	f.Add(tarOf(f, "../../kernel", []byte("k")), initrdMediaType)
	f.Add([]byte{0x1f, 0x8b, 8, 0}, string(types.OCILayer))
	f.Add([]byte("070701"), initrdMediaType)
	f.Fuzz(func(t *testing.T, layer []byte, mediaType string) {
		dir := t.TempDir()
		blob := filepath.Join(dir, "blob")
		if err := os.WriteFile(blob, layer, 0o644); err != nil {
			t.Fatal(err)
		}
		out := filepath.Join(dir, "out")
		if err := os.Mkdir(out, 0o755); err != nil {
			t.Fatal(err)
		}
		_ = unpackLayer(t.Context(), blob, v1.Descriptor{MediaType: types.MediaType(mediaType)}, out)
		for _, pattern := range []string{"*", "out/*"} {
			found, _ := filepath.Glob(filepath.Join(dir, pattern))
			for _, path := range found {
				switch strings.TrimPrefix(path, dir+"/") {
				case "blob", "out", "out/kernel", "out/initrd":
				default:
					t.Fatalf("wrote %s", path)
				}
			}
		}
	})
}

// FuzzParse: a reference is refused, or names its registry.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", "a", "example.org/a:b", "example.org:5000/a/b@sha256:" + strings.Repeat("0", 64), "example.org/a:b@sha256:0", "/a", "example.org/A", "[::1]:5000/a"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, ref string) {
		parsed, err := parse(ref)
		if err == nil && (parsed.Context().RegistryStr() == "" || parsed.Context().RepositoryStr() == "") {
			t.Fatalf("%q is %#v", ref, parsed)
		}
	})
}

// FuzzOpenLayout: whatever index and manifest are, no panic, and what is taken has a
// digest.
func FuzzOpenLayout(f *testing.F) {
	dir := f.TempDir()
	blobs := filepath.Join(dir, "blobs", "sha256")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		f.Fatal(err)
	}
	const config = `{"schemaVersion":2,"config":{"digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0}}`
	for _, seed := range []string{config, "{", `{"layers":[{"size":-1}]}`, `{"config":{"digest":"sha256:../../x"}}`} {
		f.Add([]byte(seed), []byte(`{"manifests":[{"digest":"sha256:%s"}]}`))
	}
	f.Fuzz(func(t *testing.T, manifest, index []byte) {
		sum := sha256.Sum256(manifest)
		path := filepath.Join(blobs, hex.EncodeToString(sum[:]))
		text := bytes.ReplaceAll(index, []byte("%s"), []byte(hex.EncodeToString(sum[:])))
		for name, data := range map[string][]byte{path: manifest, filepath.Join(dir, "index.json"): text} {
			if err := os.WriteFile(name, data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		defer os.Remove(path)
		if l, err := OpenLayout(t.Context(), dir); err == nil && len(l.Digest) != len("sha256:")+64 {
			t.Errorf("%+v", l)
		}
	})
}
