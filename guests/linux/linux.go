// SPDX-License-Identifier: Apache-2.0

// Package linux builds what the systems "linux" (a microVM) and "process"
// (the bare Linux process) boot: Debian's cloud kernel, one initramfs per app
// and one root folder per app. The microVM and the process run the same
// unmodified Debian binaries with the same configuration, so that what differs
// between their figures is the system and not the app.
//
// It knows Debian's packages, the files that an app needs and the words of the
// kernel's command line. It does not know VMMs, networks or experiments, and it
// starts nothing.
package linux

import (
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/ukprobe/ukprobe/guests/internal/cache"
	"github.com/ukprobe/ukprobe/internal/deb"
)

// Builder makes the images, or finds them in its cache. It may be used by
// several goroutines, and several processes may share one cache folder. It runs
// apt, so it must not be called by a thread in a network namespace from which
// no Debian archive is reached: build first, then make the networks.
type Builder struct {
	// Dir is the cache folder, such as <tree>/.cache/images.
	Dir string
	// Packages is the cache folder of the Debian packages; "" is
	// Dir/packages.
	Packages string
	// Logf is told what is downloaded and built; it may be nil.
	Logf func(format string, args ...any)

	once  sync.Once
	store *cache.Cache
}

// cache returns where the images are.
func (b *Builder) cache() *cache.Cache {
	b.once.Do(func() {
		packages := cmp.Or(b.Packages, filepath.Join(b.Dir, "packages"))
		const needMB = 200
		b.store = &cache.Cache{Dir: b.Dir, Packages: packages, Suite: suite, NeedMB: needMB, Logf: b.Logf}
	})
	return b.store
}

// Kernel is Debian's cloud kernel, as the package holds it.
type Kernel struct {
	Path    string // the compressed kernel (bzImage), the package's vmlinuz
	Package string // such as linux-image-6.1.0-56-cloud-amd64
	Version string // of the package, such as 6.1.192-2
	Release string // as uname -r prints it, such as 6.1.0-56-cloud-amd64
	SHA256  string // of the file at Path, in hexadecimal
	Size    int64  // of the file at Path, in bytes
}

// Initramfs is a gzip-compressed newc cpio archive that holds one app.
type Initramfs struct {
	Path     string
	App      string
	Version  string // of the app's package, such as 1.22.1-9+deb12u1
	SHA256   string // of the file at Path, in hexadecimal
	Size     int64  // of the file at Path, in bytes
	Packages []deb.Package
}

// RootFS is a folder and what to run there, as root, after a chroot into a copy of
// it: the program writes below /run, /tmp and /var/lib, and the folder belongs to the
// cache. It needs no /proc. Its console is its standard output and standard error.
type RootFS struct {
	Dir      string
	App      string
	Version  string   // of the app's package
	Program  string   // path inside Dir of the app's own program, which a shell may start
	Argv     []string // Argv[0] is a path inside Dir
	Env      []string // the whole environment
	Packages []deb.Package
	Size     int64 // of the regular files below Dir, in bytes
}

// Apps returns the apps that can be built, sorted, without variants.
func Apps() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(apps)), func(app string) bool { return apps[app].variantOf != "" })
}

// ReadyLine returns the console line that says that the app is ready, or ""
// for a service, which is ready at its first response on the wire.
func ReadyLine(app string) string {
	return apps[app].readyLine
}

// Port returns the TCP port at which the app serves, or 0 if it serves none.
func Port(app string) uint16 {
	return apps[app].port
}

// Request returns what a client sends first to an app that serves; empty if the
// app speaks first, or does not serve.
func Request(app string) []byte {
	return []byte(apps[app].request)
}

// lookup returns the recipe of an app.
func lookup(app string) (recipe, error) {
	r, ok := apps[app]
	if !ok {
		return recipe{}, fmt.Errorf("no app %q for linux and process: want one of %s", app, strings.Join(Apps(), ", "))
	}
	return r, nil
}

// Program returns the path of the app's own program in its root file system, or "" for
// an app that is not known.
func Program(app string) string {
	if r, ok := apps[app]; ok {
		return r.programs[0]
	}
	return ""
}
