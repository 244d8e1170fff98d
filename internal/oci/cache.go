// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/ukprobe/ukprobe/internal/lockfile"
	"github.com/ukprobe/ukprobe/internal/regular"
)

// Cache is a folder of images. It is for one goroutine; other processes may use the
// same folder.
type Cache struct {
	Dir string
	// Update asks the registry again what a tag points to, instead of taking the
	// digest that it had at the first pull.
	Update bool
	// Offline asks no registry: what is not in the cache, or damaged there, is an error.
	Offline   bool
	Transport http.RoundTripper // nil: the registry library's
	Logf      func(format string, args ...any)

	patience patience
}

// ErrDigest is wrapped by errors about bytes that are not what their digest says.
var ErrDigest = errors.New("wrong digest")

// ErrOffline is wrapped if something is not in a cache that asks no registry.
var ErrOffline = errors.New("not in the cache: `ukprobe image pull` gets it")

// ErrNoPlatform is wrapped if an image is for other platforms only.
var ErrNoPlatform = errors.New("no manifest for the platform")

func (c *Cache) logf(format string, args ...any) {
	if c.Logf != nil {
		c.Logf(format, args...)
	}
}

// pull runs do with the cache locked and the reference resolved to a digest.
func (c *Cache) pull(ctx context.Context, ref string, do func(s *source, digest v1.Hash) error) error {
	parsed, err := parse(ref)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(blobFolder(c.Dir), 0o755); err != nil {
		return fmt.Errorf("image cache: %w", err)
	}
	lock := filepath.Join(c.Dir, ".lock")
	if err := ownFile(lock); err != nil {
		return fmt.Errorf("image cache: %w", err)
	}
	unlock, err := lockfile.Take(ctx, lock, c.logf)
	if err != nil {
		return err
	}
	defer unlock()
	s := &source{cache: c, ref: parsed}
	digest, err := s.resolve(ctx)
	if err == nil {
		err = do(s, digest)
	}
	if err != nil {
		return fmt.Errorf("oci://%s: %w", ref, explain(err, parsed))
	}
	return nil
}

// parse reads a reference, which names its registry: there is no default.
func parse(ref string) (name.Reference, error) {
	parsed, err := name.ParseReference(ref, name.WithDefaultRegistry(""))
	if err != nil {
		return nil, fmt.Errorf("oci://%s: %w: write registry/repository:tag or registry/repository@sha256:digest", ref, err)
	}
	if parsed.Context().RegistryStr() == "" {
		return nil, fmt.Errorf("oci://%s: names no registry: write registry/repository:tag", ref)
	}
	return parsed, nil
}

// lockFile is the content of refs/HEX.json.
type lockFile struct {
	Reference string    `json:"reference"`
	Digest    string    `json:"digest"`
	Pulled    time.Time `json:"pulled"`
}

// resolve finds the digest of the reference: its own, or the one that its tag is
// locked to, or what the registry says.
func (s *source) resolve(ctx context.Context) (v1.Hash, error) {
	if d, ok := s.ref.(name.Digest); ok {
		return v1.NewHash(d.DigestStr())
	}
	locked, err := s.locked()
	if err == nil && !s.cache.Update {
		return locked, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return v1.Hash{}, err
	}
	now, err := s.askTag(ctx)
	if err != nil {
		return v1.Hash{}, err
	}
	if locked != (v1.Hash{}) && locked != now {
		s.cache.logf("oci://%s moved: was %s, is %s", s.ref.Name(), locked, now)
	}
	return now, s.lock(now)
}

// lockPath is named by the reference's own digest, since a reference has slashes.
func (s *source) lockPath() string {
	sum, _, err := v1.SHA256(stringReader(s.ref.Name()))
	if err != nil {
		panic(err) // reading a string does not fail
	}
	return filepath.Join(s.cache.Dir, "refs", sum.Hex+".json")
}

func (s *source) locked() (v1.Hash, error) {
	text, err := readDocument(s.lockPath(), maxDocument)
	if err != nil {
		return v1.Hash{}, err
	}
	var l lockFile
	if err := json.Unmarshal(text, &l); err != nil {
		return v1.Hash{}, fmt.Errorf("lock %s: %w: remove it and pull again", s.lockPath(), err)
	}
	h, err := v1.NewHash(l.Digest)
	if err != nil {
		return v1.Hash{}, fmt.Errorf("lock %s: %w: remove it and pull again", s.lockPath(), err)
	}
	return h, nil
}

func (s *source) lock(digest v1.Hash) error {
	text, err := json.Marshal(lockFile{s.ref.Name(), digest.String(), time.Now().UTC().Truncate(time.Second)})
	if err != nil {
		return err
	}
	return writeFile(s.lockPath(), func(w io.Writer) error {
		_, err := w.Write(append(text, '\n'))
		return err
	})
}

// ownFile returns an error if what is to be written to is there, and is no file of the
// cache alone: a link would lead to somebody's file, a named pipe be waited for.
func ownFile(path string) error {
	st, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return ownStat(path, st)
}

func ownStat(path string, st fs.FileInfo) error {
	if sys, ok := st.Sys().(*syscall.Stat_t); !st.Mode().IsRegular() || ok && sys.Nlink > 1 {
		return fmt.Errorf("%s: %w of this cache alone (%v, a link?): remove it", path, regular.ErrNotRegular, st.Mode())
	}
	return nil
}

// writeFile gives a file its name once it is whole and on the disk.
func writeFile(path string, write func(w io.Writer) error) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	temp := path + ".new"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) { // of a run that was killed, or no file of ours
		return err
	}
	f, err := os.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(temp)
		}
	}()
	err = errors.Join(write(f), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(temp, path)
}
