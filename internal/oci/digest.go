// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// algorithm is the only one of digests that is known here.
const algorithm = "sha256"

// known refuses digests of another algorithm.
func known(digest v1.Hash) error {
	if digest.Algorithm != algorithm {
		return fmt.Errorf("digest %s: only %s is known", digest, algorithm)
	}
	return nil
}

// digestOf is a text's.
func digestOf(text []byte) v1.Hash {
	sum := sha256.Sum256(text)
	return v1.Hash{Algorithm: algorithm, Hex: hex.EncodeToString(sum[:])}
}

// blobFolder is where a layout, and the cache, have their blobs (the image
// specification's image-layout.md).
func blobFolder(dir string) string { return filepath.Join(dir, "blobs", algorithm) }

// blobsOf are those that a manifest names: its configuration and its layers.
func blobsOf(m *v1.Manifest) []v1.Descriptor {
	return append([]v1.Descriptor{m.Config}, m.Layers...)
}
