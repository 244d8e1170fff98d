// SPDX-License-Identifier: Apache-2.0

package lupine

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ukprobe/ukprobe/guests/linux"
)

// TestInCache: what this builder makes, by its names, and nothing else.
func TestInCache(t *testing.T) {
	dir := t.TempDir()
	const hash = "00112233445566aa"
	for name, size := range map[string]int{
		"lupine/kernel-general-" + hash + "/vmlinux": 12,
		"lupine/kernel-general-" + hash + "/bzImage": 13,
		"lupine/kernel-general-" + hash + "/config":  14,
		"kernel-" + hash + "/vmlinuz-6.1":            15,
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := InCache(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []linux.Cached{
		{System: "lupine", App: "general", Kind: "kernel", Path: filepath.Join(dir, "lupine/kernel-general-"+hash, "vmlinux"), Size: 12},
		{System: "lupine", App: "general", Kind: "kernel", Path: filepath.Join(dir, "lupine/kernel-general-"+hash, "bzImage"), Size: 13},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(linux.Cached{}, "Built")); diff != "" {
		t.Errorf("in the cache (-want +got):\n%s", diff)
	}
}
