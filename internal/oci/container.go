// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Layout is a container's image as an OCI layout (the image specification's
// image-layout.md): a folder with this image and nothing else.
type Layout struct {
	Path   string
	Digest string // of its manifest: sha256:…
	Size   int64  // bytes of manifest, configuration and layers, as the manifest has them
}

// Container makes the Linux image at ref (without oci://) local. Its layers are kept
// as they are.
func (c *Cache) Container(ctx context.Context, ref string) (l Layout, err error) {
	err = c.pull(ctx, ref, func(s *source, digest v1.Hash) error {
		digest, m, err := s.image(ctx, digest, func(p v1.Platform) bool {
			return p.OS == "linux" && slices.Contains(architectures, p.Architecture)
		})
		if err != nil {
			return fmt.Errorf("for linux/amd64: %w", err)
		}
		l, err = s.layout(ctx, digest, m)
		return err
	})
	return l, err
}

// layout makes the folder of a manifest, if it is not there. Its blobs are links to
// the cache's, which are verified each time.
func (s *source) layout(ctx context.Context, digest v1.Hash, m *v1.Manifest) (Layout, error) {
	st, err := os.Stat(s.cache.path(digest))
	if err != nil {
		return Layout{}, err
	}
	l := Layout{Path: filepath.Join(s.cache.Dir, "containers", digest.Hex), Digest: digest.String(), Size: st.Size()}
	blobs := []string{s.cache.path(digest)}
	for _, d := range blobsOf(m) {
		l.Size += d.Size
		path, err := s.blob(ctx, d)
		if err != nil {
			return Layout{}, err
		}
		blobs = append(blobs, path)
	}
	if linked(l.Path, blobs) {
		return l, nil
	}
	if err := os.RemoveAll(l.Path); err != nil {
		return Layout{}, err
	}
	temp := l.Path + ".new"
	if err := errors.Join(os.RemoveAll(temp), os.MkdirAll(blobFolder(temp), 0o755)); err != nil {
		return Layout{}, err
	}
	defer os.RemoveAll(temp)
	for _, blob := range blobs {
		err := os.Link(blob, filepath.Join(blobFolder(temp), filepath.Base(blob)))
		if err != nil && !errors.Is(err, os.ErrExist) { // an image may have a layer twice
			return Layout{}, err
		}
	}
	if err := s.describeLayout(temp, digest, m.MediaType); err != nil {
		return Layout{}, err
	}
	return l, os.Rename(temp, l.Path)
}

// linked says whether a layout is of these very files: a blob that was pulled again is
// another.
func linked(layout string, blobs []string) bool {
	for _, blob := range blobs {
		have, err := os.Stat(filepath.Join(blobFolder(layout), filepath.Base(blob)))
		want, err2 := os.Stat(blob)
		if err != nil || err2 != nil || !os.SameFile(have, want) {
			return false
		}
	}
	return true
}

// describeLayout writes the two files that make a folder of blobs a layout.
func (s *source) describeLayout(dir string, digest v1.Hash, mediaType types.MediaType) error {
	st, err := os.Stat(s.cache.path(digest))
	if err != nil {
		return err
	}
	if mediaType == "" {
		mediaType = types.OCIManifestSchema1
	}
	files := map[string]any{
		"oci-layout": map[string]string{"imageLayoutVersion": "1.0.0"},
		"index.json": v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{{
			MediaType: mediaType, Size: st.Size(), Digest: digest,
			Platform:    &v1.Platform{OS: "linux", Architecture: "amd64"},
			Annotations: map[string]string{"org.opencontainers.image.ref.name": s.ref.Name()},
		}}},
	}
	for name, content := range files {
		text, err := json.Marshal(content)
		if err != nil {
			return err
		}
		err = writeFile(filepath.Join(dir, name), func(w io.Writer) error {
			_, err := w.Write(text)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
