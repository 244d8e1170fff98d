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
		if err := keep(kept, pkgs); err != nil {
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

// keep replaces the answer at path, in one step.
func keep(path string, pkgs []deb.Package) error {
	data, err := json.MarshalIndent(pkgs, "", "\t")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(path), ".packages-new-")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temp.Name()) }()
	_, err = temp.Write(data)
	if err := errors.Join(err, temp.Chmod(0o644), temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), path)
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
