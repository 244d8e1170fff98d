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

// newArchive is what an archive is called, in the cache folder, until it is whole. It is
// one name for all, written to with the cache locked, so that a killed writer leaves one
// file at most, and the next one takes its place.
const newArchive = ".docker.new"

// write makes the archive at dest, which appears there only when it is whole. The cache
// has to be locked.
func (c content) write(dest string) (err error) {
	temp, err := os.OpenFile(filepath.Join(filepath.Dir(dest), newArchive), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = temp.Close()
			_ = os.Remove(temp.Name())
		}
	}()
	if err := c.writeTo(temp); err != nil {
		return fmt.Errorf("write %s: %w", dest, err)
	}
	if err := errors.Join(temp.Chmod(0o644), temp.Sync(), temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), dest)
}

// writeTo writes the archive: blobs first, so that a reader of the indexes has
// passed what they name.
func (c content) writeTo(dest io.Writer) error {
	w := tar.NewWriter(dest)
	for _, dir := range []string{"blobs/", "blobs/sha256/"} {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755, ModTime: time.Unix(0, 0)}); err != nil {
			return err
		}
	}
	written := map[string]bool{} // images may have a layer, such as an empty one, twice
	for _, l := range c.layers {
		if written[l.path] {
			continue
		}
		written[l.path] = true
		if err := l.writeTo(w); err != nil {
			return err
		}
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

func (l layerFile) writeTo(w *tar.Writer) error {
	f, err := os.Open(l.path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if err := w.WriteHeader(header(blobPath(l.digest), l.size)); err != nil {
		return err
	}
	_, err = io.Copy(w, f) // a file of another size is an error of the writer
	return err
}

func header(name string, size int64) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, ModTime: time.Unix(0, 0)}
}
