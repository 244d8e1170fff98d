// SPDX-License-Identifier: Apache-2.0

// Package docker builds the container images that the system "docker" runs: for
// each app of guests/linux one image of one layer, which holds the very files of
// the microVM's initramfs and the bare process's root folder, so that what differs
// between their figures is the system and not the app.
//
// It knows the formats of images: one archive is an OCI image layout and what
// `docker load` takes at once. It does not know engines: package
// orchestrate/docker loads and runs what is built here.
package docker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ukprobe/ukprobe/guests/linux"
	"github.com/ukprobe/ukprobe/internal/deb"
	"github.com/ukprobe/ukprobe/internal/lockfile"
)

// Repository begins the references of the images: ukprobe/nginx:<12 digits of the
// image's ID>.
const Repository = "ukprobe/"

// Builder makes the images, or finds them in the cache of the builder of Linux
// guests. It may be used by several goroutines.
type Builder struct{ Linux *linux.Builder }

// Image is a container image in one archive.
type Image struct {
	Path      string // of the archive
	App       string
	Reference string        // name and tag that the archive gives it
	ID        digest.Digest // of its configuration: the image ID of an engine with its own image store
	Manifest  digest.Digest // the image ID of an engine with containerd's image store
	Layers    []digest.Digest
	Size      int64    // of the archive, in bytes
	Content   int64    // bytes of manifest, configuration and layers, as the manifest has them
	Argv      []string // what it runs
	Packages  []deb.Package
}

// Apps returns the apps that can be built, sorted.
func Apps() []string { return linux.Apps() }

// Image returns the image of an app, building it if the cache does not hold it.
// The same packages, recipe and Go release give the same bytes.
func (b *Builder) Image(ctx context.Context, app string) (Image, error) {
	layer, err := b.Linux.Layer(ctx, app)
	if err != nil {
		return Image{}, err
	}
	img, err := b.image(ctx, layer)
	if err != nil {
		return Image{}, fmt.Errorf("build the image of %s: %w", app, err)
	}
	return img, nil
}

func (b *Builder) image(ctx context.Context, layer linux.Layer) (Image, error) {
	c, err := describe(layer)
	if err != nil {
		return Image{}, err
	}
	img := Image{
		App: layer.App, Reference: c.reference, ID: c.config.digest, Manifest: c.manifest.digest,
		Layers: []digest.Digest{c.layers[0].digest}, Content: c.size(), Argv: slices.Clone(layer.Argv), Packages: layer.Packages,
		Path: filepath.Join(b.Linux.Dir, fmt.Sprintf("docker-%s-%s.tar", layer.App, c.manifest.digest.Encoded()[:16])),
	}
	if img.Path, err = filepath.Abs(img.Path); err != nil {
		return Image{}, err
	}
	st, err := os.Stat(img.Path)
	if errors.Is(err, os.ErrNotExist) {
		st, err = b.make(ctx, c, img.Path)
	}
	if err != nil {
		return Image{}, err
	}
	img.Size = st.Size()
	return img, nil
}

// make writes the archive, with the cache locked, unless another process has meanwhile.
func (b *Builder) make(ctx context.Context, c content, path string) (os.FileInfo, error) {
	unlock, err := lockfile.Take(ctx, filepath.Join(filepath.Dir(path), ".lock"), b.Linux.Logf)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if st, err := os.Stat(path); err == nil {
		return st, nil
	}
	if err := c.write(path); err != nil {
		return nil, err
	}
	return os.Stat(path)
}

// blob is a document of an image.
type blob struct {
	data   []byte
	digest digest.Digest
}

func (b blob) descriptor(mediaType string) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: b.digest, Size: int64(len(b.data))}
}

// document is v as JSON.
func document(v any) (blob, error) {
	data, err := json.Marshal(v)
	return blob{data: data, digest: digest.FromBytes(data)}, err
}

// content is all of an image but its layer's bytes.
type content struct {
	reference        string
	layers           []layerFile // as they are stored
	config, manifest blob
	mediaType        string // of the manifest
	index            []byte // index.json of the OCI image layout
	docker           []byte // manifest.json of `docker save`
}

// size is that of manifest, configuration and layers, in bytes.
func (c *content) size() int64 {
	n := int64(len(c.manifest.data) + len(c.config.data))
	for _, l := range c.layers {
		n += l.size
	}
	return n
}

// layerFile is where a layer's bytes are.
type layerFile struct {
	path   string
	digest digest.Digest
	size   int64 // bytes
}

// describe makes an image's documents. All its times are the epoch.
func describe(layer linux.Layer) (content, error) {
	only := layerFile{path: layer.Path, digest: digest.NewDigestFromEncoded(digest.SHA256, layer.SHA256), size: layer.Size}
	c := content{layers: []layerFile{only}, mediaType: ocispec.MediaTypeImageManifest}
	epoch := time.Unix(0, 0).UTC()
	var versions bytes.Buffer
	for _, p := range layer.Packages {
		fmt.Fprintf(&versions, "%s=%s ", p.Name, p.Version)
	}
	var err error
	c.config, err = document(ocispec.Image{
		Created:  &epoch,
		Platform: ocispec.Platform{Architecture: "amd64", OS: "linux"},
		Config: ocispec.ImageConfig{Env: layer.Env, Cmd: layer.Argv, WorkingDir: "/", Labels: map[string]string{
			"org.opencontainers.image.title": "ukprobe " + layer.App,
			"ukprobe.packages":               string(bytes.TrimSpace(versions.Bytes())),
		}},
		RootFS:  ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{only.digest}},
		History: []ocispec.History{{Created: &epoch, CreatedBy: "ukprobe", Comment: "unmodified binaries of Debian packages"}},
	})
	if err != nil {
		return c, err
	}
	c.reference = Repository + layer.App + ":" + c.config.digest.Encoded()[:12]
	c.manifest, err = document(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: c.mediaType,
		Config:    c.config.descriptor(ocispec.MediaTypeImageConfig),
		Layers:    []ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageLayer, Digest: only.digest, Size: only.size}},
	})
	if err != nil {
		return c, err
	}
	err = c.indexes()
	return c, err
}

// indexes makes the two tables of contents of the archive.
func (c *content) indexes() error {
	entry := c.manifest.descriptor(c.mediaType)
	// The first is for containerd, which Docker's newer image store is; the second
	// is the specification's.
	entry.Annotations = map[string]string{
		"io.containerd.image.name": "docker.io/" + c.reference,
		ocispec.AnnotationRefName:  c.config.digest.Encoded()[:12],
	}
	index, err1 := document(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex,
		Manifests: []ocispec.Descriptor{entry}})
	// https://github.com/moby/docker-image-spec: the archive of `docker save`.
	layers := make([]string, len(c.layers))
	for i, l := range c.layers {
		layers[i] = blobPath(l.digest)
	}
	legacy, err2 := document([]map[string]any{{"Config": blobPath(c.config.digest), "RepoTags": []string{c.reference}, "Layers": layers}})
	c.index, c.docker = index.data, legacy.data
	return errors.Join(err1, err2)
}

// blobPath is where the archive has a blob.
func blobPath(d digest.Digest) string {
	return ocispec.ImageBlobsDir + "/" + d.Algorithm().String() + "/" + d.Encoded()
}
