// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
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
	// Size is the file's, in bytes, or the sum of a folder's regular files.
	Size int64 `json:"size_bytes"`
	// Built is when it came into the cache.
	Built time.Time `json:"built"`
}

// cachedNames is how the builders name what they build: in the folder itself, and
// in that of package lupine. The first group is the app.
var cachedNames = []struct {
	name              *regexp.Regexp
	system, kind, has string // has is a pattern below the entry
}{
	{regexp.MustCompile(`^kernel-()[0-9a-f]{16}$`), "linux", "kernel", "vmlinuz*"},
	{regexp.MustCompile(`^initramfs-plain-([a-z]+)-[0-9a-f]{16}$`), "lupine", "initramfs", "initramfs.cpio.gz"},
	{regexp.MustCompile(`^disk-plain-([a-z]+)-[0-9a-f]{16}$`), "lupine", "disk", diskFile},
	{regexp.MustCompile(`^initramfs-([a-z]+)-[0-9a-f]{16}$`), "linux", "initramfs", "initramfs.cpio.gz"},
	{regexp.MustCompile(`^rootfs-([a-z]+)-[0-9a-f]{16}$`), "process", "rootfs", "root"},
	{regexp.MustCompile(`^docker-([a-z]+)-[0-9a-f]{16}\.tar$`), "docker", "container", ""},
	{regexp.MustCompile(`^lupine/kernel-([a-z]+)-[0-9a-f]{16}$`), "lupine", "kernel", "vmlinux"},
	{regexp.MustCompile(`^lupine/kernel-([a-z]+)-[0-9a-f]{16}$`), "lupine", "kernel", "bzImage"},
}

// InCache lists the images in a cache folder, by system and app, the newest first:
// an older one is what a newer version of a package or recipe has replaced. A folder
// that does not exist holds none.
func InCache(dir string) ([]Cached, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	var out []Cached
	for _, below := range []string{"", "lupine"} {
		entries, err := os.ReadDir(filepath.Join(dir, below))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, e := range entries {
			found, err := cachedIn(dir, filepath.Join(below, e.Name()))
			if err != nil {
				return nil, err
			}
			out = append(out, found...)
		}
	}
	slices.SortStableFunc(out, func(a, b Cached) int {
		if c := strings.Compare(a.System+" "+a.App+" "+a.Kind, b.System+" "+b.App+" "+b.Kind); c != 0 {
			return c
		}
		return b.Built.Compare(a.Built)
	})
	return out, nil
}

// cachedIn is what the entry of that name holds.
func cachedIn(dir, name string) ([]Cached, error) {
	var out []Cached
	for _, n := range cachedNames {
		m := n.name.FindStringSubmatch(name)
		if m == nil {
			continue
		}
		paths, err := filepath.Glob(filepath.Join(dir, name, n.has))
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			c := Cached{System: n.system, App: m[1], Kind: n.kind, Path: path}
			if c.Size, c.Built, err = sizeOf(path, filepath.Join(dir, name)); err != nil {
				return nil, err
			}
			out = append(out, c)
		}
	}
	return out, nil
}

// sizeOf is the size of the regular files at and below path, and when entry was
// made.
func sizeOf(path, entry string) (int64, time.Time, error) {
	st, err := os.Stat(entry)
	if err != nil {
		return 0, time.Time{}, err
	}
	var sum int64
	err = filepath.WalkDir(path, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			sum += info.Size()
		}
		return err
	})
	return sum, st.ModTime(), err
}
