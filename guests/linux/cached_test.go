// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ukprobe/ukprobe/guests/internal/cache/cachetest"
)

// TestInCache: what is there by the builders' names, the newest first, and nothing
// else.
func TestInCache(t *testing.T) {
	const older, newer = "00112233445566aa", "ffeeddccbbaa9988"
	dir := cachetest.Folder(t, map[string]int{
		"kernel-" + older + "/vmlinuz-6.1.0-1-cloud-amd64":      5,
		"kernel-" + older + "/modules/virtio_net.ko":            50,
		"initramfs-nginx-" + older + "/initramfs.cpio.gz":       7,
		"initramfs-nginx-" + newer + "/initramfs.cpio.gz":       8,
		"initramfs-plain-redis-" + older + "/initramfs.cpio.gz": 9,
		"disk-plain-redis-" + older + "/root.ext2":              10,
		"rootfs-redis-" + older + "/root/bin/redis-server":      30,
		"rootfs-redis-" + older + "/root/etc/redis.conf":        3000,
		"rootfs-redis-" + older + "/root.json":                  100,
		"layer-nginx-" + older + "/layer.tar":                   15,
		".build/rootfs-redis-" + older + "/root/x":              16,
		"packages/nginx.deb":                                    17,
	})
	// The root's own files may not be its only ones.
	if err := os.WriteFile(filepath.Join(dir, "rootfs-redis-"+older, rootInfo), []byte(`{"size":33}`), 0o600); err != nil {
		t.Fatal(err)
	}
	past := time.Now().Add(-time.Hour)
	if err := os.Chtimes(filepath.Join(dir, "initramfs-nginx-"+older), past, past); err != nil {
		t.Fatal(err)
	}
	cachetest.Lists(t, InCache, dir,
		Cached{System: "linux", Kind: "kernel", Path: "kernel-" + older + "/vmlinuz-6.1.0-1-cloud-amd64", Size: 5},
		Cached{System: "linux", App: "nginx", Kind: "initramfs", Path: "initramfs-nginx-" + newer + "/initramfs.cpio.gz", Size: 8},
		Cached{System: "linux", App: "nginx", Kind: "initramfs", Path: "initramfs-nginx-" + older + "/initramfs.cpio.gz", Size: 7},
		Cached{System: "lupine", App: "redis", Kind: "disk", Path: "disk-plain-redis-" + older + "/root.ext2", Size: 10},
		Cached{System: "lupine", App: "redis", Kind: "initramfs", Path: "initramfs-plain-redis-" + older + "/initramfs.cpio.gz", Size: 9},
		Cached{System: "process", App: "redis", Kind: "rootfs", Path: "rootfs-redis-" + older + "/root", Size: 33})
	if none, err := InCache(filepath.Join(dir, "nosuch")); err != nil || len(none) != 0 {
		t.Errorf("a folder that is not there: %v, %v", none, err)
	}
}
