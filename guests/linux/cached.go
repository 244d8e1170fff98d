// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"regexp"

	"github.com/ukprobe/ukprobe/guests/internal/cache"
)

// Cached is an image that a cache folder holds.
type Cached = cache.Cached

// SortCached puts images in the order of a list: by system, app and kind, the newest
// first.
func SortCached(all []Cached) { cache.Sort(all) }

// cached is what this package's builder makes, by name.
var cached = []cache.Kind{
	{Name: regexp.MustCompile(`^kernel-()[0-9a-f]{16}$`), System: "linux", Kind: "kernel", Has: "vmlinuz*"},
	{Name: regexp.MustCompile(`^initramfs-plain-([a-z]+)-[0-9a-f]{16}$`), System: "lupine", Kind: "initramfs", Has: "initramfs.cpio.gz"},
	{Name: regexp.MustCompile(`^disk-plain-([a-z]+)-[0-9a-f]{16}$`), System: "lupine", Kind: "disk", Has: diskFile},
	{Name: regexp.MustCompile(`^initramfs-([a-z]+)-[0-9a-f]{16}$`), System: "linux", Kind: "initramfs", Has: "initramfs.cpio.gz"},
	{Name: regexp.MustCompile(`^rootfs-([a-z]+)-[0-9a-f]{16}$`), System: "process", Kind: "rootfs", Has: "root", Size: rootSize},
}

// InCache lists the images of this package's builder in a cache folder, the newest of
// each first. A folder that does not exist holds none.
func InCache(dir string) ([]Cached, error) { return cache.List(dir, cached) }
