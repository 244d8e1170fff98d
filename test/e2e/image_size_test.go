// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"debug/elf"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/guests/reference"
	"github.com/ukprobe/ukprobe/results"
)

// The sizes of images, without a VMM and without an engine; the parts add up to the
// whole, and the same program is the same size in all of them. The image has one key,
// whatever is measured of it.
func TestImageSize(t *testing.T) {
	needRoot(t)
	notOnTheKernel(t)
	m := matrix(t, "system: linux, app: hello, platform: qemu, experiment: image-size, samples: 7, warmup: 3",
		"system: process, app: [hello, nginx], platform: process, experiment: image-size",
		"system: docker, app: nginx, platform: docker, experiment: image-size",
		"system: reference, app: hello, platform: qemu, experiment: image-size",
		"system: reference, app: hello, platform: qemu, accel: kvm")
	c := newRun(t, "--matrix", m)
	c.cmd.Env = append(c.cmd.Env, "DOCKER_HOST=unix:///nonexistent")
	f := c.start().wait(patience(60 * time.Second)).file()
	var sizes []results.Sample
	for _, c := range f.Cells[:5] {
		if len(c.Samples) != 1 {
			t.Fatalf("%s: %s %s: %d samples, want 1", c.Name(), c.Status, c.Reason, len(c.Samples))
		}
		wantOK(t, c.Samples[0])
		sizes = append(sizes, c.Samples[0])
	}
	linux, hello, nginx, docker, guest := sizes[0], sizes[1], sizes[2], sizes[3], sizes[4]
	for name, s := range map[string]results.Sample{"linux": linux, "process hello": hello, "process nginx": nginx, "docker": docker} {
		sum := s.Values["kernel_bytes"] + figure(t, s, "app_bytes") + figure(t, s, "libraries_bytes") + figure(t, s, "rootfs_rest_bytes")
		if whole := figure(t, s, "unpacked_bytes"); sum != whole {
			t.Errorf("%s: the parts make %v bytes, the whole is %v", name, sum, whole)
		}
		if z, files := figure(t, s, "compressed_bytes"), figure(t, s, "file_bytes"); z <= 0 || z > files*1.01 {
			t.Errorf("%s: %v bytes compressed to %v", name, files, z)
		}
	}
	if d := cmp.Diff(nginx.Values["app_with_libraries_bytes"], docker.Values["app_with_libraries_bytes"]); d != "" {
		t.Errorf("nginx as a process and in a container: %s", d)
	}
	if a, b := hello.Values["app_bytes"], linux.Values["app_bytes"]; a != b || a == 0 {
		t.Errorf("busybox as a process has %v bytes, in a microVM %v", a, b)
	}
	if nginx.Values["libraries_bytes"] == 0 || hello.Values["libraries_bytes"] != 0 {
		t.Errorf("libraries: nginx %v, static busybox %v", nginx.Values["libraries_bytes"], hello.Values["libraries_bytes"])
	}
	if linux.Values["kernel_bytes"] < 2*linux.Values["kernel_file_bytes"] {
		t.Errorf("the bzImage of %v bytes was not unpacked: %v", linux.Values["kernel_file_bytes"], linux.Values["kernel_bytes"])
	}
	if figure(t, guest, "unikernel_bytes") != float64(len(reference.Image())) || guest.Facts["unikernel_stripped"] != "yes" {
		t.Errorf("the reference guest: %v, %v", guest.Values, guest.Facts)
	}
	if size, boot := f.Cells[4].Image, f.Cells[5].Image; size == nil || boot == nil || size.Key == "" || size.Key != boot.Key {
		t.Errorf("one image has two keys: %+v, %+v", size, boot)
	}
	if key := f.Cells[0].Image; len(key.Files) != 2 || key.Key == key.SHA256 {
		t.Errorf("kernel and initramfs: %+v", key)
	}
}

// What strip would take away is told from what it leaves.
func TestImageSizeStripped(t *testing.T) {
	needRoot(t)
	notOnTheKernel(t)
	e, err := elf.Open(ukprobe) // a Go program with symbols and DWARF
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	var debug float64
	for _, s := range e.Sections {
		if s.Flags&elf.SHF_ALLOC == 0 && s.Type != elf.SHT_NULL && (s.Type == elf.SHT_SYMTAB || len(s.Name) > 6 && s.Name[:6] == ".debug" || s.Name == ".strtab") {
			debug += float64(s.FileSize)
		}
	}
	m := matrix(t, "system: reference, app: hello, platform: qemu, accel: tcg, experiment: image-size, kernel: "+ukprobe)
	s := newRun(t, "--matrix", m).start().wait(patience(60 * time.Second)).file().Cells[0].Samples[0]
	wantOK(t, s)
	if whole, less := figure(t, s, "unpacked_bytes"), figure(t, s, "stripped_bytes"); debug == 0 || whole-less != debug || s.Facts["unikernel_stripped"] != "no: symbols and debug information" {
		t.Errorf("%v bytes, stripped %v; debug information and symbols are %v: %v", whole, less, debug, s.Facts)
	}
}
