// SPDX-License-Identifier: Apache-2.0

// Package deb fetches and unpacks Debian packages without installing them.
//
// It runs the machine's own apt and dpkg-deb, so packages come from the
// archive the machine already uses, checked against the keys it already
// trusts. For another suite only the suite in the machine's sources is
// changed, in a private copy: the machine's own sources, package lists and
// installed packages stay as they are (a plain "apt-get update" is run when
// the machine's lists are empty or too old to download from).
//
// It does not know what is installed: candidates and dependency closures are
// computed as if the machine were empty. It runs no maintainer scripts.
package deb

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ukprobe/ukprobe/internal/lockfile"
)

// Fetcher downloads Debian packages of one suite into a folder, never
// installing anything. Several processes may share one folder: a lock file
// in it keeps them apart.
type Fetcher struct {
	// Dir is the cache folder: debs/<suite>/ holds the packages, state/<suite>/
	// apt's private state and, for a foreign suite, its lists and sources.
	Dir string
	// Suite is "" for the machine's own suites, else the suite's codename,
	// such as "bookworm-backports", "trixie" or "bullseye".
	Suite string
	// Logf is told about downloads and updates; it may be nil.
	Logf func(format string, args ...any)
}

// Package is one downloaded package.
type Package struct {
	Name    string
	Version string // with its epoch, as in "1:1.2.13-1"
	Arch    string
	Path    string // the .deb file
	SHA256  string // of the .deb file, in hexadecimal
}

