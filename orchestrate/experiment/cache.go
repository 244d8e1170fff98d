// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/pagecache"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/orchestrate/system"
)

// The names of what is known of the page cache before a start, and of what was read in
// spite of it.
const (
	CacheFilesBytes      = "cache_files_bytes"    // of the files that belong to the guest
	CacheResidentBytes   = "cache_resident_bytes" // of these, in the page cache
	CacheResidentPercent = "cache_resident_percent"
	DiskReadBytes        = "disk_read_bytes" // that the VMM or process had read from a block device
	MajorFaults          = "major_faults"    // that waited for one
)

// notAsked is how much of the files, in percent, may be in the page cache, or missing
// there, against what was asked for, before the sample is tainted.
const notAsked = 1

// layersUnknown is why nothing is known of a container's files.
const layersUnknown = "the engine does not tell in which folders of this machine the image's layers are (only storage driver overlay2 does)"

// GuestFiles are the files that belong to a guest: the image's kernel, initrd, disks and
// root folder, a container's layers, or the copies that a sample has of them in its folder, dir. Those of the
// VMM, its firmware and its libraries do not: they are the host's.
func GuestFiles(b system.Boot, l platform.Launch, dir string) []string {
	originals := append([]string{b.Kernel, b.Initrd, b.RootFS}, b.Layers...)
	for _, d := range b.Disks {
		originals = append(originals, d.Path)
	}
	var out []string
	for _, path := range originals {
		if path == "" {
			continue
		}
		copied := false
		for name, from := range l.Copies {
			if from == path {
				out, copied = append(out, filepath.Join(dir, name)), true
			}
		}
		if !copied {
			out = append(out, path)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Cacheable says why a cell's setting of the page cache cannot be had; nil if it can.
// dir is where the samples' folders are.
func Cacheable(cache string, b system.Boot, l platform.Launch, dir string) error {
	files := GuestFiles(b, l, dir)
	switch {
	case cache == matrix.CacheAsIs:
		return nil
	case len(files) == 0:
		return fmt.Errorf("%w: cache %s: %s", system.ErrUnsupported, cache, layersUnknown)
	case cache == matrix.CacheWarm:
		return nil
	}
	for _, path := range files {
		if strings.HasPrefix(path, dir+string(filepath.Separator)) {
			path = dir // the copy is not there yet
		}
		if err := pagecache.Coolable(path); err != nil {
			return fmt.Errorf("%w: cache %s: %w", system.ErrUnsupported, cache, err)
		}
	}
	return nil
}

// cache has the page cache hold of the guest's files what is asked for, and notes what it
// holds. An error is about files that cannot be cached as asked for, and wraps
// errOriginal.
func (b *Boot) cache(ctx context.Context, s *Sample, l platform.Launch, dir string) error {
	paths := GuestFiles(b.Image, l, dir)
	if len(paths) == 0 {
		s.Lacks(CacheResidentBytes, layersUnknown)
		return nil
	}
	var state pagecache.State
	files, err := pagecache.Of(paths)
	if err == nil {
		state, err = b.bring(ctx, files)
	}
	asked := b.Settings.Cache == matrix.CacheWarm || b.Settings.Cache == matrix.CacheCold
	switch {
	case err != nil && !asked && ctx.Err() == nil: // such as a file system without mmap
		s.Lacks(CacheResidentBytes, err.Error())
		return nil
	case err != nil:
		return fmt.Errorf("%w: %w", errOriginal, err)
	case state.Bytes == 0:
		why := "none of the guest's files is a regular one"
		if len(files.Paths()) > 0 {
			why = "the guest's files are empty"
		}
		s.Lacks(CacheResidentBytes, why)
		if asked {
			s.Taint("cache: %s was asked for, but %s", b.Settings.Cache, why)
		}
		return nil
	}
	s.Value(CacheFilesBytes, float64(state.Bytes))
	s.Value(CacheResidentBytes, float64(state.Resident))
	s.Value(CacheResidentPercent, state.Percent())
	switch p := state.Percent(); {
	case b.Settings.Cache == matrix.CacheWarm && p < 100-notAsked:
		s.Taint("cache: warm, but only %.1f %% of the guest's files stay in the page cache", p)
	case b.Settings.Cache == matrix.CacheCold && p > notAsked:
		s.Taint("cache: cold, but %.1f %% of the guest's files stay in the page cache%s", p, heldBy(files))
	}
	return nil
}

// bring has the page cache hold of some files what is asked for.
func (b *Boot) bring(ctx context.Context, files pagecache.Set) (pagecache.State, error) {
	switch b.Settings.Cache {
	case matrix.CacheWarm:
		return files.Warm(ctx)
	case matrix.CacheCold:
		return files.Cool(ctx)
	}
	return files.Look(ctx)
}

// heldBy says who keeps files in the page cache.
func heldBy(files pagecache.Set) string {
	who := files.Holders()
	if len(who) == 0 {
		return ", although no process has them mapped"
	}
	return ": mapped by " + strings.Join(who, ", ")
}

// disk notes what a guest's process made the host's disks read.
func (s *Sample) disk(gst *guest) {
	usage, ok := gst.usage()
	if !ok {
		return // somebody else has started it
	}
	s.Value(DiskReadBytes, float64(usage.Inblock)*blockBytes)
	s.Value(MajorFaults, float64(usage.Majflt))
}

// blockBytes is the unit of ru_inblock: getrusage(2), and task_io_get_inblock in Linux.
const blockBytes = 512
