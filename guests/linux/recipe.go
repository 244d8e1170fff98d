// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"runtime"
	"slices"

	"github.com/ukprobe/ukprobe/internal/deb"
)

// suite is the Debian release that kernel and apps are taken from, whatever
// the machine runs, so that figures of different machines are of the same
// versions.
const suite = "bookworm"

// kernelPackage is the meta package of Debian's kernel for virtual machines.
const kernelPackage = "linux-image-cloud-amd64"

// busyboxPackage and busyboxPath are the shell and tools of every image.
const (
	busyboxPackage = "busybox-static"
	busyboxPath    = "/bin/busybox"
)

// recipe is what one app consists of, in the microVM and as a process alike.
type recipe struct {
	packages  []string          // of which programs and libraries are taken; the app's own is the first
	programs  []string          // their paths in the packages, the app's own first; libraries follow
	data      []string          // paths in the packages of files that are no programs
	files     map[string]string // path in the image → name in files/
	texts     map[string]string // path in the image → content
	folders   []string          // empty folders that the app writes to
	argv      []string          // of the bare process, and of the microVM's app
	initApp   string            // name in files/ of the end of /init; "" for one made from argv
	job       bool              // it does its work, prints readyLine and ends
	proc      bool              // it reads /proc
	disk      bool              // it works on a block device
	readyLine string
	port      uint16
	request   string // what a client sends to it first
	variantOf string // the app that it is another form of, which nobody asks for by name
}

// PackageOf is the name of an app's own package, of which its version is; "" of no app of
// this package.
func PackageOf(app string) string {
	if r, ok := apps[app]; ok {
		return r.packages[0]
	}
	return ""
}

// version returns that of the app's own package.
func (r recipe) version(pkgs []deb.Package) string {
	for _, p := range pkgs {
		if p.Name == r.packages[0] {
			return p.Version
		}
	}
	return ""
}

// Packages of libraries that several apps need.
var (
	// openssl is OpenSSL's.
	openssl = []string{"libssl3", "libc6"}
	// systemd is libsystemd's, with what it needs itself.
	systemd = []string{"libsystemd0", "libcap2", "libgcrypt20", "libgpg-error0", "liblz4-1", "liblzma5", "libzstd1"}
)

