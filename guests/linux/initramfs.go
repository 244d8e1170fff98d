// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cavaliergopher/cpio"

	"github.com/ukprobe/ukprobe/internal/deb"
)

// initramfsFile is the name inside an initramfs's cache entry.
const initramfsFile = "initramfs.cpio.gz"

// Initramfs returns the initramfs of an app for the kernel of Kernel, building
// it if the cache does not hold it. The same packages, recipe and Go release
// give the same bytes.
func (b *Builder) Initramfs(ctx context.Context, app string) (Initramfs, error) {
	i, err := b.initramfs(ctx, app)
	if err != nil {
		return Initramfs{}, fmt.Errorf("build the initramfs of %s: %w", app, err)
	}
	return i, nil
}

func (b *Builder) initramfs(ctx context.Context, app string) (Initramfs, error) {
	r, err := lookup(app)
	if err != nil {
		return Initramfs{}, err
	}
	kernel, err := b.kernel(ctx)
	if err != nil {
		return Initramfs{}, err
	}
	kernelPkg, err := b.kernelDeb(ctx)
	if err != nil {
		return Initramfs{}, err
	}
	names := r.packages
	if !slices.Contains(names, busyboxPackage) {
		names = append([]string{busyboxPackage}, names...)
	}
	pkgs, err := b.download(ctx, names...)
	if err != nil {
		return Initramfs{}, err
	}
	all := append([]deb.Package{kernelPkg}, pkgs...)
	name, err := key("initramfs-"+app, all...)
	if err != nil {
		return Initramfs{}, err
	}
	dir, err := b.entry(ctx, name, func(dir, scratch string) error {
		t, err := appTree(ctx, r, pkgs, scratch)
		if err != nil {
			return err
		}
		modules := filepath.Join(filepath.Dir(kernel.Path), modulesFolder)
		if err := t.addInit(r, scratch, modules); err != nil {
			return err
		}
		return t.writeInitramfs(filepath.Join(dir, initramfsFile))
	})
	if err != nil {
		return Initramfs{}, err
	}
	i := Initramfs{Path: filepath.Join(dir, initramfsFile), App: app, Packages: all}
	i.SHA256, i.Size, err = digest(i.Path)
	return i, err
}

// addInit adds what turns the root of an app into the root of a microVM: the
// first process, its shell, and the kernel's modules.
func (t tree) addInit(r recipe, root, modules string) error {
	for name, source := range map[string]string{
		"/init":                   "init",
		"/lib/ukprobe/cmdline.sh": "cmdline.sh",
		"/lib/ukprobe/app.sh":     r.initApp,
		"/lib/ukprobe/udhcpc.sh":  "udhcpc.sh",
	} {
		if err := t.own(name, source, 0o755); err != nil {
			return err
		}
	}
	if err := t.take(root, busyboxPath); err != nil {
		return err
	}
	files, err := os.ReadDir(modules)
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := t.copy("/lib/modules/"+f.Name(), filepath.Join(modules, f.Name()), 0o644); err != nil {
			return err
		}
	}
	t.folder("/dev")
	t.folder("/proc")
	return nil
}

// writeInitramfs writes the tree to a new file.
func (t tree) writeInitramfs(dest string) error {
	var archive bytes.Buffer
	z, err := gzip.NewWriterLevel(&archive, gzip.BestCompression)
	if err != nil {
		return err
	}
	if err := t.pack(z); err != nil {
		return fmt.Errorf("pack %s: %w", dest, err)
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("compress %s: %w", dest, err)
	}
	return writeFile(dest, archive.Bytes(), 0o644)
}

// pack writes the tree as a newc cpio archive: in the order of the paths,
// without times, all owned by root. Devices are refused: the guest mounts
// devtmpfs.
func (t tree) pack(w io.Writer) error {
	archive := cpio.NewWriter(w)
	for _, name := range t.names() {
		n := t[name]
		h := &cpio.Header{Name: strings.TrimPrefix(name, "/"), Size: int64(len(n.data))}
		switch n.mode.Type() {
		case fs.ModeDir:
			h.Mode, h.Links = cpio.TypeDir|cpio.FileMode(n.mode.Perm()), 2
		case 0:
			h.Mode, h.Links = cpio.TypeReg|cpio.FileMode(n.mode.Perm()), 1
		default:
			return fmt.Errorf("%s: a %s cannot be packed", name, n.mode.Type())
		}
		if err := archive.WriteHeader(h); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if len(n.data) == 0 {
			continue
		}
		if _, err := archive.Write(n.data); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return archive.Close()
}
