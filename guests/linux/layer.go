// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ukprobe/ukprobe/guests/internal/cache"
	"github.com/ukprobe/ukprobe/internal/deb"
)

// layerFile is the name inside a layer's cache entry.
const layerFile = "layer.tar"

// Layer is the file tree of a root folder as an uncompressed tar archive, for a
// container's image. It has no devices: a container runtime makes its own /dev.
type Layer struct {
	Path     string
	App      string
	Argv     []string // the program's path is inside the archive
	Env      []string // the whole environment
	SHA256   string   // of the file at Path, in hexadecimal: the layer's diff ID
	Size     int64    // of the file at Path, in bytes
	Packages []deb.Package
}

// Layer returns the layer of an app, building it if the cache does not hold it.
// The same packages, recipe and Go release give the same bytes. It is made of the
// same tree as the root folder, not of the folder, which its apps have written to.
func (b *Builder) Layer(ctx context.Context, app string) (Layer, error) {
	l, err := b.layer(ctx, app)
	if err != nil {
		return Layer{}, fmt.Errorf("build the layer of %s: %w", app, err)
	}
	return l, nil
}

func (b *Builder) layer(ctx context.Context, app string) (Layer, error) {
	r, err := lookup(app)
	if err != nil {
		return Layer{}, err
	}
	pkgs, err := b.cache().Download(ctx, r.packages...)
	if err != nil {
		return Layer{}, err
	}
	name, err := key("layer-"+app, pkgs...)
	if err != nil {
		return Layer{}, err
	}
	dir, err := b.cache().Entry(ctx, name, func(dir, scratch string) error {
		t, err := appTree(ctx, r, pkgs, scratch)
		if err != nil {
			return err
		}
		return t.writeLayer(filepath.Join(dir, layerFile))
	})
	if err != nil {
		return Layer{}, err
	}
	l := Layer{Path: filepath.Join(dir, layerFile), App: app, Argv: slices.Clone(r.argv), Env: slices.Clone(processEnv), Packages: pkgs}
	l.SHA256, l.Size, err = cache.Digest(l.Path)
	return l, err
}

// writeLayer writes the tree as a tar archive, in the order of the names, with all
// times at the epoch.
func (t tree) writeLayer(dest string) (err error) {
	f, err := os.OpenFile(dest, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := tar.NewWriter(f)
	for _, name := range t.names() {
		h, err := t[name].header(strings.TrimPrefix(name, "/"))
		if err != nil {
			return err
		}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		if _, err := w.Write(t[name].data); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return f.Sync()
}

func (n node) header(name string) (*tar.Header, error) {
	h := &tar.Header{Name: name, Mode: int64(n.mode.Perm()), ModTime: time.Unix(0, 0), Format: tar.FormatPAX}
	switch n.mode.Type() {
	case fs.ModeDir:
		h.Typeflag, h.Name = tar.TypeDir, name+"/"
	case 0:
		h.Typeflag, h.Size = tar.TypeReg, int64(len(n.data))
	default:
		return nil, fmt.Errorf("/%s: a layer holds files and folders, not %v", name, n.mode)
	}
	return h, nil
}