var apps = map[string]recipe{
	"dnsmasq": {
		packages: slices.Concat([]string{"dnsmasq-base", "libc6", "libdbus-1-3", "libgmp10", "libhogweed6", "libidn2-0", "libjansson4", "libmnl0",
			"libnetfilter-conntrack3", "libnettle8", "libnfnetlink0", "libnftables1", "libnftnl11", "libunistring2", "libxtables12"}, systemd),
		programs: []string{"/usr/sbin/dnsmasq"},
		files:    map[string]string{"/etc/passwd": "passwd", "/etc/group": "group"},
		texts:    map[string]string{"/etc/dnsmasq.conf": dnsmasqConf()},
		argv:     []string{"/usr/sbin/dnsmasq", "--keep-in-foreground", "--conf-file=/etc/dnsmasq.conf"},
		port:     53,
		request:  dnsQuery(ZoneNames()[0]),
	},
	Fio: {
		packages:  fioPackages,
		programs:  []string{"/usr/bin/fio", busyboxPath},
		files:     map[string]string{"/fio.sh": "fio.sh"},
		folders:   []string{"/tmp"},
		argv:      []string{busyboxPath, "sh", "/fio.sh"},
		proc:      true,
		disk:      true,
		readyLine: "ukprobe-fio: ready",
	},
	"hello": {
		packages:  []string{busyboxPackage},
		programs:  []string{busyboxPath},
		files:     map[string]string{"/hello.sh": "hello.sh"},
		initApp:   "app-hello.sh",
		argv:      []string{busyboxPath, "sh", "/hello.sh"},
		readyLine: "ukprobe-hello: ready",
	},
	"memcached": {
		packages: slices.Concat([]string{"memcached", "libevent-2.1-7", "libsasl2-2"}, openssl),
		programs: []string{"/usr/bin/memcached"},
		files:    map[string]string{"/etc/passwd": "passwd", "/etc/group": "group"},
		argv:     []string{"/usr/bin/memcached", "-u", "nobody", "-l", "0.0.0.0", "-p", "11211", "-m", "64"},
		port:     11211,
		request:  "version\r\n",
	},
	"mysql": {
		packages: slices.Concat([]string{"mariadb-server-core", busyboxPackage, "libaio1", "libcrypt1", "libgcc-s1", "libnuma1",
			"libpcre2-8-0", "libstdc++6", "liburing2", "zlib1g"}, openssl, systemd),
		programs: []string{"/usr/sbin/mariadbd", busyboxPath},
		data:     []string{"/usr/share/mysql/english/errmsg.sys", "/usr/share/mysql/charsets/Index.xml"},
		files: map[string]string{
			"/etc/mysql/my.cnf": "my.cnf",
			"/etc/passwd":       "passwd",
			"/etc/group":        "group",
			"/mysql.sh":         "mysql.sh",
		},
		folders: []string{"/run", "/tmp", "/var/lib/mysql"},
		argv:    []string{busyboxPath, "sh", "/mysql.sh"},
		proc:    true,
		port:    3306,
	},
	"nginx": {
		packages: slices.Concat([]string{"nginx", "libcrypt1", "libpcre2-8-0", "zlib1g"}, openssl),
		programs: []string{"/usr/sbin/nginx"},
		files: map[string]string{
			"/etc/nginx/nginx.conf":    "nginx.conf",
			"/etc/passwd":              "passwd",
			"/etc/group":               "group",
			"/var/www/html/index.html": "index.html",
		},
		folders: []string{"/run", "/var/lib/nginx", "/var/log/nginx"},
		argv:    []string{"/usr/sbin/nginx", "-e", "stderr", "-c", "/etc/nginx/nginx.conf"},
		port:    80,
		request: "GET / HTTP/1.1\r\nHost: guest\r\nConnection: close\r\n\r\n",
	},
	"redis": {
		packages: slices.Concat([]string{"redis-server", "redis-tools", "libatomic1", "libgcc-s1", "libjemalloc2", "liblzf1", "libstdc++6"}, openssl, systemd),
		programs: []string{"/usr/bin/redis-server"},
		files:    map[string]string{"/etc/redis/redis.conf": "redis.conf"},
		folders:  []string{"/var/lib/redis"},
		argv:     []string{"/usr/bin/redis-server", "/etc/redis/redis.conf"},
		proc:     true,
		port:     6379,
		request:  "PING\r\n",
	},
	"sqlite": {
		packages:  []string{"sqlite3", "libc6", "libreadline8", "libsqlite3-0", "libtinfo6", "zlib1g"},
		programs:  []string{"/usr/bin/sqlite3"},
		files:     map[string]string{"/etc/sqlite.sql": "sqlite.sql"},
		folders:   []string{"/tmp"},
		argv:      []string{"/usr/bin/sqlite3", "-batch", "-bail", "", ".read /etc/sqlite.sql"},
		job:       true,
		readyLine: "ukprobe-sqlite: ready",
	},
}

func init() {
	r := apps["sqlite"]
	r.variantOf, r.files, r.texts, r.job = "sqlite", nil, insertScripts(), false
	r.argv = []string{"/usr/bin/sqlite3", "-batch", "-bail", ":memory:", ".read /etc/sqlite.sql"}
	apps[SQLiteInserts] = r
}

// processEnv is the environment of the bare process.
var processEnv = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/"}

//go:embed files
var embedded embed.FS

// sources are the Go files that decide what an image holds: with files/ they
// are the recipe, so that a change of either makes the cache build anew.
//
//go:embed apptree.go disk.go elf.go ext2.go fio.go initramfs.go inserts.go initscript.go kernel.go layer.go modules.go pack.go recipe.go rootfs.go tree.go zone.go
var sources embed.FS

// file returns a file of files/; its name is known at compile time.
func file(name string) ([]byte, error) {
	return embedded.ReadFile("files/" + name)
}

// key returns the name of a cache entry of a kind: it changes with the packages, with the recipe and
// with the Go release, whose compressor the initramfs depends on.
func key(kind string, pkgs ...deb.Package) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, kind, runtime.Version())
	for _, p := range pkgs {
		fmt.Fprintln(h, p.Name, p.Version, p.Arch, p.SHA256)
	}
	for _, fsys := range []fs.FS{embedded, sources} {
		err := fs.WalkDir(fsys, ".", func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := fs.ReadFile(fsys, path)
			fmt.Fprintln(h, path, len(data))
			h.Write(data)
			return err
		})
		if err != nil {
			return "", fmt.Errorf("hash the recipe: %w", err)
		}
	}
	const hexDigits = 16
	return kind + "-" + hex.EncodeToString(h.Sum(nil))[:hexDigits], nil
}
