// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ukprobe/ukprobe/internal/lockfile"
)

// entry returns the absolute path of the cache entry name, a folder, calling
// build to fill it if it is not there. build gets an empty folder that becomes
// the entry only if build succeeds, and a scratch folder that is removed in any
// case. A lock keeps other processes from building at the same time.
func (b *Builder) entry(ctx context.Context, name string, build func(dir, scratch string) error) (string, error) {
	entry, err := filepath.Abs(filepath.Join(b.Dir, name))
	if err != nil {
		return "", err
	}
	if isFolder(entry) {
		return entry, nil
	}
	if err := os.MkdirAll(b.Dir, 0o755); err != nil {
		return "", err
	}
	unlock, err := lockfile.Take(ctx, filepath.Join(b.Dir, ".lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	if isFolder(entry) { // built while we waited
		return entry, nil
	}
	if err := b.build(name, entry, build); err != nil {
		if isFull(err) {
			err = fmt.Errorf("%w: free some 200 MB in %s, or choose another cache folder", err, b.Dir)
		}
		return "", err
	}
	return entry, nil
}

// build fills the entry, with the lock held.
func (b *Builder) build(name, entry string, build func(dir, scratch string) error) error {
	b.logf("building %s", entry)
	start := time.Now()
	temp := filepath.Join(b.Dir, ".build") // what a killed builder left goes first
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
	b.logf("built %s in %.1f s", entry, time.Since(start).Seconds())
	return nil
}

// isFull says whether err means a full disk or quota, also when dpkg-deb said
// so in words.
func isFull(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) ||
		strings.Contains(err.Error(), "No space left on device")
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// digest returns the SHA-256 and the size of a file.
func digest(path string) (sum string, size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	size, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), size, err
}
