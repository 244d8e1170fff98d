// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/ukprobe/ukprobe/guests/internal/cache"
)

// Names inside a root folder's cache entry.
const (
	rootFolder = "root"
	rootInfo   = "root.json"
)

// info is kept beside the root folder.
type info struct {
	Size int64 `json:"size"` // as built
}

// device is a node of /dev: its numbers are fixed
// (Documentation/admin-guide/devices.txt).
type device struct {
	name         string
	major, minor uint32
}

// devices are the nodes that programs expect.
var devices = []device{
	{"/dev/null", 1, 3},
	{"/dev/zero", 1, 5},
	{"/dev/full", 1, 7},
	{"/dev/random", 1, 8},
	{"/dev/urandom", 1, 9},
}

// RootFS returns the folder in a copy of which the bare process of an app runs after
// chroot, building it if the cache does not hold it. Building it needs root
// (mknod).
func (b *Builder) RootFS(ctx context.Context, app string) (RootFS, error) {
	r, err := b.rootFS(ctx, app)
	if err != nil {
		return RootFS{}, fmt.Errorf("build the root folder of %s: %w", app, err)
	}
	return r, nil
}

func (b *Builder) rootFS(ctx context.Context, app string) (RootFS, error) {
	r, err := lookup(app)
	if err != nil {
		return RootFS{}, err
	}
	pkgs, err := b.cache().Download(ctx, r.packages...)
	if err != nil {
		return RootFS{}, err
	}
	name, err := key("rootfs-"+app, pkgs...)
	if err != nil {
		return RootFS{}, err
	}
	dir, err := b.cache().Entry(ctx, name, func(dir, scratch string) error {
		t, err := appTree(ctx, r, pkgs, scratch)
		if err != nil {
			return err
		}
		for _, d := range devices {
			t.device(d.name, d.major, d.minor)
		}
		if err := t.writeTo(filepath.Join(dir, rootFolder)); err != nil {
			return err
		}
		data, err := json.Marshal(info{Size: t.size()})
		if err != nil {
			return err
		}
		return cache.WriteFile(filepath.Join(dir, rootInfo), data, 0o644)
	})
	if err != nil {
		return RootFS{}, err
	}
	size, err := rootSize(dir)
	return RootFS{
		Dir:      filepath.Join(dir, rootFolder),
		App:      app,
		Version:  r.version(pkgs),
		Program:  r.programs[0],
		Argv:     slices.Clone(r.argv),
		Env:      slices.Clone(processEnv),
		Packages: pkgs,
		Size:     size,
	}, err
}

// rootSize reads the size that the root folder had when it was built.
func rootSize(dir string) (int64, error) {
	data, err := os.ReadFile(filepath.Join(dir, rootInfo))
	if err != nil {
		return 0, err
	}
	var i info
	if err := json.Unmarshal(data, &i); err != nil {
		return 0, fmt.Errorf("%s: %w", filepath.Join(dir, rootInfo), err)
	}
	return i.Size, nil
}
