// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ukprobe/ukprobe/internal/deb"
)

// freshBuilder builds in an empty folder, with packages already downloaded.
func freshBuilder(t *testing.T, dir string) *Builder {
	t.Helper()
	return &Builder{Dir: dir, Packages: filepath.Join(treeBuilder(t).Dir, "packages"), Logf: t.Logf}
}

func TestApps(t *testing.T) {
	type app struct {
		Ready   string
		Port    uint16
		Request string
	}
	got := map[string]app{}
	for _, name := range Apps() {
		got[name] = app{ReadyLine(name), Port(name), string(Request(name))}
	}
	want := map[string]app{
		"dnsmasq": {Port: 53, Request: "\x00\x27\x75\x6b\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" +
			"\x08host-000\x07ukprobe\x04test\x00\x00\x01\x00\x01"},
		"fio":       {Ready: "ukprobe-fio: ready"},
		"hello":     {Ready: "ukprobe-hello: ready"},
		"memcached": {Port: 11211, Request: "version\r\n"},
		"mysql":     {Port: 3306}, // speaks first
		"nginx":     {Port: 80, Request: "GET / HTTP/1.1\r\nHost: guest\r\nConnection: close\r\n\r\n"},
		"redis":     {Port: 6379, Request: "PING\r\n"},
		"sqlite":    {Ready: "ukprobe-sqlite: ready"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestInitScripts has a shell run the ends of /init, with a program that tells its
// words in the place of the app's: they are those of the bare process.
func TestInitScripts(t *testing.T) {
	for _, name := range Apps() {
		r := apps[name]
		if r.initApp != "" {
			continue // runs itself what it says
		}
		dir := t.TempDir()
		r.argv = append([]string{filepath.Join(dir, "app")}, r.argv[1:]...)
		if err := os.WriteFile(r.argv[0], []byte("#!/bin/sh\nprintf '<%s>' \"$@\"\nexit 3\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		script, err := r.initScript()
		if err != nil {
			t.Fatal(err)
		}
		fail := "fail() { echo \"FAILED: $*\"; exit 1; }\n"
		got, _ := exec.Command("sh", "-c", fail+string(script)).CombinedOutput() // ends with 1
		want := "<" + strings.Join(r.argv[1:], "><") + ">FAILED: app ended with status 3\n"
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("%s, -want +got:\n%s", name, diff)
		}
	}
}

func TestUnknownApp(t *testing.T) {
	const want = `no app "emacs" for linux and process: want one of dnsmasq, fio, hello, memcached, mysql, nginx, redis, sqlite`
	b := &Builder{Dir: t.TempDir()}
	_, errInitramfs := b.Initramfs(t.Context(), "emacs")
	_, errRootFS := b.RootFS(t.Context(), "emacs")
	for _, err := range []error{errInitramfs, errRootFS} {
		if !strings.HasSuffix(errText(err), want) {
			t.Errorf("error %q, want …%q", errText(err), want)
		}
	}
	if left, _ := os.ReadDir(b.Dir); len(left) != 0 {
		t.Errorf("the cache folder now holds %v", left)
	}
}

func TestNoFolder(t *testing.T) {
	_, err := new(Builder).Kernel(t.Context())
	if got := errText(err); !strings.HasSuffix(got, "no cache folder given (Builder.Dir)") {
		t.Errorf("error %q", got)
	}
}

func TestKeyFollowsWhatIsBuilt(t *testing.T) {
	p := deb.Package{Name: "nginx", Version: "1.22.1-9", Arch: "amd64", SHA256: "aa", Path: "/a"}
	newer, moved := p, p
	newer.Version, moved.Path = "1.22.1-10", "/b"
	keys := map[string]string{}
	for name, k := range map[string]struct {
		kind string
		pkg  deb.Package
	}{"first": {"rootfs-nginx", p}, "newer": {"rootfs-nginx", newer}, "moved": {"rootfs-nginx", moved}, "other kind": {"initramfs-nginx", p}} {
		var err error
		if keys[name], err = key(k.kind, k.pkg); err != nil {
			t.Fatal(err)
		}
	}
	if keys["first"] == keys["newer"] || keys["first"] == keys["other kind"] || keys["first"] != keys["moved"] {
		t.Errorf("keys %v: want a new one for a new version or kind, the old one for a moved file", keys)
	}
}

// TestSameBytes builds hello in two folders, in each with two builders at the
// same time: everything is built once per folder, and the same in both.
func TestSameBytes(t *testing.T) {
	var sums []string
	for range 2 {
		dir := t.TempDir()
		var wg sync.WaitGroup
		results := make([]Initramfs, 2)
		errs := make([]error, len(results))
		for i := range results {
			b := freshBuilder(t, dir)
			wg.Go(func() { results[i], errs[i] = b.Initramfs(t.Context(), "hello") })
		}
		wg.Wait()
		for i, r := range results {
			if errs[i] != nil {
				t.Fatal(errs[i])
			}
			sums = append(sums, r.SHA256)
		}
		checkEntries(t, dir, "kernel-", "initramfs-hello-")
		// The list of what is there knows the builders' names.
		listed, err := InCache(dir)
		if err != nil {
			t.Fatal(err)
		}
		if len(listed) != 2 || listed[0].Kind != "kernel" || listed[1].Path != results[0].Path || listed[1].Size != results[0].Size {
			t.Errorf("in the cache: %+v, want the kernel and %+v", listed, results[0])
		}
	}
	for _, s := range sums[1:] {
		if s != sums[0] {
			t.Errorf("SHA-256 of the same initramfs: %v", sums)
		}
	}
}

// checkEntries checks that the cache folder holds one entry of each prefix
// and, the lock and the kept answers apart, nothing else.
func checkEntries(t *testing.T, dir string, prefixes ...string) {
	t.Helper()
	found, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, f := range found {
		if strings.HasPrefix(f.Name(), ".packages-") || f.Name() == ".packages.lock" {
			continue
		}
		switch prefix := f.Name()[:strings.LastIndex(f.Name(), "-")+1]; {
		case prefix != "":
			count[prefix]++
		case f.Name() != ".lock":
			t.Errorf("%s is left in the cache folder", f.Name())
		}
	}
	want := map[string]int{}
	for _, p := range prefixes {
		want[p] = 1
	}
	if diff := cmp.Diff(want, count); diff != "" {
		t.Errorf("cache entries, -want +got:\n%s", diff)
	}
}

// TestLeftoverOfAKilledBuilder checks that what a killed process left is no
// obstacle and does not stay.
func TestLeftoverOfAKilledBuilder(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, ".build", "rootfs-hello-0", "root"), 0o755); err != nil {
		t.Fatal(err)
	}
	root, err := freshBuilder(t, dir).RootFS(t.Context(), "hello")
	if err != nil {
		t.Fatal(err)
	}
	checkEntries(t, dir, "rootfs-hello-")
	again, err := freshBuilder(t, dir).RootFS(t.Context(), "hello")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(root, again); diff != "" {
		t.Errorf("from the cache, -built +found:\n%s", diff)
	}
}

// TestDiskFull builds on file systems too small to unpack a package, and too
// small to write the root folder: an error that names the remedy, no entry.
func TestDiskFull(t *testing.T) {
	needRoot(t)
	for _, size := range []string{"1m", "3m"} {
		t.Run(size, func(t *testing.T) {
			dir := smallDisk(t, size)
			_, err := freshBuilder(t, dir).RootFS(t.Context(), "hello")
			if got := errText(err); !strings.Contains(got, "no space left on device") && !strings.Contains(got, "No space left on device") ||
				!strings.Contains(got, "free some 200 MB in "+dir) {
				t.Errorf("error %q", got)
			}
			checkEntries(t, dir)
		})
	}
}

// smallDisk mounts a file system of the given size in a mount namespace of
// the test's own, and returns its folder.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	ownMounts(t)
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Fatalf("mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// ownMounts moves the test into a mount namespace of its own.
func ownMounts(t *testing.T) {
	t.Helper()
	runtime.LockOSThread() // never unlocked: thread and namespace end with the test
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		t.Fatalf("make a mount namespace: %v", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatalf("make the mounts private: %v", err)
	}
}

// TestWithoutApt finds what was built earlier in a cache that is read-only and
// without packages, as inside the hostvm.
func TestWithoutApt(t *testing.T) {
	dir := t.TempDir()
	built, err := freshBuilder(t, dir).Kernel(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Run("read-only", func(t *testing.T) {
		needRoot(t)
		ownMounts(t)
		if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
		if err := unix.Mount("", dir, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			t.Fatal(err)
		}
		b := &Builder{Dir: dir, Logf: t.Logf} // its packages would be in dir too
		found, err := b.Kernel(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(built, found); diff != "" {
			t.Errorf("-built +found:\n%s", diff)
		}
		_, err = b.Initramfs(t.Context(), "hello") // never built, so never asked for
		if got := errText(err); !strings.Contains(got, "read-only file system") {
			t.Errorf("build in a read-only folder: error %q", got)
		}
	})
}
