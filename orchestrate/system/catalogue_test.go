// SPDX-License-Identifier: Apache-2.0

package system

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/ukprobe/ukprobe/internal/oci"
	"github.com/ukprobe/ukprobe/orchestrate/catalogue"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
)

const linuxEntries = `
  - {name: lin, system: linux, app: hello, platform: [qemu1nic, firecracker], path: k.elf, initrd: i.cpio, version: '5'}
  - {name: lup, system: lupine, app: hello, platform: qemu1nic, path: k.elf, disks: [{path: d.img, read_only: true}], network: 'own={address}', cmdline: 'a {network} b'}
  - {name: disk, system: linux, app: redis, platform: qemu1nic, path: k.elf, disks: [{path: d.img}], fpu_free: true}
  - {name: lua, system: linux, app: lua, platform: qemu1nic, path: k.elf, initrd: i.cpio, port: 9}
`

// TestLinuxFromCatalogue: an entry is what is booted, with the system's own words where
// it has none.
func TestLinuxFromCatalogue(t *testing.T) {
	e, dir := images(t, linuxEntries)
	kernel, initrd := filepath.Join(dir, "k.elf"), filepath.Join(dir, "i.cpio")
	for _, tt := range []struct {
		system, app, initrd, version string
		begin, end                   string // of the command line
	}{
		{"linux", "hello", initrd, "5", "console=ttyS0 ", "pci=lastbus=0 ip=198.18.0.2::198.18.0.1:255.255.255.0::eth0:off last"},
		{"lupine", "hello", "", "", "a own=198.18.0.2 b", " last"},
		{"linux", "redis", "", "", "console=ttyS0 ", " root=/dev/vda rw ip=198.18.0.2::198.18.0.1:255.255.255.0::eth0:off last"},
	} {
		s := find(t, e, tt.system)
		b, err := s.Prepare(t.Context(), want(tt.app, qemu1NIC, matrix.Settings{Args: "last"}))
		if err != nil {
			t.Fatal(err)
		}
		if b.Kernel != kernel || b.Image.Path != kernel || b.Initrd != tt.initrd || b.Version != tt.version || len(b.Segments) == 0 || len(b.Files) < 2 {
			t.Errorf("%s/%s: prepared %+v", tt.system, tt.app, b)
		}
		if line, err := s.CommandLine(b, aNetwork()); err != nil || !strings.HasPrefix(line, tt.begin) || !strings.HasSuffix(line, tt.end) {
			t.Errorf("%s/%s: %q, %v", tt.system, tt.app, line, err)
		}
	}
}

// TestNamedImage: a name that is not there, or of something else, is never passed over.
func TestNamedImage(t *testing.T) {
	e, _ := images(t, linuxEntries)
	for _, s := range All(e) {
		if s.Name() == "process" { // cells refuse it: see orchestrate
			continue
		}
		for image, want := range map[string]string{"none": `image "none": not in the catalogue`, "lua": `image "lua" (`} {
			if s.Name() == "docker" && image == "none" {
				continue // may be the engine's
			}
			_, err := s.Prepare(t.Context(), Want{App: Hello, Platform: s.Platforms()[0], Settings: matrix.Settings{Image: image}})
			if err == nil || !strings.Contains(err.Error(), want) && !errors.Is(err, ErrUnsupported) {
				t.Errorf("%s with image %s: %v, want %q", s.Name(), image, err, want)
			}
		}
	}
}

