// SPDX-License-Identifier: Apache-2.0

package lupine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/ukprobe/ukprobe/guests/internal/cache"
	"github.com/ukprobe/ukprobe/internal/deb"
)

// Names inside a kernel's cache entry.
const (
	vmlinuxFile = "vmlinux"
	bzImageFile = "bzImage"
	configFile  = "config"
)

// Kernel returns the kernel of an app, or the General one, building it if the
// cache does not hold it. The same sources, fragments and compiler give the same
// bytes.
func (b *Builder) Kernel(ctx context.Context, app string) (Kernel, error) {
	k, err := b.kernel(ctx, app)
	if err != nil {
		return Kernel{}, fmt.Errorf("build the kernel of lupine for %s: %w", app, err)
	}
	return k, nil
}

func (b *Builder) kernel(ctx context.Context, app string) (Kernel, error) {
	names, err := lookup(app)
	if err != nil {
		return Kernel{}, err
	}
	options, err := wanted(files, names)
	if err != nil {
		return Kernel{}, err
	}
	pkgs, err := b.cache().Download(ctx, SourcePackage)
	if err != nil {
		return Kernel{}, err
	}
	source := pkgs[0]
	dir, err := b.cache().Entry(ctx, "kernel-"+app+"-"+key(source, options), func(dir, scratch string) error {
		return b.build(ctx, source, options, dir, scratch)
	})
	if err != nil {
		return Kernel{}, err
	}
	return found(app, source.Version, dir)
}

// found describes the kernel in a cache entry.
func found(app, version, dir string) (Kernel, error) {
	k := Kernel{
		App:     app,
		Vmlinux: filepath.Join(dir, vmlinuxFile),
		BzImage: filepath.Join(dir, bzImageFile),
		Config:  filepath.Join(dir, configFile),
		Version: version,
	}
	config, err := os.ReadFile(k.Config)
	if err != nil {
		return Kernel{}, err
	}
	k.Options = count(string(config))
	for path, size := range map[string]*int64{k.Vmlinux: &k.VmlinuxSize, k.BzImage: &k.BzImageSize} {
		info, err := os.Stat(path)
		if err != nil {
			return Kernel{}, err
		}
		*size = info.Size()
	}
	return k, nil
}

// key is the name of what decides a kernel's bytes, but for the compiler: a kernel
// that was built by another one stays valid, and a machine without a compiler
// finds it.
func key(source deb.Package, options []option) string {
	h := sha256.New()
	fmt.Fprintln(h, source.Name, source.Version, source.SHA256, buildEnv, makeArgs)
	for _, o := range options {
		fmt.Fprintln(h, o)
	}
	const hexDigits = 16
	return hex.EncodeToString(h.Sum(nil))[:hexDigits]
}

// buildEnv makes the build's time, place and person the same for all
// (Documentation/kbuild/reproducible-builds.rst).
var buildEnv = []string{
	"KBUILD_BUILD_TIMESTAMP=1970-01-01", "KBUILD_BUILD_USER=ukprobe", "KBUILD_BUILD_HOST=ukprobe", "KBUILD_BUILD_VERSION=1",
	"KCONFIG_NOTIMESTAMP=1", "SOURCE_DATE_EPOCH=0", "LC_ALL=C", "TZ=UTC",
}

// makeArgs are given to every make.
var makeArgs = []string{"ARCH=x86_64", "LOCALVERSION=-lupine"}

// build fills the entry dir of a kernel.
func (b *Builder) build(ctx context.Context, source deb.Package, options []option, dir, scratch string) error {
	if err := missingTools(); err != nil {
		return err
	}
	b.logf("unpacking %s %s", source.Name, source.Version)
	tree, err := unpack(ctx, source, scratch)
	if err != nil {
		return err
	}
	config, err := configure(ctx, tree, options)
	if err != nil {
		return err
	}
	b.logf("compiling a kernel of %d options with %d jobs: some minutes", count(config), b.jobs())
	if err := runMake(ctx, tree, fmt.Sprintf("-j%d", b.jobs()), vmlinuxFile, bzImageFile); err != nil {
		return err
	}
	// Symbols are of no use to a VMM.
	if err := run(ctx, tree, nil, "strip", "-s", "-o", filepath.Join(dir, vmlinuxFile), vmlinuxFile); err != nil {
		return err
	}
	bzImage, err := os.ReadFile(filepath.Join(tree, "arch/x86/boot", bzImageFile))
	if err != nil {
		return err
	}
	return errors.Join(
		cache.WriteFile(filepath.Join(dir, bzImageFile), bzImage, 0o644),
		cache.WriteFile(filepath.Join(dir, configFile), []byte(config), 0o644),
		os.Chmod(filepath.Join(dir, vmlinuxFile), 0o644))
}

// unneeded are parts of the sources that no kernel of ours is built from; they are
// half of the files. Kconfig files stay: all of them are read.
var unneeded = []string{"Documentation/?*/*", "drivers/gpu/drm/*/*.[ch]", "tools/testing", "sound/*/*.[ch]"}

// unpack returns the folder of the sources, in scratch.
func unpack(ctx context.Context, source deb.Package, scratch string) (string, error) {
	if err := deb.Unpack(ctx, source, filepath.Join(scratch, "deb")); err != nil {
		return "", err
	}
	archive := filepath.Join(scratch, "deb/usr/src", SourcePackage+".tar.xz")
	args := []string{"-x", "-J", "-f", archive, "-C", scratch, "--no-same-owner"}
	for _, u := range unneeded {
		args = append(args, "--exclude="+SourcePackage+"/"+u)
	}
	return filepath.Join(scratch, SourcePackage), run(ctx, scratch, nil, "tar", args...)
}

// configure writes the .config and returns it: what `make tinyconfig` switches on,
// and the options, with everything else off that can be. That is not the same as
// adding the options to tinyconfig's result, which is of a 32-bit kernel: what only
// a 64-bit kernel has would come with its default.
func configure(ctx context.Context, tree string, options []option) (string, error) {
	var all strings.Builder
	for _, name := range []string{"kernel/configs/tiny-base.config", "kernel/configs/tiny.config"} {
		text, err := os.ReadFile(filepath.Join(tree, name))
		if err != nil {
			return "", err
		}
		all.Write(text)
		all.WriteByte('\n')
	}
	for _, o := range options {
		fmt.Fprintln(&all, o)
	}
	fragment := filepath.Join(tree, "lupine.config")
	if err := os.WriteFile(fragment, []byte(all.String()), 0o644); err != nil {
		return "", err
	}
	if err := runMake(ctx, tree, "KCONFIG_ALLCONFIG="+fragment, "allnoconfig"); err != nil {
		return "", err
	}
	config, err := os.ReadFile(filepath.Join(tree, ".config"))
	if err != nil {
		return "", err
	}
	return string(config), check(string(config), options)
}

func runMake(ctx context.Context, tree string, args ...string) error {
	return run(ctx, tree, buildEnv, "make", append(append([]string{"-s"}, makeArgs...), args...)...)
}

// run runs a program in dir; an error has the end of what it said.
func run(ctx context.Context, dir string, env []string, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	killGroup(cmd)
	text, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	const tail = 2000
	said := strings.TrimSpace(string(text[max(0, len(text)-tail):]))
	return fmt.Errorf("%s: %w: %s", name, err, said)
}

func (b *Builder) logf(format string, args ...any) {
	if b.Logf != nil {
		b.Logf(format, args...)
	}
}
