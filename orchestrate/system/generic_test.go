// SPDX-License-Identifier: Apache-2.0

package system

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/guests/reference"
	"github.com/ukprobe/ukprobe/orchestrate/catalogue"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
)

// images writes the reference guest and a catalogue beside it.
func images(t *testing.T, text string) (e Env, dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, data := range map[string][]byte{"k.elf": reference.Image(), "other.elf": reference.Image(), "i.cpio": []byte("x"), "d.img": append([]byte("QFI\xfb\x00\x00\x00\x03"), make([]byte, 96)...), "c.yaml": []byte("version: 1\nimages:\n" + text)} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	c, err := catalogue.Load(filepath.Join(dir, "c.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return Env{WorkDir: t.TempDir(), Images: &catalogue.Images{Catalogue: c}}, dir
}

const twoApps = `
  - {name: a, system: next, app: hello, platform: [qemu, qemu1nic], path: k.elf, ready: ^up, network: "ip={address}", fpu_free: true, version: '3'}
  - name: b
    system: next
    app: redis
    platform: qemu1nic
    path: k.elf
    initrd: i.cpio
    disks: [{path: d.img, format: qcow2, name: data}]
    cmdline: 'next {network} -- redis'
    network: ip={address}/{prefix}:{gateway}
    port: 6379
    request: "PING\r\n"
`

func TestGeneric(t *testing.T) {
	e, dir := images(t, twoApps)
	s := find(t, e, "next")
	if diff := cmp.Diff([][]string{{"hello", "redis"}, {"qemu", "qemu1nic"}}, [][]string{s.Apps(), s.Platforms()}); diff != "" {
		t.Error(diff)
	}
	if err := Supports(s, Want{App: "redis", Platform: "qemu"}); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "c.yaml has no such image of next: add an entry") {
		t.Errorf("redis on qemu: %v", err)
	}
	b, err := s.Prepare(t.Context(), Want{App: "redis", Platform: "qemu1nic", Settings: matrix.Settings{Args: "--more"}})
	if err != nil {
		t.Fatal(err)
	}
	if b.Kernel != filepath.Join(dir, "k.elf") || b.Initrd != filepath.Join(dir, "i.cpio") || b.Image.Size != int64(len(reference.Image())) || len(b.Segments) == 0 || b.FPUFree {
		t.Errorf("prepared %+v", b)
	}
	if diff := cmp.Diff([]Disk{{Path: filepath.Join(dir, "d.img"), Format: "qcow2", Name: "data"}}, b.Disks); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(&Service{Port: 6379, Request: []byte("PING\r\n")}, b.Service); diff != "" {
		t.Error(diff)
	}
	net := &Addresses{netip.MustParsePrefix("198.18.0.2/24"), netip.MustParseAddr("198.18.0.1")}
	if got, err := s.CommandLine(b, net); err != nil || got != "next ip=198.18.0.2/24:198.18.0.1 -- redis --more" {
		t.Errorf("%q, %v", got, err)
	}
	hello := s.Describe(Want{App: "hello", Platform: "qemu"})
	if !hello.FPUFree || hello.Ready != "^up" || hello.Version != "3" {
		t.Errorf("described %+v", hello)
	}
	if got, err := s.CommandLine(hello, nil); err != nil || got != "" {
		t.Errorf("without a network: %q, %v", got, err)
	}
}

// TestCellComesFirst: what the cell says itself goes before the entry.
func TestCellComesFirst(t *testing.T) {
	e, dir := images(t, twoApps)
	s := find(t, e, "next")
	own := filepath.Join(dir, "other.elf")
	b, err := s.Prepare(t.Context(), Want{App: "hello", Platform: "qemu", Settings: matrix.Settings{Kernel: own, Ready: "^mine"}})
	if err != nil {
		t.Fatal(err)
	}
	if b.Kernel != own || b.Image.Path != own || b.Ready != "^mine" || b.FPUFree {
		t.Errorf("prepared %+v", b)
	}
	if _, err := s.Prepare(t.Context(), Want{App: "hello", Platform: "qemu", Settings: matrix.Settings{Image: "b"}}); err == nil || !strings.Contains(err.Error(), `image "b"`) {
		t.Errorf("an image of another app: %v", err)
	}
}

func TestGenericMismatch(t *testing.T) {
	e, _ := images(t, "  - {name: a, system: next, app: hello, platform: qemu, path: k.elf, sha256: '"+strings.Repeat("0", 64)+"'}\n")
	_, err := find(t, e, "next").Prepare(t.Context(), Want{App: "hello", Platform: "qemu"})
	if !errors.Is(err, catalogue.ErrMismatch) {
		t.Errorf("error %v", err)
	}
}

// TestReferenceFromCatalogue: an entry can stand for a system with a Go file, which
// keeps its own network words and readiness where the entry has none.
func TestReferenceFromCatalogue(t *testing.T) {
	e, dir := images(t, "  - {name: a, system: reference, app: http, platform: qemu1nic, path: k.elf, fpu_free: true}\n")
	s := find(t, e, "reference")
	b, err := s.Prepare(t.Context(), Want{App: "http", Platform: "qemu1nic"})
	if err != nil {
		t.Fatal(err)
	}
	if b.Kernel != filepath.Join(dir, "k.elf") || b.Service == nil || b.Service.Port != 80 || !b.FPUFree {
		t.Errorf("prepared %+v", b)
	}
	net := &Addresses{netip.MustParsePrefix("198.18.0.2/24"), netip.MustParseAddr("198.18.0.1")}
	if got, err := s.CommandLine(b, net); err != nil || got != "port=80 end=hold ip=198.18.0.2/24 gw=198.18.0.1" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestDiskFormats: a disk is what the entry says it is, else what its magic says.
func TestDiskFormats(t *testing.T) {
	e, dir := images(t, "  - {name: a, system: next, app: hello, platform: qemu, path: k.elf, ready: ^up, disks: [{path: d.img}, {path: d.img, format: raw}, {path: i.cpio}]}\n")
	b, err := find(t, e, "next").Prepare(t.Context(), Want{App: Hello, Platform: "qemu"})
	qcow2, raw := filepath.Join(dir, "d.img"), filepath.Join(dir, "i.cpio")
	if diff := cmp.Diff([]Disk{{Path: qcow2, Format: "qcow2"}, {Path: qcow2, Format: "raw"}, {Path: raw, Format: "raw"}}, b.Disks); err != nil || diff != "" {
		t.Error(err, diff)
	}
}
