// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/ukprobe/ukprobe/internal/regular"
)

// maxDocument bounds an index or a manifest of somebody else's, in bytes.
const maxDocument = 4 << 20

// OpenLayout reads all of an OCI layout of one image (the image specification's
// image-layout.md) and verifies it: the manifest, the configuration and the layers
// against their digests and sizes.
func OpenLayout(ctx context.Context, dir string) (Layout, error) {
	l, err := openLayout(ctx, dir)
	if err != nil {
		return Layout{}, fmt.Errorf("OCI image layout %s: %w", dir, err)
	}
	return l, nil
}

func openLayout(ctx context.Context, dir string) (Layout, error) {
	text, err := readDocument(filepath.Join(dir, "index.json"), maxDocument)
	if err != nil {
		return Layout{}, err
	}
	index, err := v1.ParseIndexManifest(bytes.NewReader(text))
	if err != nil {
		return Layout{}, fmt.Errorf("index.json: %w", err)
	}
	if len(index.Manifests) != 1 {
		return Layout{}, fmt.Errorf("index.json names %d manifests, want one", len(index.Manifests))
	}
	blob := func(d v1.Descriptor) string { return filepath.Join(blobFolder(dir), d.Digest.Hex) }
	d := index.Manifests[0]
	if err := known(d.Digest); err != nil {
		return Layout{}, err
	}
	if text, err = readDocument(blob(d), maxDocument); err != nil {
		return Layout{}, err
	}
	if got := digestOf(text); got != d.Digest {
		return Layout{}, fmt.Errorf("%w: %s has sha256 %s", ErrDigest, blob(d), got.Hex)
	}
	m, err := parseManifest(d.Digest, text)
	if err != nil {
		return Layout{}, err
	}
	l := Layout{Path: dir, Digest: d.Digest.String(), Size: int64(len(text))}
	for _, d := range blobsOf(m) {
		if err := checkBlob(ctx, blob(d), d); err != nil {
			return Layout{}, err
		}
		l.Size += d.Size
	}
	return l, nil
}

// readDocument reads a file of at most so many bytes. It waits for no named pipe.
func readDocument(path string, most int64) ([]byte, error) {
	f, err := regular.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(text)) > most {
		err = fmt.Errorf("%s has more than %d bytes", path, most)
	}
	return text, err
}
