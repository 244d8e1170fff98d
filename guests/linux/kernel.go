// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ukprobe/ukprobe/guests/internal/cache"
	"github.com/ukprobe/ukprobe/internal/deb"
)

// Names inside a kernel's cache entry.
const (
	vmlinuzPrefix = "vmlinuz-" // and the release
	modulesFolder = "modules"  // the modules for the network
	diskFolder    = "disk-modules"
	orderFile     = "order" // in each of both: their file names, in loading order
)

// Kernel returns Debian's cloud kernel, downloading and unpacking its package
// if the cache does not hold it.
func (b *Builder) Kernel(ctx context.Context) (Kernel, error) {
	k, err := b.kernel(ctx)
	if err != nil {
		return Kernel{}, fmt.Errorf("build the Linux kernel's image: %w", err)
	}
	return k, nil
}

func (b *Builder) kernel(ctx context.Context) (Kernel, error) {
	pkg, err := b.kernelDeb(ctx)
	if err != nil {
		return Kernel{}, err
	}
	name, err := key("kernel", pkg)
	if err != nil {
		return Kernel{}, err
	}
	dir, err := b.cache().Entry(ctx, name, func(dir, scratch string) error {
		return buildKernel(ctx, pkg, dir, scratch)
	})
	if err != nil {
		return Kernel{}, err
	}
	k := Kernel{Package: pkg.Name, Version: pkg.Version}
	if k.Path, err = only(filepath.Join(dir, vmlinuzPrefix+"*")); err != nil {
		return Kernel{}, err
	}
	k.Release = strings.TrimPrefix(filepath.Base(k.Path), vmlinuzPrefix)
	k.SHA256, k.Size, err = cache.Digest(k.Path)
	return k, err
}

// kernelDeb returns the package that holds the kernel.
func (b *Builder) kernelDeb(ctx context.Context) (deb.Package, error) {
	pkgs, err := b.cache().Resolve(ctx, "the kernel of "+kernelPackage, func(f *deb.Fetcher) ([]deb.Package, error) {
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

// buildKernel takes the kernel and the modules for network and disk out of pkg.
func buildKernel(ctx context.Context, pkg deb.Package, dir, scratch string) error {
	if err := deb.Unpack(ctx, pkg, scratch); err != nil {
		return err
	}
	vmlinuz, err := only(filepath.Join(scratch, "boot", vmlinuzPrefix+"*"))
	if err != nil {
		return err
	}
	release := strings.TrimPrefix(filepath.Base(vmlinuz), vmlinuzPrefix)
	libModules := filepath.Join(scratch, "lib/modules", release)
	if !cache.IsFolder(libModules) { // packages of a merged /usr
		libModules = filepath.Join(scratch, "usr/lib/modules", release)
	}
	t := tree{}
	if err := t.copy("/"+filepath.Base(vmlinuz), vmlinuz, 0o644); err != nil {
		return err
	}
	for folder, names := range map[string][]string{modulesFolder: networkModules, diskFolder: diskModules} {
		if err := t.takeModules(folder, libModules, names); err != nil {
			return err
		}
	}
	return t.writeInto(dir)
}

// takeModules puts modules and what they need into a folder, with their order.
func (t tree) takeModules(folder, libModules string, names []string) error {
	modules, err := moduleOrder(libModules, names...)
	if err != nil {
		return err
	}
	var order strings.Builder
	t.folder("/" + folder)
	for _, m := range modules {
		name := filepath.Base(m.path)
		fmt.Fprintln(&order, name)
		if err := t.copy("/"+folder+"/"+name, m.path, 0o644); err != nil {
			return err
		}
	}
	t.file("/"+folder+"/"+orderFile, []byte(order.String()), 0o644)
	return nil
}

// only returns the one path that matches pattern.
func only(pattern string) (string, error) {
	paths, err := filepath.Glob(pattern)
	if err != nil {
		return "", err
	}
	if len(paths) != 1 {
		return "", fmt.Errorf("%d files match %s, want one: %w", len(paths), pattern, os.ErrNotExist)
	}
	return paths[0], nil
}
