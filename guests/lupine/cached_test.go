// SPDX-License-Identifier: Apache-2.0

package lupine

import (
	"testing"

	"github.com/ukprobe/ukprobe/guests/internal/cache/cachetest"
	"github.com/ukprobe/ukprobe/guests/linux"
)

// TestInCache: what this builder makes, by its names, and nothing else.
func TestInCache(t *testing.T) {
	const hash = "00112233445566aa"
	dir := cachetest.Folder(t, map[string]int{
		"lupine/kernel-general-" + hash + "/vmlinux": 12,
		"lupine/kernel-general-" + hash + "/bzImage": 13,
		"lupine/kernel-general-" + hash + "/config":  14,
		"kernel-" + hash + "/vmlinuz-6.1":            15,
	})
	cachetest.Lists(t, InCache, dir,
		linux.Cached{System: "lupine", App: "general", Kind: "kernel", Path: "lupine/kernel-general-" + hash + "/vmlinux", Size: 12},
		linux.Cached{System: "lupine", App: "general", Kind: "kernel", Path: "lupine/kernel-general-" + hash + "/bzImage", Size: 13})
}
