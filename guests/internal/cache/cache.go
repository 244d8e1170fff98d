// SPDX-License-Identifier: Apache-2.0

// Package cache keeps what is built for guests: one folder per thing, named by a
// hash of all that decides its content, made whole or not at all. It also knows
// which versions of Debian packages count.
//
// It does not know what is built.
package cache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ukprobe/ukprobe/internal/deb"
	"github.com/ukprobe/ukprobe/internal/lockfile"
	"github.com/ukprobe/ukprobe/internal/regular"
)

// Cache is a folder of built things. It may be used by several goroutines, and
// several processes may share one folder.
type Cache struct {
	// Dir is the folder.
	Dir string
	// Packages is the folder of the downloaded Debian packages.
	Packages string
	// Suite is the Debian release that packages are taken from.
	Suite string
	// NeedMB is how much room a build takes at most, in MB, for the message that
	// there is not enough.
	NeedMB int
	// Logf is told what is downloaded and built; it may be nil.
	Logf func(format string, args ...any)

	mu       sync.Mutex
	resolved map[string][]deb.Package // what apt answered, by what was asked
}

func (c *Cache) logf(format string, args ...any) {
	if c.Logf != nil {
		c.Logf(format, args...)
	}
}

// Entry returns the absolute path of the cache entry name, a folder, calling
// build to fill it if it is not there. build gets an empty folder that becomes
// the entry only if build succeeds, and a scratch folder that is removed in any
// case. A lock keeps other processes from building at the same time.
func (c *Cache) Entry(ctx context.Context, name string, build func(dir, scratch string) error) (string, error) {
	entry, err := filepath.Abs(filepath.Join(c.Dir, name))
	if err != nil {
		return "", err
	}
	if IsFolder(entry) {
		return entry, nil
	}
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return "", err
	}
	unlock, err := lockfile.Take(ctx, filepath.Join(c.Dir, ".lock"), c.logf)
	if err != nil {
		return "", err
	}
	defer unlock()
	if IsFolder(entry) { // built while we waited
		return entry, nil
	}
	if err := c.build(name, entry, build); err != nil {
		if isFull(err) {
			err = fmt.Errorf("%w: free some %d MB in %s, or choose another cache folder", err, c.NeedMB, c.Dir)
		}
		return "", err
	}
	return entry, nil
}

// build fills the entry, with the lock held.
func (c *Cache) build(name, entry string, build func(dir, scratch string) error) error {
	c.logf("building %s", entry)
	start := time.Now()
	temp := filepath.Join(filepath.Dir(entry), ".build") // what a killed builder left goes first
	if err := os.RemoveAll(temp); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(temp) }()
	dir, scratch := filepath.Join(temp, name), filepath.Join(temp, "scratch")
	for _, d := range []string{temp, dir, scratch} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return err
		}
	}
	if err := build(dir, scratch); err != nil {
		return err
	}
	if err := os.Rename(dir, entry); err != nil {
		return err
	}
	c.logf("built %s in %.1f s", entry, time.Since(start).Seconds())
	return nil
}

// isFull says whether err means a full disk or quota, also when dpkg-deb said
// so in words.
func isFull(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) ||
		strings.Contains(err.Error(), "No space left on device")
}

// IsFolder says whether there is a folder at path.
func IsFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// Digest returns the SHA-256 and the size of a file.
func Digest(path string) (sum string, size int64, err error) {
	sum, stamp, err := regular.Digest(context.Background(), path) // of what was just built: not large
	return sum, stamp.Size, err
}

// WriteFile writes a new file and waits until it is on the disk, so that a
// cache entry renamed into place is whole also after a crash.
func WriteFile(dest string, data []byte, perm fs.FileMode) (err error) {
	f, err := os.OpenFile(dest, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Sync()
}
