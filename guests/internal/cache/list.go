// SPDX-License-Identifier: Apache-2.0

package cache

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"
)

// Cached is an image that a cache folder holds.
type Cached struct {
	// System is which system boots it: linux, lupine, process or docker.
	System string `json:"system"`
	// App is the app that it is for; "" for Debian's kernel, which all apps share.
	App string `json:"app,omitempty"`
	// Kind is kernel, initramfs, disk, rootfs or container.
	Kind string `json:"kind"`
	// Path is that of the file, or of the folder of a root file system.
	Path string `json:"path"`
	// Size is the file's, in bytes, or the sum of a folder's regular files, as built.
	Size int64 `json:"size_bytes"`
	// Built is when it came into the cache.
	Built time.Time `json:"built"`
}

// Kind is one of the things that a builder makes.
type Kind struct {
	// Name is how its entries are called; the first group is the app.
	Name *regexp.Regexp
	// System and Kind are [Cached]'s.
	System, Kind string
	// Has is a pattern of the file or folder below the entry; "" if the entry is it.
	Has string
	// Size reads a size, in bytes, that cannot be read off the file; nil if it can.
	Size func(entry string) (int64, error)
}

// List lists what of some kinds is in a cache folder, the newest of each first: an older
// one is what a newer version of a package or recipe has replaced. What goes meanwhile
// is not in it. A folder that does not exist holds nothing.
func List(dir string, kinds []Kind) ([]Cached, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var out []Cached
	for _, e := range entries {
		for _, k := range kinds {
			found, err := k.in(dir, e.Name())
			if err != nil {
				return nil, err
			}
			out = append(out, found...)
		}
	}
	Sort(out)
	return out, nil
}

// Sort puts images in the order of a list: by system, app and kind, the newest first.
func Sort(all []Cached) {
	slices.SortStableFunc(all, func(a, b Cached) int {
		return cmp.Or(cmp.Compare(a.System, b.System), cmp.Compare(a.App, b.App), cmp.Compare(a.Kind, b.Kind), b.Built.Compare(a.Built))
	})
}

// in is what of the kind the entry of that name holds.
func (k Kind) in(dir, name string) ([]Cached, error) {
	m := k.Name.FindStringSubmatch(name)
	if m == nil {
		return nil, nil
	}
	entry := filepath.Join(dir, name)
	paths, err := filepath.Glob(filepath.Join(entry, k.Has))
	if err != nil {
		return nil, err
	}
	var out []Cached
	for _, path := range paths {
		c := Cached{System: k.System, App: m[1], Kind: k.Kind, Path: path}
		err := k.measure(&c, entry)
		if errors.Is(err, fs.ErrNotExist) { // removed meanwhile
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

// measure fills in size and time.
func (k Kind) measure(c *Cached, entry string) error {
	made, err := os.Stat(entry)
	if err != nil {
		return err
	}
	c.Built = made.ModTime()
	if k.Size != nil {
		c.Size, err = k.Size(entry)
		return err
	}
	st, err := os.Stat(c.Path)
	if err == nil {
		c.Size = st.Size()
	}
	return err
}
