// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestInCache: what is there by the builders' names, the newest first, and nothing
// else.
func TestInCache(t *testing.T) {
	dir := t.TempDir()
	const older, newer = "00112233445566aa", "ffeeddccbbaa9988"
	for name, size := range map[string]int{
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
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		data := make([]byte, size)
		if strings.HasSuffix(name, "/"+rootInfo) { // the root's own files may not be its only ones
			data = []byte(`{"size":33}`)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	past := time.Now().Add(-time.Hour)
	if err := os.Chtimes(filepath.Join(dir, "initramfs-nginx-"+older), past, past); err != nil {
		t.Fatal(err)
	}
	got, err := InCache(dir)
	if err != nil {
		t.Fatal(err)
	}
	at := func(parts ...string) string { return filepath.Join(append([]string{dir}, parts...)...) }
	want := []Cached{
		{System: "linux", Kind: "kernel", Path: at("kernel-"+older, "vmlinuz-6.1.0-1-cloud-amd64"), Size: 5},
		{System: "linux", App: "nginx", Kind: "initramfs", Path: at("initramfs-nginx-"+newer, "initramfs.cpio.gz"), Size: 8},
		{System: "linux", App: "nginx", Kind: "initramfs", Path: at("initramfs-nginx-"+older, "initramfs.cpio.gz"), Size: 7},
		{System: "lupine", App: "redis", Kind: "disk", Path: at("disk-plain-redis-"+older, "root.ext2"), Size: 10},
		{System: "lupine", App: "redis", Kind: "initramfs", Path: at("initramfs-plain-redis-"+older, "initramfs.cpio.gz"), Size: 9},
		{System: "process", App: "redis", Kind: "rootfs", Path: at("rootfs-redis-"+older, "root"), Size: 33},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Cached{}, "Built")); diff != "" {
		t.Errorf("in the cache (-want +got):\n%s", diff)
	}
	if none, err := InCache(filepath.Join(dir, "nosuch")); err != nil || len(none) != 0 {
		t.Errorf("a folder that is not there: %v, %v", none, err)
	}
}
