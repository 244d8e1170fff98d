// SPDX-License-Identifier: Apache-2.0

package hostvm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/ukprobe/ukprobe/internal/deb"
)

// kernel is a bootable kernel in the cache.
type kernel struct {
	Package string // Debian package and version, for messages
	Release string // as uname -r prints it
	dir     string // folder that holds the files below
}

func (k kernel) image() string   { return filepath.Join(k.dir, "vmlinuz") }
func (k kernel) busybox() string { return filepath.Join(k.dir, "busybox") }
func (k kernel) modules() string { return filepath.Join(k.dir, "modules") } // holds <release>/

// current is the file in a suite's folder that names the kernel to boot.
const current = "current"

// prepareKernel returns the suite's kernel from the cache, after fetching and
// unpacking it there if need be.
func prepareKernel(ctx context.Context, o Options) (kernel, error) {
	// Inside, a link's target would be looked for in the initramfs.
	if real, err := filepath.EvalSymlinks(o.Cache); err == nil {
		o.Cache = real
	}
	base := filepath.Join(o.Cache, "hostvm", o.Kernel)
	k, err := cachedKernel(base)
	if errors.Is(err, os.ErrNotExist) || (err == nil && o.Refresh) {
		return buildKernel(ctx, o, base)
	}
	return k, err
}

// cachedKernel reads the kernel that the file "current" in base names.
func cachedKernel(base string) (kernel, error) {
	name, err := os.ReadFile(filepath.Join(base, current))
	if err != nil {
		return kernel{}, err
	}
	return readKernel(filepath.Join(base, string(name)))
}

func readKernel(dir string) (kernel, error) {
	text, err := os.ReadFile(filepath.Join(dir, "kernel.json"))
	if err != nil {
		return kernel{}, err
	}
	k := kernel{dir: dir}
	if err := json.Unmarshal(text, &k); err != nil {
		return kernel{}, fmt.Errorf("%s/kernel.json: %w (remove the folder to make it again)", dir, err)
	}
	return k, nil
}

// buildKernel fetches the suite's current kernel and busybox and makes a
// folder of them in base, under its final name only when it is whole.
func buildKernel(ctx context.Context, o Options, base string) (kernel, error) {
	fetch := &deb.Fetcher{Dir: filepath.Join(o.Cache, "deb"), Suite: o.Kernel, Logf: o.Logf}
	name, err := fetch.Concrete(ctx, "linux-image-amd64")
	if err != nil {
		return kernel{}, err
	}
	images, err := fetch.Download(ctx, name)
	if err != nil {
		return kernel{}, err
	}
	// The machine's own busybox package serves all kernels.
	own := &deb.Fetcher{Dir: fetch.Dir, Logf: o.Logf}
	tools, err := own.Download(ctx, "busybox-static")
	if err != nil {
		return kernel{}, err
	}
	image, busybox := images[0], tools[0]
	final := filepath.Join(base, image.Name+"_"+image.Version)
	if _, err := os.Stat(final); errors.Is(err, os.ErrNotExist) {
		o.Logf("unpacking %s %s", image.Name, image.Version)
		err = assemble(ctx, base, final, image, busybox)
		if err != nil {
			return kernel{}, err
		}
	}
	k, err := readKernel(final)
	if err != nil {
		return kernel{}, err
	}
	return k, writeFile(filepath.Join(base, current), []byte(filepath.Base(final)))
}

// assemble makes the folder final from the packages.
func assemble(ctx context.Context, base, final string, image, busybox deb.Package) error {
	if err := os.MkdirAll(base, 0o755); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(base, ".new-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(temp) }()
	if err := os.Chmod(temp, 0o755); err != nil {
		return err
	}
	unpacked := filepath.Join(temp, "unpacked")
	for _, p := range []deb.Package{image, busybox} {
		if err := deb.Unpack(ctx, p, unpacked); err != nil {
			return err
		}
	}
	k := kernel{Package: image.Name + " " + image.Version, dir: temp}
	if err := k.takeFiles(ctx, unpacked); err != nil {
		return fmt.Errorf("%s: %w", image.Path, err)
	}
	text, err := json.Marshal(k)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(temp, "kernel.json"), text, 0o644); err != nil {
		return err
	}
	if err := os.RemoveAll(unpacked); err != nil {
		return err
	}
	err = os.Rename(temp, final)
	if errors.Is(err, os.ErrExist) {
		return nil // another process was faster
	}
	return err
}

// takeFiles moves the kernel, its modules and busybox out of the unpacked
// packages.
func (k *kernel) takeFiles(ctx context.Context, unpacked string) error {
	vmlinuz, err := one(unpacked, "boot/vmlinuz-*")
	if err != nil {
		return err
	}
	k.Release = filepath.Base(vmlinuz)[len("vmlinuz-"):]
	// depmod wants lib/modules; packages of a merged-/usr suite say usr/lib.
	modules := filepath.Join("lib/modules", k.Release)
	found, err := one(unpacked, modules, filepath.Join("usr", modules))
	if err != nil {
		return err
	}
	root := filepath.Dir(filepath.Dir(filepath.Dir(found)))
	busybox, err := one(unpacked, "bin/busybox", "usr/bin/busybox")
	if err != nil {
		return err
	}
	// The package has no modules.dep: installing it would make one.
	if out, err := exec.CommandContext(ctx, busybox, "depmod", "-b", root, k.Release).CombinedOutput(); err != nil {
		return fmt.Errorf("busybox depmod: %w: %s", err, out)
	}
	if err := os.Mkdir(k.modules(), 0o755); err != nil {
		return err
	}
	return errors.Join(
		os.Rename(found, filepath.Join(k.modules(), k.Release)),
		os.Rename(vmlinuz, k.image()),
		os.Rename(busybox, k.busybox()),
	)
}

// one returns the only file below dir that matches one of the patterns.
func one(dir string, patterns ...string) (string, error) {
	var found []string
	for _, p := range patterns {
		paths, err := filepath.Glob(filepath.Join(dir, p))
		if err != nil {
			return "", err
		}
		found = append(found, paths...)
	}
	if len(found) != 1 {
		return "", fmt.Errorf("%d files match %v, not one", len(found), patterns)
	}
	return found[0], nil
}

// writeFile replaces a file at once.
func writeFile(path string, data []byte) error {
	temp, err := os.CreateTemp(filepath.Dir(path), ".new-")
	if err != nil {
		return err
	}
	_, err = temp.Write(data)
	err = errors.Join(err, temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(temp.Name())
	}
	return err
}