// TestLinuxLimits: what Debian's kernel cannot is no limit of another.
func TestLinuxLimits(t *testing.T) {
	e, dir := images(t, linuxEntries)
	own := filepath.Join(dir, "other.elf")
	for _, tt := range []struct {
		name string
		env  Env
		want Want
		err  string
	}{
		{"Debian's", Env{}, want(Hello, firecrackerVMM, matrix.Settings{}), "Debian's cloud kernel is compressed"},
		{"the cell's kernel", Env{}, want(Hello, firecrackerVMM, matrix.Settings{Kernel: own}), ""},
		{"the cell's kernel on microvm", Env{}, want(Hello, qemuMicroVM, matrix.Settings{Kernel: own}), ""},
		{"an entry's kernel", e, want(Hello, firecrackerVMM, matrix.Settings{}), ""},
		{"another app than the entry's", e, want(Nginx, firecrackerVMM, matrix.Settings{}), "Debian's cloud kernel is compressed"},
		{"Debian's and a disk", Env{}, want(Hello, qemu1NIC, matrix.Settings{Disk: own}), "finds no root on disk " + own},
		{"Debian's, a disk and an initramfs", Env{}, want(Hello, qemu1NIC, matrix.Settings{Disk: own, Initrd: own}), ""},
		{"a kernel and a disk", Env{}, want(Hello, qemu1NIC, matrix.Settings{Disk: own, Kernel: own}), ""},
	} {
		err := Supports(find(t, tt.env, "linux"), tt.want)
		if (err == nil) != (tt.err == "") || err != nil && (!errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.err)
		}
	}
	b := find(t, Env{}, "linux").Describe(want(Hello, qemu1NIC, matrix.Settings{Disk: own, Kernel: own}))
	if b.Initrd != "" || !strings.HasSuffix(b.Cmdline, " root=/dev/vda rw") {
		t.Errorf("from a disk: initrd %q, %q", b.Initrd, b.Cmdline)
	}
}

// TestNewApps: an app that is new to a system is one of it, for each that takes images.
func TestNewApps(t *testing.T) {
	for _, s := range All(Env{}) {
		if s.Name() == "process" {
			continue
		}
		p := s.Platforms()[0]
		e, _ := images(t, "  - {name: new, system: "+s.Name()+", app: lua, platform: "+p+", path: k.elf, port: 80}\n")
		s = find(t, e, s.Name())
		if err := Supports(s, Want{App: "lua", Platform: p}); err != nil || !slices.Contains(s.Apps(), "lua") {
			t.Errorf("%s: %v, apps %v", s.Name(), err, s.Apps())
		}
		if b := s.Describe(Want{App: "lua", Platform: p}); b.Entry == nil || b.Service == nil || b.Service.Port != 80 {
			t.Errorf("%s: described %+v", s.Name(), b)
		}
	}
}

// TestDiskBesideEntry: a cell's own disk takes the place of the entry's disks, and
// nothing else of it.
func TestDiskBesideEntry(t *testing.T) {
	e, dir := images(t, "  - {name: u, system: unikraft, app: hello, platform: qemu, path: u.elf, disks: [{path: d.img}]}\n"+twoApps)
	raw, err := os.ReadFile(guestImage{class: elf.ELFCLASS32, multiboot: true, text: textNginx}.file(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "u.elf"), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, system := range []string{"unikraft", "next"} {
		own := filepath.Join(dir, "i.cpio")
		b, err := find(t, e, system).Prepare(t.Context(), want(Hello, qemuPlatform, matrix.Settings{Disk: own}))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]Disk{{Path: own, Format: "raw"}}, b.Disks); b.Entry == nil || diff != "" {
			t.Errorf("%s: entry %v, disks %s", system, b.Entry, diff)
		}
		if _, err := find(t, e, system).Prepare(t.Context(), want(Hello, qemuPlatform, matrix.Settings{Disk: "/nowhere"})); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: a disk that is not there: %v", system, err)
		}
	}
}

// TestNothingToBoot: an entry of disks alone is for systems that boot from one.
func TestNothingToBoot(t *testing.T) {
	for system, platform := range map[string]string{"unikraft": qemuPlatform, "hermitux": uhyvePlatform, "mirageos": solo5HVT, "rump": qemu1NIC, "reference": qemuPlatform} {
		e, _ := images(t, "  - {name: bare, system: "+system+", app: hello, platform: "+platform+", disks: [{path: d.img}]}\n")
		e.WorkDir = t.TempDir()
		_, err := find(t, e, system).Prepare(t.Context(), Want{App: Hello, Platform: platform})
		if err == nil || !strings.Contains(err.Error(), "image bare (") || !strings.Contains(err.Error(), "give its path") {
			t.Errorf("%s: %v", system, err)
		}
	}
}