// Download fetches the candidate versions of the named packages, in the order
// given. A .deb of the candidate version that is already in the cache is
// checked against the archive's digest and not fetched again. Without network
// and lists, the newest cached .deb of a name is used.
func (f *Fetcher) Download(ctx context.Context, names ...string) ([]Package, error) {
	if len(names) == 0 {
		return nil, nil
	}
	var pkgs []Package
	err := f.locked(ctx, func(a *apt) error {
		cands, err := a.candidates(ctx, names)
		if err != nil {
			pkgs, err = a.cachedOnly(ctx, names, err)
			return err
		}
		pkgs, err = a.download(ctx, cands)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("download Debian packages %s: %w", strings.Join(names, " "), err)
	}
	return pkgs, nil
}

// Concrete resolves a meta package, such as linux-image-amd64, to the real
// package it depends on, such as linux-image-6.1.0-56-amd64. A package counts
// as a meta package if it holds nothing but documentation and depends on one
// package in exactly one version; any other name is returned as it is.
func (f *Fetcher) Concrete(ctx context.Context, name string) (string, error) {
	const maxHops = 5
	for range maxHops {
		real, err := f.surelyReal(ctx, name)
		if err != nil {
			return "", fmt.Errorf("resolve Debian package %s: %w", name, err)
		}
		if real {
			return name, nil
		}
		pkgs, err := f.Download(ctx, name)
		if err != nil {
			return "", err
		}
		next, err := metaTarget(ctx, pkgs[0].Path)
		if err != nil {
			return "", fmt.Errorf("resolve Debian package %s: %w", name, err)
		}
		if next == "" {
			return name, nil
		}
		name = next
	}
	return "", fmt.Errorf("resolve Debian package %s: more than %d meta packages in a row", name, maxHops)
}

// surelyReal says whether apt's lists alone tell that name is no meta package:
// a kernel is not downloaded to find out. What apt does not know is left to
// the cache.
func (f *Fetcher) surelyReal(ctx context.Context, name string) (real bool, err error) {
	err = f.locked(ctx, func(a *apt) error {
		cands, err := a.candidates(ctx, []string{name})
		if err == nil {
			real = pinnedDependency(cands[0].depends) == ""
		}
		return ctx.Err()
	})
	return real, err
}

// Closure returns the named packages and everything they depend on
// (Depends and Pre-Depends, not Recommends), sorted by name. Alternatives and
// virtual packages are chosen by apt's own solver, as on an empty machine.
func (f *Fetcher) Closure(ctx context.Context, names ...string) ([]string, error) {
	if len(names) == 0 {
		return nil, nil
	}
	var closure []string
	err := f.locked(ctx, func(a *apt) error {
		if _, err := a.candidates(ctx, names); err != nil {
			return err
		}
		out, err := a.run(ctx, "", "apt-get", append([]string{"--simulate", "--no-install-recommends", "install"}, names...)...)
		if err != nil {
			return err
		}
		closure = parseInst(out)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("dependencies of Debian packages %s: %w", strings.Join(names, " "), err)
	}
	return closure, nil
}

// Unpack extracts the package's files below dest, which is made if missing.
// It is not atomic: a caller that caches the result unpacks into a temporary
// folder and renames that.
func Unpack(ctx context.Context, p Package, dest string) error {
	if err := os.MkdirAll(dest, 0o755); err != nil {
		return fmt.Errorf("unpack %s: %w", p.Path, err)
	}
	if _, err := runTool(ctx, "", "dpkg-deb", "-x", p.Path, dest); err != nil {
		return fmt.Errorf("unpack %s into %s: %w", p.Path, dest, err)
	}
	return nil
}

// locked runs fn with apt set up for the suite and the cache folder locked.
func (f *Fetcher) locked(ctx context.Context, fn func(*apt) error) error {
	if f.Dir == "" {
		return fmt.Errorf("no cache folder given (Fetcher.Dir)")
	}
	dir, err := filepath.Abs(f.Dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	unlock, err := lockfile.Take(ctx, filepath.Join(dir, ".lock"), f.logf)
	if err != nil {
		return err
	}
	defer unlock()
	a, err := newApt(dir, f.Suite, f.logf)
	if err != nil {
		return err
	}
	return fn(a)
}

func (f *Fetcher) logf(format string, args ...any) {
	if f.Logf != nil {
		f.Logf(format, args...)
	}
}

// metaTarget returns the one package that the meta package at path stands
// for, or "" if it is not a meta package.
func metaTarget(ctx context.Context, path string) (string, error) {
	out, err := runTool(ctx, "", "dpkg-deb", "-f", path, "Depends")
	if err != nil {
		return "", err
	}
	target := pinnedDependency(string(out))
	if target == "" {
		return "", nil
	}
	list, err := runTool(ctx, "", "dpkg-deb", "-c", path)
	if err != nil {
		return "", err
	}
	if !onlyDocumentation(string(list)) {
		return "", nil
	}
	return target, nil
}

// pinnedDependency returns the package of a Depends field that names exactly
// one package in exactly one version ("foo (= 1.2)"), else "".
func pinnedDependency(depends string) string {
	depends = strings.TrimSpace(depends)
	name, rest, ok := strings.Cut(depends, " ")
	if !ok || strings.ContainsAny(depends, ",|") || !strings.HasPrefix(rest, "(= ") {
		return ""
	}
	name, _, _ = strings.Cut(name, ":")
	return name
}

// docFolders hold all that a meta package brings.
var docFolders = []string{"/usr/share/doc/", "/usr/share/bug/", "/usr/share/lintian/"}

// onlyDocumentation says whether a listing of "dpkg-deb -c" holds no file
// outside the folders for documentation.
func onlyDocumentation(list string) bool {
	for line := range strings.Lines(list) {
		fields := strings.Fields(line)
		if len(fields) < 6 || strings.HasPrefix(fields[0], "d") {
			continue
		}
		path := strings.TrimPrefix(fields[5], ".")
		if !slices.ContainsFunc(docFolders, func(dir string) bool { return strings.HasPrefix(path, dir) }) {
			return false
		}
	}
	return true
}

// parseInst returns the sorted packages of the "Inst name (version …)" lines
// that "apt-get --simulate install" prints.
func parseInst(out []byte) []string {
	var names []string
	for line := range strings.Lines(string(out)) {
		rest, ok := strings.CutPrefix(line, "Inst ")
		if !ok {
			continue
		}
		name, _, _ := strings.Cut(rest, " ")
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
