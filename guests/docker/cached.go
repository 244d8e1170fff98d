// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"regexp"

	"github.com/ukprobe/ukprobe/guests/internal/cache"
	"github.com/ukprobe/ukprobe/guests/linux"
)

// cached is what this package's builder makes, by name.
var cached = []cache.Kind{
	{Name: regexp.MustCompile(`^docker-([a-z]+)-[0-9a-f]{16}\.tar$`), System: "docker", Kind: "container"},
}

// InCache lists the images of this package's builder in a cache folder of package
// linux's, the newest of each first. A folder that does not exist holds none.
func InCache(dir string) ([]linux.Cached, error) { return cache.List(dir, cached) }
