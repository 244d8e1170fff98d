// SPDX-License-Identifier: Apache-2.0

// Package lupine builds the kernels of the system "lupine": Debian's Linux
// sources, configured after the method of the paper "A Linux in Unikernel
// Clothing" (Kuo, Williams, Koller, Mohan; EuroSys 2020): everything is off but
// what a guest of a VMM needs, and what the one app needs. The paper's other half,
// Kernel Mode Linux, is a patch for Linux 4.0 and is not here: these are its
// "-nokml" kernels.
//
// It knows Kconfig fragments and how a kernel is built. The apps' files and the
// words of the command line that any Linux guest takes are package linux's.
package lupine

import (
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/ukprobe/ukprobe/guests/internal/cache"
)

// General is the name of the kernel with all fragments: it runs every app, and
// boots from a disk too.
const General = "general"

// SourcePackage is the Debian package of the sources, and suite the release that
// it is taken from.
const (
	SourcePackage = "linux-source-6.1"
	suite         = "bookworm"
)

// fragments are the parts of each kernel's configuration, files of config/. The
// app's own is the last.
var fragments = map[string][]string{
	"dnsmasq":   {"base", "virtio", "net", "dnsmasq"},
	"fio":       {"base", "virtio", "fio"},
	"hello":     {"base", "hello"},
	"memcached": {"base", "virtio", "net", "memcached"},
	"mysql":     {"base", "virtio", "net", "mysql"},
	"nginx":     {"base", "virtio", "net", "nginx"},
	"redis":     {"base", "virtio", "net", "redis"},
	"sqlite":    {"base", "sqlite"},
	General:     {"base", "virtio", "net", "disk", "dnsmasq", "fio", "hello", "memcached", "mysql", "nginx", "redis", "sqlite"},
}

// Apps returns the apps that have a kernel, sorted.
func Apps() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(fragments)), func(name string) bool { return name == General })
}

// HasNetwork says whether the app's kernel has a network at all.
func HasNetwork(app string) bool { return slices.Contains(fragments[app], "net") }

// Kernel is a built kernel, in both of its forms.
type Kernel struct {
	App     string // or General
	Vmlinux string // path of the uncompressed ELF file, for Firecracker and PVH
	BzImage string // path of the compressed kernel, for firmware
	Config  string // path of the whole configuration
	Options int    // how many options it switches on

	VmlinuxSize, BzImageSize int64 // in bytes

	Version string // of the source package, such as 6.1.192-2
}

// Builder makes kernels, or finds them in its cache. A kernel takes about four
// minutes on two cores, and 1.5 GB of room meanwhile. It may be used by several
// goroutines, and several processes may share one cache folder.
type Builder struct {
	// Dir is the cache folder of all images, such as <tree>/.cache/images.
	Dir string
	// Packages is the cache folder of the Debian packages; "" is Dir/packages.
	Packages string
	// Jobs is how many compilers run at once; 0 is one per CPU.
	Jobs int
	// Logf is told what is downloaded and built; it may be nil.
	Logf func(format string, args ...any)

	once  sync.Once
	store *cache.Cache
}

// folder is where the kernels are in the cache folder of all images.
const folder = "lupine"

// cache returns where the kernels are: in a folder of their own, whose lock is
// held for minutes.
func (b *Builder) cache() *cache.Cache {
	b.once.Do(func() {
		packages := cmp.Or(b.Packages, filepath.Join(b.Dir, "packages"))
		const needMB = 1500
		dir := ""
		if b.Dir != "" {
			dir = filepath.Join(b.Dir, folder)
		}
		b.store = &cache.Cache{Dir: dir, Packages: packages, Suite: suite, NeedMB: needMB, Logf: b.Logf}
	})
	return b.store
}

func (b *Builder) jobs() int {
	if b.Jobs > 0 {
		return b.Jobs
	}
	return runtime.NumCPU()
}

// lookup returns the fragments of an app's kernel.
func lookup(app string) ([]string, error) {
	names, ok := fragments[app]
	if !ok {
		return nil, fmt.Errorf("no kernel %q for lupine: want one of %s, %s", app, strings.Join(Apps(), ", "), General)
	}
	return names, nil
}
