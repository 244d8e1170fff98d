// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Verify reads again all that is kept of an image, by its manifest's digest: the
// manifest, the configuration, the layers, and what was unpacked. It asks no registry.
func (c *Cache) Verify(digest string) error {
	h, err := v1.NewHash(digest)
	if err != nil {
		return err
	}
	text, err := c.read(h)
	if err != nil {
		return err
	}
	m, err := parseManifest(h, text)
	if err != nil {
		return err
	}
	for _, d := range append([]v1.Descriptor{m.Config}, m.Layers...) {
		got, err := hashFile(c.path(d.Digest))
		if err != nil {
			return err
		}
		if got != d.Digest.Hex {
			return fmt.Errorf("%w: %s has sha256 %s: remove it and pull again", ErrDigest, c.path(d.Digest), got)
		}
	}
	return c.verifyGuest(h, m)
}

// verifyGuest unpacks the layers once more and compares.
func (c *Cache) verifyGuest(h v1.Hash, m *v1.Manifest) error {
	dir := filepath.Join(c.Dir, "guests", h.Hex)
	if !exists(dir) {
		return nil
	}
	temp, err := os.MkdirTemp(c.Dir, "verify-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	for _, layer := range m.Layers {
		if err := unpackLayer(c.path(layer.Digest), layer, temp); err != nil {
			return fmt.Errorf("layer %s: %w", layer.Digest, err)
		}
	}
	for _, name := range []string{"kernel", "initrd"} {
		want, err := hashFile(filepath.Join(temp, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		got, err2 := hashFile(filepath.Join(dir, name))
		if err := errors.Join(err, err2); err != nil {
			return err
		}
		if got != want {
			return fmt.Errorf("%w: %s has sha256 %s, and its layer has %s: remove the folder %s", ErrDigest, filepath.Join(dir, name), got, want, dir)
		}
	}
	return nil
}

func hashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
