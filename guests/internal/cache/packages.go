// SPDX-License-Identifier: Apache-2.0

package cache

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ukprobe/ukprobe/internal/deb"
	"github.com/ukprobe/ukprobe/internal/lockfile"
)

// Download returns the suite's current versions of the named packages.
func (c *Cache) Download(ctx context.Context, names ...string) ([]deb.Package, error) {
	return c.Resolve(ctx, strings.Join(names, " "), func(f *deb.Fetcher) ([]deb.Package, error) {
		return f.Download(ctx, names...)
	})
}

// Resolve returns what ask answers. One Cache asks once: what it has built
// stays valid for its life. Where apt cannot answer (no network, a cache that
// is read-only), the last answer that was kept in the cache folder counts, so
// that images built earlier are found.
func (c *Cache) Resolve(ctx context.Context, question string, ask func(*deb.Fetcher) ([]deb.Package, error)) ([]deb.Package, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if pkgs, ok := c.resolved[question]; ok {
		return pkgs, nil
	}
	if c.Dir == "" {
		return nil, fmt.Errorf("no cache folder given (Builder.Dir)")
	}
	kept := c.keptAnswer(question)
	pkgs, err := ask(&deb.Fetcher{Dir: c.Packages, Suite: c.Suite, Logf: c.logf})
	if err == nil {
		if err := c.keep(ctx, kept, pkgs); err != nil {
			c.logf("the package versions are not kept for a time without apt: %v", err)
		}
	} else if last, ok := lastAnswer(kept); ok && ctx.Err() == nil {
		c.logf("taking the package versions of the last time: %v", err)
		pkgs, err = last, nil
	}
	if err != nil {
		return nil, err
	}
	if c.resolved == nil {
		c.resolved = map[string][]deb.Package{}
	}
	c.resolved[question] = pkgs
	return pkgs, nil
}

// keptAnswer returns the path of the file that keeps the last answer.
func (c *Cache) keptAnswer(question string) string {
	sum := sha256.Sum256([]byte(question))
	return filepath.Join(c.Dir, ".packages-"+hex.EncodeToString(sum[:4])+".json")
}

// newAnswer is what an answer is called until it is whole. A lock of its own keeps
// writers apart: that of the cache is held while things are built.
const (
	newAnswer  = ".packages.new"
	answerLock = ".packages.lock"
)

// keep replaces the answer at path, in one step.
func (c *Cache) keep(ctx context.Context, path string, pkgs []deb.Package) error {
	data, err := json.MarshalIndent(pkgs, "", "\t")
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	unlock, err := lockfile.Take(ctx, filepath.Join(dir, answerLock), c.logf)
	if err != nil {
		return err
	}
	defer unlock()
	temp := filepath.Join(dir, newAnswer)
	if err := os.Remove(temp); err != nil && !errors.Is(err, os.ErrNotExist) { // of a killed writer
		return err
	}
	if err := WriteFile(temp, data, 0o644); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return os.Rename(temp, path)
}

// lastAnswer reads the answer kept at path.
func lastAnswer(path string) ([]deb.Package, bool) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, false
	}
	var pkgs []deb.Package
	return pkgs, json.Unmarshal(data, &pkgs) == nil && len(pkgs) > 0
}