// TestNoPlaceForWords: {network} does not reach a guest that is told its address in
// another way.
func TestNoPlaceForWords(t *testing.T) {
	for _, system := range []string{"rump", "hermitux"} {
		for words, want := range map[string]string{"cmdline: 'x {network}'": "leave {network} out of its cmdline", "network: 'ip={address}'": "leave network: out"} {
			e, _ := images(t, "  - {name: a, system: "+system+", app: hello, platform: [uhyve, qemu1nic], path: k.elf, "+words+"}\n")
			s := find(t, e, system)
			line, err := s.CommandLine(s.Describe(Want{App: Hello, Platform: s.Platforms()[0]}), aNetwork())
			if err == nil || !strings.Contains(err.Error(), "c.yaml:3:5: ") || !strings.Contains(err.Error(), want) {
				t.Errorf("%s, %s: %q, %v", system, words, line, err)
			}
		}
	}
}

// TestPipes: what would be waited for is refused at once, by descriptions too.
func TestPipes(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	kernel := guestImage{class: elf.ELFCLASS32, multiboot: true, text: textNginx}.file(t)
	for _, s := range All(Env{WorkDir: t.TempDir(), CacheDir: t.TempDir()}) {
		if s.Name() == "process" || s.Name() == "docker" {
			continue
		}
		for what, settings := range map[string]matrix.Settings{
			"disk": {Disk: pipe, Kernel: kernel}, "disk alone": {Disk: pipe, Initrd: kernel}, "kernel": {Kernel: pipe, Initrd: kernel}, "initrd": {Kernel: kernel, Initrd: pipe},
		} {
			if what == "disk alone" && s.Name() != "osv" {
				continue
			}
			done := make(chan error, 1)
			go func() {
				w := want(Hello, s.Platforms()[0], settings)
				_ = s.Describe(w)
				_, err := s.Prepare(t.Context(), w)
				done <- err
			}()
			select {
			case err := <-done:
				if err == nil || !strings.Contains(err.Error(), "not a regular file") || !strings.Contains(err.Error(), pipe) {
					t.Errorf("%s, %s: %v", s.Name(), what, err)
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("%s, %s: it waits for a writer", s.Name(), what)
			}
		}
	}
}

// TestUnchanged: a file that is replaced after it was measured is noticed.
func TestUnchanged(t *testing.T) {
	e, dir := images(t, twoApps)
	b, err := find(t, e, "next").Prepare(t.Context(), want(redisApp, qemu1NIC, matrix.Settings{}))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Unchanged(); err != nil || len(b.Files) != 3 {
		t.Errorf("%v, %d files", err, len(b.Files))
	}
	for _, name := range []string{"k.elf", "i.cpio", "d.img"} {
		path := filepath.Join(dir, name)
		if err := os.Rename(path, path+".old"); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("rebuilt"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := b.Unchanged(); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "run again") {
			t.Errorf("%s: %v", name, err)
		}
		if err := os.Rename(path+".old", path); err != nil {
			t.Fatal(err)
		}
		if err := b.Unchanged(); err != nil {
			t.Errorf("put back: %v", err)
		}
	}
}

// TestCellsOfOneSystem: preparing a cell changes nothing that another has measured.
func TestCellsOfOneSystem(t *testing.T) {
	rump := guestImage{class: elf.ELFCLASS64}.file(t) // from before Solo5's notes: it gets an empty disk
	for _, tt := range []struct{ system, platform, kernel string }{{"reference", qemuPlatform, ""}, {"rump", solo5HVT, rump}} {
		s := find(t, Env{WorkDir: t.TempDir()}, tt.system)
		w := want(Hello, tt.platform, matrix.Settings{Kernel: tt.kernel})
		first, err := s.Prepare(t.Context(), w)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Prepare(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		if err := first.Unchanged(); err != nil || len(first.Files) == 0 {
			t.Errorf("%s: %v, %d files", tt.system, err, len(first.Files))
		}
		if tt.system == "rump" && (len(first.Disks) != 1 || len(first.Files) != 2) {
			t.Errorf("rump: disks %+v, %d files", first.Disks, len(first.Files))
		}
	}
}

// packed serves a unikernel as kraft packs it: kernel, initrd and arguments, for QEMU
// and for Firecracker.
func packed(t *testing.T, args ...string) (ref string) {
	t.Helper()
	s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(s.Close)
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for os, g := range map[string]guestImage{
		"qemu": {class: elf.ELFCLASS32, multiboot: true, text: textNginx}, "fc": {class: elf.ELFCLASS64, text: textNginx},
	} {
		img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
		config, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		config = config.DeepCopy()
		config.OS, config.Architecture, config.Config.Cmd = os, "x86_64", args
		if img, err = mutate.ConfigFile(img, config); err != nil {
			t.Fatal(err)
		}
		img, err = mutate.AppendLayers(img, static.NewLayer(kraftLayer(t, g.file(t)), types.OCIUncompressedLayer))
		if err != nil {
			t.Fatal(err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: os, Architecture: "x86_64"}}})
	}
	ref = strings.TrimPrefix(s.URL, "http://") + "/nginx:1"
	parsed, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(parsed, index); err != nil {
		t.Fatal(err)
	}
	return ref
}

