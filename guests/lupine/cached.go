// SPDX-License-Identifier: Apache-2.0

package lupine

import (
	"path/filepath"
	"regexp"

	"github.com/ukprobe/ukprobe/guests/internal/cache"
	"github.com/ukprobe/ukprobe/guests/linux"
)

// cached is what this package's builder makes, by name.
var cached = []cache.Kind{
	{Name: regexp.MustCompile(`^kernel-([a-z]+)-[0-9a-f]{16}$`), System: "lupine", Kind: "kernel", Has: "vmlinux"},
	{Name: regexp.MustCompile(`^kernel-([a-z]+)-[0-9a-f]{16}$`), System: "lupine", Kind: "kernel", Has: "bzImage"},
}

// InCache lists the kernels of this package's builder in a cache folder of package
// linux's, the newest of each first. A folder that does not exist holds none.
func InCache(dir string) ([]linux.Cached, error) {
	return cache.List(filepath.Join(dir, folder), cached)
}
