// SPDX-License-Identifier: Apache-2.0

package linux

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

// download returns the suite's current versions of the named packages.
func (b *Builder) download(ctx context.Context, names ...string) ([]deb.Package, error) {
	return b.resolve(ctx, strings.Join(names, " "), func(f *deb.Fetcher) ([]deb.Package, error) {
		return f.Download(ctx, names...)
	})
}

// kernelDeb returns the package that holds the kernel.
func (b *Builder) kernelDeb(ctx context.Context) (deb.Package, error) {
	pkgs, err := b.resolve(ctx, "the kernel of "+kernelPackage, func(f *deb.Fetcher) ([]deb.Package, error) {
		name, err := f.Concrete(ctx, kernelPackage)
		if err != nil {
			return nil, err
		}
		return f.Download(ctx, name)
	})
	if err != nil {
		return deb.Package{}, err
	}
	return pkgs[0], nil
}

// resolve returns what ask answers. One Builder asks once: what it has built
// stays valid for its life. Where apt cannot answer (no network, a cache that
// is read-only), the last answer that was kept in the cache folder counts, so
// that images built earlier are found.
func (b *Builder) resolve(ctx context.Context, question string, ask func(*deb.Fetcher) ([]deb.Package, error)) ([]deb.Package, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if pkgs, ok := b.resolved[question]; ok {
		return pkgs, nil
	}
	if b.Dir == "" {
		return nil, fmt.Errorf("no cache folder given (Builder.Dir)")
	}
	dir := b.Packages
	if dir == "" {
		dir = filepath.Join(b.Dir, "packages")
	}
	kept := b.keptAnswer(question)
	pkgs, err := ask(&deb.Fetcher{Dir: dir, Suite: suite, Logf: b.logf})
	if err == nil {
		if err := keep(kept, pkgs); err != nil {
			b.logf("the package versions are not kept for a time without apt: %v", err)
		}
	} else if last, ok := lastAnswer(kept); ok && ctx.Err() == nil {
		b.logf("taking the package versions of the last time: %v", err)
		pkgs, err = last, nil
	}
	if err != nil {
		return nil, err
	}
	if b.resolved == nil {
		b.resolved = map[string][]deb.Package{}
	}
	b.resolved[question] = pkgs
	return pkgs, nil
}

// keptAnswer returns the path of the file that keeps the last answer.
func (b *Builder) keptAnswer(question string) string {
	sum := sha256.Sum256([]byte(question))
	return filepath.Join(b.Dir, ".packages-"+hex.EncodeToString(sum[:4])+".json")
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
