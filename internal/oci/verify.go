// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/ukprobe/ukprobe/internal/regular"
)

// Verify reads again all that is kept of an image, by its manifest's digest: the
// manifest, the configuration, the layers, and what was unpacked. It asks no registry
// and mends nothing.
func (c *Cache) Verify(ctx context.Context, digest string) error {
	h, err := v1.NewHash(digest)
	if err != nil {
		return err
	}
	text, err := c.read(h, maxDocument)
	if err != nil {
		return err
	}
	m, err := parseManifest(h, text)
	if err != nil {
		return err
	}
	for _, d := range blobsOf(m) {
		if err := c.sound(ctx, d); err != nil {
			return fmt.Errorf("%w: remove it and pull again", err)
		}
	}
	return c.verifyGuest(ctx, h, m)
}

// verifyGuest compares what was unpacked with the layers.
func (c *Cache) verifyGuest(ctx context.Context, h v1.Hash, m *v1.Manifest) error {
	dir := filepath.Join(c.Dir, "guests", h.Hex)
	if !exists(dir) {
		return nil
	}
	want := map[string]string{}
	for _, layer := range m.Layers {
		err := guestFiles(ctx, c.path(layer.Digest), layer, func(name string, _ int64, content io.Reader) error {
			sum := sha256.New()
			_, err := io.Copy(sum, content)
			want[name] = hex.EncodeToString(sum.Sum(nil))
			return err
		})
		if err != nil {
			return fmt.Errorf("layer %s: %w", layer.Digest, err)
		}
	}
	for name, sum := range want {
		path := filepath.Join(dir, name)
		got, _, err := regular.Digest(ctx, path)
		if err != nil {
			return err
		}
		if got != sum {
			return fmt.Errorf("%w: %s has sha256 %s, and its layer has %s: remove the folder %s", ErrDigest, path, got, sum, dir)
		}
	}
	return nil
}
