// SPDX-License-Identifier: Apache-2.0

package imagesize

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ukprobe/ukprobe/guests/docker"
	"github.com/ukprobe/ukprobe/internal/regular"
	"github.com/ukprobe/ukprobe/internal/rootpath"
)

// container measures a container's image: an OCI layout, an archive that ukprobe has
// made, or what the engine saves.
func (m *measurer) container() error {
	m.lacks(KernelBytes, "a container runs on the host's kernel")
	path := m.img.Image.Path
	st, err := os.Stat(path)
	switch {
	case err == nil && st.IsDir():
		return m.layout(path)
	case err == nil:
		return m.archive(path)
	case m.img.Save == nil:
		return err
	}
	path = filepath.Join(m.scratch, "saved.tar")
	if err := m.img.Save(m.ctx, path); err != nil {
		return err
	}
	return m.archive(path)
}

// layout measures the image of an OCI layout.
func (m *measurer) layout(dir string) error {
	l, err := docker.OpenLayout(dir, manifestOf(m.img.Image.SHA256))
	if err != nil {
		return err
	}
	var layers []string
	for _, b := range l.Blobs() {
		if err := m.file("", b.Path); err != nil {
			return err
		}
		layers = append(layers, b.Path)
	}
	documents := l.Size - int64(m.out.Values[FileBytes])
	m.add(FileBytes, documents) // manifest and configuration
	return m.layers(layers)
}

func manifestOf(sum string) string {
	if sum == "" {
		return ""
	}
	return "sha256:" + sum
}

// archive measures an archive of `docker save`.
func (m *measurer) archive(path string) error {
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	dir, err := m.unpackTar(path)
	if err != nil {
		return err
	}
	documents, layers, err := saved(dir)
	if err != nil {
		return fmt.Errorf("archive %s: %w", path, err)
	}
	for _, f := range append(documents, layers...) {
		if err := m.file("", f); err != nil {
			return err
		}
	}
	m.value(AllocatedBytes, allocated(st)) // not of what was unpacked here
	return m.layers(layers)
}

func (m *measurer) unpackTar(path string) (dir string, err error) {
	f, err := regular.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	t, err := m.scratchTree("archive")
	if err != nil {
		return "", err
	}
	defer t.root.Close()
	return t.root.Name(), t.tarFiles(regular.NewReader(m.ctx, f))
}

// maxDocument bounds what is read of somebody else's JSON, in bytes.
const maxDocument = 4 << 20

// saved finds the documents and the layers in an unpacked archive of `docker save`
// (https://github.com/moby/docker-image-spec): of an engine of any age, and of ukprobe.
func saved(dir string) (documents, layers []string, err error) {
	f, err := regular.Open(filepath.Join(dir, "manifest.json"))
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	var images []struct {
		Config string
		Layers []string
	}
	if err := json.NewDecoder(io.LimitReader(f, maxDocument)).Decode(&images); err != nil {
		return nil, nil, fmt.Errorf("manifest.json: %w", err)
	}
	if len(images) != 1 {
		return nil, nil, fmt.Errorf("manifest.json names %d images, want one", len(images))
	}
	for _, name := range append([]string{images[0].Config}, images[0].Layers...) {
		at, err := rootpath.Resolve(dir, filepath.Clean("/"+name))
		if err != nil {
			return nil, nil, err
		}
		layers = append(layers, at)
	}
	return layers[:1:1], layers[1:], nil
}

// layers unpacks the layers over each other, and measures what that makes.
func (m *measurer) layers(paths []string) error {
	t, err := m.scratchTree("rootfs")
	if err != nil {
		return err
	}
	defer t.root.Close()
	how := map[string]bool{}
	for _, p := range paths {
		packed, err := m.layer(t, p)
		if err != nil {
			return err
		}
		how[packed] = true
	}
	m.value("layers", int64(len(paths)))
	delete(how, "")
	if len(how) > 0 {
		m.out.Facts["layer_compression"] = strings.Join(slices.Sorted(maps.Keys(how)), ", ")
	}
	return m.rootfs(t.root.Name())
}

// layer unpacks one. Its tar archive counts in layers_bytes, as it is and as it is
// stored.
func (m *measurer) layer(t *tree, path string) (packed string, err error) {
	f, err := regular.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return "", err
	}
	in := bufio.NewReader(regular.NewReader(m.ctx, f))
	var archive io.Reader = in
	out, packed, err := unpacked(m.ctx, in)
	switch {
	case err == nil:
		defer func() { err = errors.Join(err, out.Close()) }()
		archive = out
	case !errors.Is(err, errNotPacked):
		return packed, fmt.Errorf("layer %s: %w", path, err)
	}
	var size counter
	archive = io.TeeReader(archive, &size)
	if err := t.layer(archive); err != nil {
		return packed, err
	}
	if _, err := io.Copy(io.Discard, archive); err != nil {
		return packed, err
	}
	m.add("layers_bytes", size.n)
	m.add("layers_stored_bytes", st.Size())
	return packed, nil
}
