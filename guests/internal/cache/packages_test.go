// SPDX-License-Identifier: Apache-2.0

package cache

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/internal/deb"
)

// TestKeep: an answer takes the place of the one before, and what a killed process has
// left of its own goes.
func TestKeep(t *testing.T) {
	c := &Cache{Dir: t.TempDir(), Logf: t.Logf}
	path := c.keptAnswer("nginx")
	if err := os.WriteFile(filepath.Join(c.Dir, newAnswer), []byte("half an ans"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"1", "2"} {
		want := []deb.Package{{Name: "nginx", Version: version}}
		if err := c.keep(t.Context(), path, want); err != nil {
			t.Fatal(err)
		}
		got, ok := lastAnswer(path)
		if diff := cmp.Diff(want, got); !ok || diff != "" {
			t.Errorf("%v (-want +got):\n%s", ok, diff)
		}
	}
	entries, err := os.ReadDir(c.Dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := []string{filepath.Base(path), answerLock}; !slices.Equal(names, want) {
		t.Errorf("the cache has %q, want %q", names, want)
	}
}
