// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/pagecache"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/orchestrate/system"
)

// TestGuestFiles: a copy stands for what it is of.
func TestGuestFiles(t *testing.T) {
	b := system.Boot{Kernel: "/img/kernel", RootFS: "/img/root", Disks: []system.Disk{{Path: "/img/a"}, {Path: "/img/b"}, {Path: "/img/a"}}}
	l := platform.Launch{Copies: map[string]string{"disk0": "/img/b", "root": "/img/root"}}
	want := []string{"/img/a", "/img/kernel", "/run/s0/disk0", "/run/s0/root"}
	if diff := cmp.Diff(want, GuestFiles(b, l, "/run/s0")); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestCache: a guest that reads its own file shows where it came from.
func TestCache(t *testing.T) {
	if err := pagecache.Coolable(os.TempDir()); err != nil {
		t.Skip(err)
	}
	const size = 4 << 20
	original := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(original, make([]byte, size), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		cache    string
		copied   bool
		resident float64
		read     func(bytes float64) bool
	}{
		{matrix.CacheCold, true, 0, func(n float64) bool { return n >= size }},
		{matrix.CacheCold, false, 0, func(n float64) bool { return n >= size }},
		{matrix.CacheWarm, true, size, func(n float64) bool { return n < size/4 }},
		{matrix.CacheWarm, false, size, func(n float64) bool { return n < size/4 }},
		{matrix.CacheAsIs, true, size, func(n float64) bool { return n < size/4 }}, // just written
	} {
		b, _ := roundBoot(t, 1, "")
		p := b.Platform.(program)
		file := original
		if tt.copied {
			file = platform.Dir + "/disk0"
			p.more = func(l *platform.Launch) { l.Copies = map[string]string{"disk0": original} }
		}
		p.argv = []string{"/bin/sh", "-c", "cat " + file + " > /dev/null; echo ready; exec sleep 60"}
		b.Platform, b.Settings.Cache = p, tt.cache
		b.Image.Disks = []system.Disk{{Path: original}}
		s := sampled(t, b)
		if got := s.Values[CacheResidentBytes]; got != tt.resident || s.Values[CacheFilesBytes] != size {
			t.Errorf("%s, copied %v: %v of %v bytes in the page cache, want %v", tt.cache, tt.copied, got, s.Values[CacheFilesBytes], tt.resident)
		}
		if got, ok := s.Values[DiskReadBytes]; !ok || !tt.read(got) {
			t.Errorf("%s, copied %v: %v bytes were read from the disk", tt.cache, tt.copied, got)
		}
		if strings.Contains(strings.Join(s.Taints, ""), "cache:") {
			t.Errorf("%s: taints %q", tt.cache, s.Taints)
		}
	}
}

// TestCacheUnknown: what cannot be looked at is missing, and fails a sample only if it was
// to be made so.
func TestCacheUnknown(t *testing.T) {
	for cache, status := range map[string]string{matrix.CacheAsIs: OK, matrix.CacheWarm: Failed, matrix.CacheCold: Failed} {
		b, _ := roundBoot(t, 1, "echo ready; exec sleep 60")
		b.Image.Kernel, b.Settings.Cache = filepath.Join(t.TempDir(), "gone"), cache
		s, err := b.Sample(t.Context(), "s0")
		if err != nil {
			t.Fatal(err)
		}
		text := s.Reason
		if status == OK && len(s.Lacking) == 1 {
			text = s.Lacking[0].Reason
		}
		if s.Status != status || !strings.Contains(text, "gone: no such file") {
			t.Errorf("%s: %s: %q", cache, s.Status, text)
		}
		if _, there := s.Values[CacheResidentBytes]; there {
			t.Errorf("%s: values %v", cache, s.Values)
		}
	}
}

// TestCacheOfNoFile: a disk that is a device has no file of which a share is cached.
func TestCacheOfNoFile(t *testing.T) {
	for cache, taints := range map[string]int{matrix.CacheAsIs: 0, matrix.CacheWarm: 1} {
		b, _ := roundBoot(t, 1, "echo ready; exec sleep 60")
		b.Image.Disks, b.Settings.Cache = []system.Disk{{Path: os.DevNull}}, cache
		s, err := b.Sample(t.Context(), "s0")
		if err != nil || s.Status != OK {
			t.Fatalf("%s: %s, %v", s.Status, s.Reason, err)
		}
		why := ""
		for _, l := range s.Lacking {
			if l.Name == CacheResidentBytes {
				why = l.Reason
			}
		}
		if p, there := s.Values[CacheResidentPercent]; there || why != "none of the guest's files is a regular one" {
			t.Errorf("%s: %v %%, missing because %q", cache, p, why)
		}
		if n := strings.Count(strings.Join(s.Taints, "\n"), "cache: "); n != taints {
			t.Errorf("%s: taints %q", cache, s.Taints)
		}
	}
}
