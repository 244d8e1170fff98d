// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"testing"

	"github.com/ukprobe/ukprobe/guests/internal/cache/cachetest"
	"github.com/ukprobe/ukprobe/guests/linux"
)

// TestInCache: what this builder makes, by its names, and nothing else.
func TestInCache(t *testing.T) {
	const hash = "00112233445566aa"
	dir := cachetest.Folder(t, map[string]int{
		"docker-hello-" + hash + ".tar":   11,
		"docker-hello-" + hash + ".tar.x": 12,
		"layer-hello-" + hash + "/x.tar":  13,
	})
	cachetest.Lists(t, InCache, dir,
		linux.Cached{System: "docker", App: "hello", Kind: "container", Path: "docker-hello-" + hash + ".tar", Size: 11})
}