// TestUnikraftFromRegistry: the image's own arguments take the place of the app's, and
// the rest is as for a file.
func TestUnikraftFromRegistry(t *testing.T) {
	const fstab = ` vfs.fstab=[ "initrd0:/:extract::ramfs=1:" ] -- `
	const ip = "netdev.ip=198.18.0.2/24:198.18.0.1::::"
	for _, tt := range []struct {
		args           []string
		entry, cell    string
		qemu, fc, none string // none: without a network, on QEMU
	}{
		{[]string{"-c", "/img.conf"}, "", "", ip + fstab + "-c /img.conf", "kernel " + ip + fstab + "-c /img.conf", strings.TrimSpace(fstab) + " -c /img.conf"},
		{nil, "", "", ip + strings.TrimRight(fstab, " "), "kernel " + ip + strings.TrimRight(fstab, " "), strings.TrimSpace(fstab)},
		{[]string{"-c", "/img.conf"}, "", "-c /cell", ip + fstab + "-c /cell", "kernel " + ip + fstab + "-c /cell", strings.TrimSpace(fstab) + " -c /cell"},
		{[]string{"-c", "/img.conf"}, ", cmdline: 'vfs.fstab=[ x ] -- -p /n'", "last", ip + " vfs.fstab=[ x ] -- -p /n last", "kernel " + ip + " vfs.fstab=[ x ] -- -p /n last", "vfs.fstab=[ x ] -- -p /n last"},
	} {
		ref := packed(t, tt.args...)
		e, _ := images(t, "  - {name: r, system: unikraft, app: nginx, platform: [qemu1nic, firecracker], path: 'oci://"+ref+"'"+tt.entry+"}\n")
		e.Images = &catalogue.Images{Catalogue: e.Images.Catalogue, Registry: &oci.Cache{Dir: t.TempDir(), Logf: t.Logf}}
		u := &Unikraft{env: e}
		line := func(platform string) (with, without string) {
			b, err := u.Prepare(t.Context(), want(Nginx, platform, matrix.Settings{Args: tt.cell}))
			if err != nil {
				t.Fatal(err)
			}
			with, without, _ = lines(t, u, b)
			return with, without
		}
		qemu, none := line(qemu1NIC)
		fc, _ := line(firecrackerVMM)
		if diff := cmp.Diff([]string{tt.qemu, tt.fc, tt.none}, []string{qemu, fc, none}); diff != "" {
			t.Errorf("%q%s %q (-want +got):\n%s", tt.args, tt.entry, tt.cell, diff)
		}
	}
}

// kraftLayer is a tar archive of a kernel and an initrd.
func kraftLayer(t *testing.T, kernel string) []byte {
	t.Helper()
	text, err := os.ReadFile(kernel)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for name, data := range map[string][]byte{"unikraft/bin/kernel": text, "unikraft/bin/initrd": []byte("070701")} {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(data))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
