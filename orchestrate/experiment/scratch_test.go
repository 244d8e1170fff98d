// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/orchestrate/system"
)

// A scratch disk has no holes, and is the same each time.
func TestFill(t *testing.T) {
	const size = 3<<20 + 512
	var contents [2][]byte
	for i := range contents {
		path := filepath.Join(t.TempDir(), "disk")
		if err := fill(t.Context(), path, size); err != nil {
			t.Fatal(err)
		}
		st, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if own := st.Sys().(*syscall.Stat_t); st.Size() != size || own.Blocks*512 < size {
			t.Errorf("%d bytes, of which %d are allocated", st.Size(), own.Blocks*512)
		}
		if contents[i], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
		if err := fill(t.Context(), path, size); !errors.Is(err, os.ErrExist) {
			t.Errorf("once more: %v", err)
		}
	}
	if !bytes.Equal(contents[0], contents[1]) {
		t.Error("two disks differ")
	}
	if bytes.Contains(contents[0], make([]byte, 512)) {
		t.Error("a sector of zeros")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := fill(ctx, filepath.Join(t.TempDir(), "disk"), 1<<40); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// What is looked at is what the VMM opens: the scratch disk, or the image's, copies of
// them and overlays on them.
func TestDiskFiles(t *testing.T) {
	b := &Boot{Image: system.Boot{Disks: []system.Disk{{Path: "/images/a.raw"}, {Path: "/images/b.raw"}}}}
	for name, tt := range map[string]struct {
		launch platform.Launch
		want   []string
	}{
		"snapshots": {platform.Launch{}, []string{"/images/a.raw", "/images/b.raw"}},
		"a copy":    {platform.Launch{Copies: map[string]string{"copy0": "/images/b.raw"}}, []string{"/images/a.raw", "/s/copy0"}},
		"an overlay": {platform.Launch{Files: map[string][]byte{"disk0.qcow2": nil, "config": nil}},
			[]string{"/images/a.raw", "/images/b.raw", "/s/disk0.qcow2"}},
		"scratch": {platform.Launch{Scratch: &platform.Scratch{Name: "scratch.raw"}}, []string{"/s/scratch.raw"}},
	} {
		if diff := cmp.Diff(tt.want, b.diskFiles(tt.launch, "/s")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
