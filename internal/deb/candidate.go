// SPDX-License-Identifier: Apache-2.0

package deb

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
)

// candidate is the version of a package that apt would choose.
type candidate struct {
	name, version, arch, sha256 string

	depends string // the field Depends
}

// fileName is the name that "apt-get download" gives the .deb.
func (c candidate) fileName() string {
	return c.name + "_" + strings.ReplaceAll(c.version, ":", "%3a") + "_" + c.arch + ".deb"
}

// candidates asks apt for the candidates of names, in their order, updating
// the lists once if one of them is unknown.
func (a *apt) candidates(ctx context.Context, names []string) ([]candidate, error) {
	for _, name := range names {
		if !validName(name) {
			return nil, fmt.Errorf("%q is not a Debian package name", name)
		}
	}
	if a.listsComplete() {
		found, missing, err := a.show(ctx, names)
		if err != nil || len(missing) == 0 {
			return found, err
		}
	}
	if err := a.update(ctx); err != nil {
		return nil, err
	}
	found, missing, err := a.show(ctx, names)
	if err == nil && len(missing) > 0 {
		err = fmt.Errorf("apt knows no package %s in this suite, also after an update", strings.Join(missing, ", "))
	}
	return found, err
}

// show runs "apt-cache show" once for all names.
func (a *apt) show(ctx context.Context, names []string) (found []candidate, missing []string, err error) {
	out, err := a.run(ctx, "", "apt-cache", append([]string{"show", "--no-all-versions"}, names...)...)
	if err != nil && !strings.Contains(err.Error(), "No packages found") {
		return nil, nil, err
	}
	byName := map[string]candidate{}
	for _, s := range parseStanzas(string(out)) {
		c := candidate{s.get("Package"), s.get("Version"), s.get("Architecture"), s.get("SHA256"), s.get("Depends")}
		if _, seen := byName[c.name]; !seen {
			byName[c.name] = c
		}
	}
	for _, name := range names {
		if c, ok := byName[name]; ok {
			found = append(found, c)
		} else {
			missing = append(missing, name)
		}
	}
	return found, missing, nil
}

// download makes sure that every candidate is in the cache.
func (a *apt) download(ctx context.Context, cands []candidate) ([]Package, error) {
	pkgs := make([]Package, 0, len(cands))
	for _, c := range cands {
		p, err := a.cached(c)
		if errors.Is(err, os.ErrNotExist) {
			p, err = a.fetch(ctx, c)
		}
		if err != nil {
			return nil, err
		}
		pkgs = append(pkgs, p)
	}
	return pkgs, nil
}

// cached returns the candidate's .deb from the cache. A damaged one is
// removed; that, like none at all, is os.ErrNotExist.
func (a *apt) cached(c candidate) (Package, error) {
	path := filepath.Join(a.debs, c.fileName())
	sum, err := fileSHA256(path)
	if err != nil {
		return Package{}, err
	}
	if c.sha256 != "" && sum != c.sha256 {
		a.logf("%s is damaged, fetching it again", path)
		if err := os.Remove(path); err != nil {
			return Package{}, err
		}
		return Package{}, os.ErrNotExist
	}
	return Package{Name: c.name, Version: c.version, Arch: c.arch, Path: path, SHA256: sum}, nil
}

// fetch downloads one candidate. When the archive no longer has that version
// the lists are updated and the then current candidate is taken.
func (a *apt) fetch(ctx context.Context, c candidate) (Package, error) {
	err := a.aptDownload(ctx, c)
	if err != nil && ctx.Err() == nil && !a.updated {
		a.logf("download of %s %s failed, updating the lists: %v", c.name, c.version, err)
		if err := a.update(ctx); err != nil {
			return Package{}, err
		}
		cands, err := a.candidates(ctx, []string{c.name})
		if err != nil {
			return Package{}, err
		}
		c = cands[0]
		if err := a.aptDownload(ctx, c); err != nil {
			return Package{}, err
		}
	} else if err != nil {
		return Package{}, err
	}
	p, err := a.cached(c)
	if err != nil {
		return Package{}, fmt.Errorf("%s after its download: %w", c.fileName(), err)
	}
	return p, nil
}

// aptDownload runs "apt-get download" in a folder of its own and moves the
// whole .deb into the cache.
func (a *apt) aptDownload(ctx context.Context, c candidate) error {
	a.logf("downloading %s %s", c.name, c.version)
	temp, err := os.MkdirTemp(a.debs, ".download-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(temp) }()
	if _, err := a.run(ctx, temp, "apt-get", "--quiet", "download", c.name+"="+c.version); err != nil {
		return err
	}
	debs, err := filepath.Glob(filepath.Join(temp, "*.deb"))
	if err != nil {
		return err
	}
	if len(debs) != 1 {
		return fmt.Errorf("apt-get download %s left %d files, not one", c.name, len(debs))
	}
	return os.Rename(debs[0], filepath.Join(a.debs, c.fileName()))
}

// cachedOnly answers from the cache alone, after apt failed with cause.
func (a *apt) cachedOnly(ctx context.Context, names []string, cause error) ([]Package, error) {
	pkgs := make([]Package, 0, len(names))
	for _, name := range names {
		if !validName(name) || ctx.Err() != nil {
			return nil, cause
		}
		p, err := a.newestCached(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("%w (and none in the cache %s)", cause, a.debs)
		}
		pkgs = append(pkgs, p)
	}
	a.logf("using cached packages: %v", cause)
	return pkgs, nil
}

// newestCached returns the cached .deb of name that was downloaded last.
func (a *apt) newestCached(ctx context.Context, name string) (Package, error) {
	paths, err := filepath.Glob(filepath.Join(a.debs, name+"_*.deb"))
	if err != nil {
		return Package{}, err
	}
	var newest os.FileInfo
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil {
			return Package{}, err
		}
		if newest == nil || info.ModTime().After(newest.ModTime()) {
			newest = info
		}
	}
	if newest == nil {
		return Package{}, os.ErrNotExist
	}
	path := filepath.Join(a.debs, newest.Name())
	out, err := runTool(ctx, "", "dpkg-deb", "-f", path, "Package", "Version", "Architecture")
	if err != nil {
		return Package{}, err
	}
	sum, err := fileSHA256(path)
	if err != nil {
		return Package{}, err
	}
	fields := parseStanzas(string(out))
	if len(fields) != 1 {
		return Package{}, fmt.Errorf("dpkg-deb -f %s: unexpected output %q", path, out)
	}
	s := fields[0]
	return Package{Name: name, Version: s.get("Version"), Arch: s.get("Architecture"), Path: path, SHA256: sum}, nil
}

// validName says whether name is a package name, and so neither an option
// nor a pattern: [a-z0-9][a-z0-9+.-]+ (Debian Policy 5.6.7).
func validName(name string) bool {
	if len(name) < 2 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789+.-") != "" {
		return false
	}
	return !strings.ContainsAny(name[:1], "+.-")
}

func fileSHA256(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }()
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
