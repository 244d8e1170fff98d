// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxDocument bounds what is read of somebody else's JSON, in bytes.
const maxDocument = 4 << 20

// Layout is a container image in a folder that is an OCI image layout, somebody
// else's: engines before Docker 25 load it only from an archive of their own kind.
type Layout struct {
	Reference string          // that Archive gives it
	Layers    []digest.Digest // diff IDs
	Digest    digest.Digest   // of the manifest
	Size      int64           // bytes of manifest, configuration and layers, as the manifest has them
	content   content
}

// OpenLayout reads the documents of an image: of the manifest with that digest, or,
// if it is "", of the only one that the layout names.
func OpenLayout(dir, manifest string) (*Layout, error) {
	l, err := openLayout(dir, manifest)
	if err != nil {
		return nil, fmt.Errorf("OCI image layout %s: %w", dir, err)
	}
	return l, nil
}

func openLayout(dir, manifest string) (*Layout, error) {
	sum := digest.Digest(manifest)
	if manifest == "" {
		var index ocispec.Index
		if err := readDocument(filepath.Join(dir, ocispec.ImageIndexFile), &index); err != nil {
			return nil, err
		}
		if len(index.Manifests) != 1 {
			return nil, fmt.Errorf("%s names %d manifests, want one", ocispec.ImageIndexFile, len(index.Manifests))
		}
		sum = index.Manifests[0].Digest
	}
	var c content
	var m ocispec.Manifest
	var config ocispec.Image
	var err error
	if c.manifest, err = readBlob(dir, sum, &m); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	if c.config, err = readBlob(dir, m.Config.Digest, &config); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	if len(m.Layers) == 0 || len(m.Layers) != len(config.RootFS.DiffIDs) {
		return nil, fmt.Errorf("%d layers and %d diff IDs: not a container image", len(m.Layers), len(config.RootFS.DiffIDs))
	}
	for _, d := range m.Layers {
		if err := d.Digest.Validate(); err != nil {
			return nil, fmt.Errorf("layer %q: %w", d.Digest, err)
		}
		c.layers = append(c.layers, layerFile{path: filepath.Join(dir, blobPath(d.Digest)), digest: d.Digest, size: d.Size})
	}
	c.mediaType = m.MediaType
	if c.mediaType == "" {
		c.mediaType = ocispec.MediaTypeImageManifest
	}
	c.reference = Repository + "oci:" + c.config.digest.Encoded()[:12]
	if err := c.indexes(); err != nil {
		return nil, err
	}
	return &Layout{Reference: c.reference, Layers: config.RootFS.DiffIDs, Digest: sum, Size: c.size(), content: c}, nil
}

// Archive writes what `docker load` takes, and is an OCI image layout too.
func (l *Layout) Archive(w io.Writer) error { return l.content.writeTo(w) }

// readBlob reads a document by its digest, which it has to have.
func readBlob(dir string, sum digest.Digest, v any) (blob, error) {
	if err := sum.Validate(); err != nil {
		return blob{}, fmt.Errorf("%q: %w", sum, err)
	}
	data, err := readSome(filepath.Join(dir, blobPath(sum)))
	if err != nil {
		return blob{}, err
	}
	if got := sum.Algorithm().FromBytes(data); got != sum {
		return blob{}, fmt.Errorf("%s has the digest %s", sum, got)
	}
	return blob{data: data, digest: sum}, json.Unmarshal(data, v)
}

func readDocument(path string, v any) error {
	data, err := readSome(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, v)
}

func readSome(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxDocument+1))
	if err == nil && len(data) > maxDocument {
		err = fmt.Errorf("%s: over %d bytes", path, maxDocument)
	}
	return data, err
}

// Blob is where a layer's bytes are, as they are stored.
type Blob struct {
	Path   string
	Digest digest.Digest
	Size   int64 // bytes
}

// Blobs are the layers, the lowest first.
func (l *Layout) Blobs() []Blob {
	out := make([]Blob, len(l.content.layers))
	for i, f := range l.content.layers {
		out[i] = Blob{f.path, f.digest, f.size}
	}
	return out
}
