// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/ukprobe/ukprobe/guests/internal/cache"
	"github.com/ukprobe/ukprobe/internal/deb"
)

// initramfsFile is the name inside an initramfs's cache entry.
const initramfsFile = "initramfs.cpio.gz"

// Initramfs returns the initramfs of an app for the kernel of Kernel, building
// it if the cache does not hold it. The same packages, recipe and Go release
// give the same bytes.
func (b *Builder) Initramfs(ctx context.Context, app string) (Initramfs, error) {
	i, err := b.debianInitramfs(ctx, app)
	if err != nil {
		return Initramfs{}, fmt.Errorf("build the initramfs of %s: %w", app, err)
	}
	return i, nil
}

// PlainInitramfs returns the initramfs of an app for a kernel that needs no
// modules and gives itself its address (CONFIG_IP_PNP). The app's part is that of
// Initramfs; /init is shorter, and the device nodes are in the archive. /proc is
// mounted for apps that read it.
func (b *Builder) PlainInitramfs(ctx context.Context, app string) (Initramfs, error) {
	i, err := b.image(ctx, app, made{"initramfs-plain-", initramfsFile, tree.addPlainInit, tree.writeInitramfs})
	if err != nil {
		return Initramfs{}, fmt.Errorf("build the plain initramfs of %s: %w", app, err)
	}
	return i, nil
}

func (b *Builder) debianInitramfs(ctx context.Context, app string) (Initramfs, error) {
	if _, err := lookup(app); err != nil {
		return Initramfs{}, err
	}
	kernel, err := b.kernel(ctx)
	if err != nil {
		return Initramfs{}, err
	}
	pkg, err := b.kernelDeb(ctx)
	if err != nil {
		return Initramfs{}, err
	}
	dir := filepath.Dir(kernel.Path)
	m := made{"initramfs-", initramfsFile, func(t tree, r recipe, root string) error { return t.addInit(r, root, dir) }, tree.writeInitramfs}
	return b.image(ctx, app, m, pkg)
}

// made says how an image is made of the app's tree.
type made struct {
	kind string // of cache entry: its name's beginning
	file string // the image's name inside it
	// addInit adds to the tree what starts the app. root has the unpacked packages.
	addInit func(t tree, r recipe, root string) error
	write   func(t tree, ctx context.Context, dest string) error
}

// image builds an image of an app, or finds it: of the app's tree, from the packages
// with and those of the app.
func (b *Builder) image(ctx context.Context, app string, m made, with ...deb.Package) (Initramfs, error) {
	r, err := lookup(app)
	if err != nil {
		return Initramfs{}, err
	}
	names := r.packages
	if !slices.Contains(names, busyboxPackage) {
		names = append([]string{busyboxPackage}, names...)
	}
	pkgs, err := b.cache().Download(ctx, names...)
	if err != nil {
		return Initramfs{}, err
	}
	all := slices.Concat(with, pkgs)
	name, err := key(m.kind+app, all...)
	if err != nil {
		return Initramfs{}, err
	}
	dir, err := b.cache().Entry(ctx, name, func(dir, scratch string) error {
		t, err := appTree(ctx, r, pkgs, scratch)
		if err != nil {
			return err
		}
		if err := m.addInit(t, r, scratch); err != nil {
			return err
		}
		return m.write(t, ctx, filepath.Join(dir, m.file))
	})
	if err != nil {
		return Initramfs{}, err
	}
	i := Initramfs{Path: filepath.Join(dir, m.file), App: app, Version: r.version(pkgs), Packages: all}
	i.SHA256, i.Size, err = cache.Digest(i.Path)
	return i, err
}

// addInit adds what turns the root of an app into the root of a microVM: the
// first process, its shell, and the kernel's modules, which are in folders of dir.
func (t tree) addInit(r recipe, root, dir string) error {
	if err := t.addFirstProcess(r, root, "/init", "init"); err != nil {
		return err
	}
	if err := t.own("/lib/ukprobe/udhcpc.sh", "udhcpc.sh", 0o755); err != nil {
		return err
	}
	folders := []string{modulesFolder}
	if r.disk {
		folders = append(folders, diskFolder)
	}
	for _, folder := range folders {
		files, err := os.ReadDir(filepath.Join(dir, folder))
		if err != nil {
			return err
		}
		for _, f := range files {
			if err := t.copy("/lib/"+folder+"/"+f.Name(), filepath.Join(dir, folder, f.Name()), 0o644); err != nil {
				return err
			}
		}
	}
	t.folder("/dev")
	t.folder("/proc")
	return nil
}

// console is the node that the kernel opens for the first process.
var console = device{"/dev/console", 5, 1}

// addPlainInit adds the first process of a kernel that needs little help.
func (t tree) addPlainInit(r recipe, root string) error {
	if err := t.addFirstProcess(r, root, "/init", "init-plain"); err != nil {
		return err
	}
	for _, d := range append([]device{console}, devices...) {
		t.device(d.name, d.major, d.minor)
	}
	if r.proc {
		t.folder("/proc")
	}
	return nil
}

// addFirstProcess adds the first process as path, its parts and its shell.
func (t tree) addFirstProcess(r recipe, root, path, init string) error {
	for name, source := range map[string]string{path: init, "/lib/ukprobe/cmdline.sh": "cmdline.sh"} {
		if err := t.own(name, source, 0o755); err != nil {
			return err
		}
	}
	script, err := r.initScript()
	if err != nil {
		return err
	}
	t.file("/lib/ukprobe/app.sh", script, 0o755)
	return t.take(root, busyboxPath, 0o755)
}

// writeInitramfs writes the tree to a new file.
func (t tree) writeInitramfs(_ context.Context, dest string) error {
	var archive bytes.Buffer
	z, err := gzip.NewWriterLevel(&archive, gzip.DefaultCompression) // the best takes three times as long for 1 %
	if err != nil {
		return err
	}
	if err := t.pack(z); err != nil {
		return fmt.Errorf("pack %s: %w", dest, err)
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("compress %s: %w", dest, err)
	}
	return cache.WriteFile(dest, archive.Bytes(), 0o644)
}
