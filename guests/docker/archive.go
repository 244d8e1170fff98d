// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// write makes the archive at dest, which appears there only when it is whole.
func (c content) write(dest, layer string) (err error) {
	temp, err := os.CreateTemp(filepath.Dir(dest), ".docker-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = temp.Close()
			_ = os.Remove(temp.Name())
		}
	}()
	if err := c.writeTo(temp, layer); err != nil {
		return fmt.Errorf("write %s: %w", dest, err)
	}
	if err := errors.Join(temp.Chmod(0o644), temp.Sync(), temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), dest)
}

// writeTo writes the archive: blobs first, so that a reader of the indexes has
// passed what they name.
func (c content) writeTo(dest io.Writer, layerPath string) error {
	layer, err := os.Open(layerPath)
	if err != nil {
		return err
	}
	defer func() { _ = layer.Close() }()
	w := tar.NewWriter(dest)
	for _, dir := range []string{"blobs/", "blobs/sha256/"} {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755, ModTime: time.Unix(0, 0)}); err != nil {
			return err
		}
	}
	if err := w.WriteHeader(header(blobPath(c.layer), c.layerSize)); err != nil {
		return err
	}
	if _, err := io.Copy(w, layer); err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		data []byte
	}{
		{blobPath(c.config.digest), c.config.data},
		{blobPath(c.manifest.digest), c.manifest.data},
		{ocispec.ImageIndexFile, c.index},
		{"manifest.json", c.docker},
		{ocispec.ImageLayoutFile, []byte(`{"imageLayoutVersion":"` + ocispec.ImageLayoutVersion + `"}`)},
	} {
		if err := w.WriteHeader(header(f.name, int64(len(f.data)))); err != nil {
			return err
		}
		if _, err := w.Write(f.data); err != nil {
			return err
		}
	}
	return w.Close()
}

func header(name string, size int64) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, ModTime: time.Unix(0, 0)}
}
