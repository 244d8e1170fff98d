// SPDX-License-Identifier: Apache-2.0

// Package cachetest makes folders like builders' caches, for the tests of what they list.
package cachetest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ukprobe/ukprobe/guests/internal/cache"
)

// Folder makes a folder with files of these names and sizes.
func Folder(t *testing.T, files map[string]int) string {
	t.Helper()
	dir := t.TempDir()
	for name, size := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Lists checks that inCache lists just these of a folder, whose paths are below it, in
// this order; when they were built is not compared.
func Lists(t *testing.T, inCache func(dir string) ([]cache.Cached, error), dir string, want ...cache.Cached) {
	t.Helper()
	got, err := inCache(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		want[i].Path = filepath.Join(dir, want[i].Path)
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(cache.Cached{}, "Built")); diff != "" {
		t.Errorf("in the cache (-want +got):\n%s", diff)
	}
}
