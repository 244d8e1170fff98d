// SPDX-License-Identifier: Apache-2.0

package system

import (
	"debug/elf"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/orchestrate/matrix"
)

// What images of Unikraft hold, as seen in builds of RELEASE-0.17.0 (hello),
// RELEASE-0.16.3 (nginx), RELEASE-0.16.0 and in those of eurosys21-artifacts.
const (
	textHello = "Unikraft Calypso 0.17.0\x00Powered by\x00"
	textNginx = "Unikraft Telesto 0.16.3\x00libuklibparam\x00IPv4 einfo: cidr[:gw[:dns0[:dns1[:hostname[:domain]]]]]\x00\x00fstab\x00vfs\x00"
	textOld   = "Unikraft Telesto 0.16.0\x00libuklibparam\x00ipv4_addr\x00ipv4_subnet_mask\x00\x00fstab\x00"
	textE21   = "Unikraft Rhea 0.4.0~00bbf2c\x00%c%c%u: Set IPv4 address %s mask %s gw %s\x00"
)

func TestInspectUnikraft(t *testing.T) {
	tests := map[string]struct {
		text string
		want UnikraftImage
	}{
		"hello":               {textHello, UnikraftImage{Version: "0.17.0", Network: UnikraftNoAddress}},
		"today's parameters":  {textNginx, UnikraftImage{Version: "0.16.3", Network: UnikraftIP, Params: true, Fstab: true}},
		"the old parameters":  {textOld, UnikraftImage{Version: "0.16.0", Network: UnikraftIPv4, Params: true, Fstab: true}},
		"only DHCP":           {textE21, UnikraftImage{Version: "0.4.0~00bbf2c", Network: UnikraftNoAddress}},
		"no version":          {"cidr[:gw[:dns0", UnikraftImage{Network: UnikraftIP, Params: true}},
		"nothing is known":    {"another unikernel", UnikraftImage{Params: true}},
		"not a version":       {"Unikraft is a library operating system 1.0", UnikraftImage{Params: true}},
		"other uses of fstab": {"vfs.fstab: Mountpoint", UnikraftImage{Params: true}},
	}
	for name, tt := range tests {
		got, err := inspectUnikraft(write(t, []byte("\x7fELF padding \x00"+tt.text)))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestUnikraftCommandLine holds the words against KraftKit's
// (machine/{qemu,firecracker}/v1alpha1.go), eurosys21-artifacts' fig_11
// impl/unikraft.sh and app-nginx's scripts/run.yaml.
func TestUnikraftCommandLine(t *testing.T) {
	const fstab = `vfs.fstab=[ "initrd0:/:extract::ramfs=1:" ]`
	initrd := write(t, []byte("070701"))
	qemuFile := func(text string) string {
		return guestImage{class: elf.ELFCLASS32, multiboot: true, text: text}.file(t)
	}
	tests := []struct {
		name, app, platform, text string
		settings                  matrix.Settings
		with, without, asking     string
	}{
		{"hello", Hello, qemuPlatform, textHello, matrix.Settings{}, "", "", ""},
		{"nginx of today", Nginx, qemu1NIC, textNginx, matrix.Settings{Initrd: initrd},
			"netdev.ip=198.18.0.2/24:198.18.0.1:::: " + fstab + " -- -c /nginx/conf/nginx.conf", fstab + " -- -c /nginx/conf/nginx.conf", fstab + " -- -c /nginx/conf/nginx.conf"},
		{"nginx without an initrd", Nginx, qemu1NIC, textNginx, matrix.Settings{},
			"netdev.ip=198.18.0.2/24:198.18.0.1:::: -- -c /nginx/conf/nginx.conf", "-c /nginx/conf/nginx.conf", "-c /nginx/conf/nginx.conf"},
		{"redis of old", redisApp, qemu1NIC, textOld, matrix.Settings{},
			"netdev.ipv4_addr=198.18.0.2 netdev.ipv4_gw_addr=198.18.0.1 netdev.ipv4_subnet_mask=255.255.255.0 -- /redis.conf", "/redis.conf", "/redis.conf"},
		{"the cell's arguments", Nginx, qemu1NIC, textNginx, matrix.Settings{Args: "-c /other"},
			"netdev.ip=198.18.0.2/24:198.18.0.1:::: -- -c /other", "-c /other", "-c /other"},
		{"the cell's parameters", Nginx, qemu1NIC, textNginx, matrix.Settings{Initrd: initrd, Args: "vfs.fstab=[ none ] -- -c /other"},
			"netdev.ip=198.18.0.2/24:198.18.0.1:::: vfs.fstab=[ none ] -- -c /other", "vfs.fstab=[ none ] -- -c /other", "vfs.fstab=[ none ] -- -c /other"},
		{"without parameters built in", sqliteApp, qemu1NIC, textE21, matrix.Settings{Args: "-interactive"}, "-interactive", "-interactive", "-interactive"},
	}
	u := &Unikraft{}
	for _, tt := range tests {
		tt.settings.Kernel = qemuFile(tt.text)
		b, err := u.Prepare(t.Context(), want(tt.app, tt.platform, tt.settings))
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		with, without, asking := lines(t, u, b)
		if with != tt.with || without != tt.without || asking != tt.asking {
			t.Errorf("%s: with a network\n%q\nwithout\n%q\nasking\n%q", tt.name, with, without, asking)
		}
	}
}

// TestUnikraftOnFirecracker: the program's name comes first, and "--" always.
func TestUnikraftOnFirecracker(t *testing.T) {
	kernel := guestImage{class: elf.ELFCLASS64, text: textNginx}.file(t)
	u := &Unikraft{}
	b, err := u.Prepare(t.Context(), want(Nginx, firecrackerVMM, matrix.Settings{Kernel: kernel}))
	if err != nil {
		t.Fatal(err)
	}
	with, without, _ := lines(t, u, b)
	if with != "kernel netdev.ip=198.18.0.2/24:198.18.0.1:::: -- -c /nginx/conf/nginx.conf" || without != "kernel -- -c /nginx/conf/nginx.conf" {
		t.Errorf("with a network %q, without %q", with, without)
	}
	if b.QEMU.Microvm != "pit=on,rtc=on" {
		t.Errorf("QEMU %+v", b.QEMU)
	}
	if b.Version != "0.16.3" || b.Image.Path != kernel || len(b.Segments) != 1 {
		t.Errorf("%+v", b)
	}
}

func TestUnikraftRefuses(t *testing.T) {
	u := &Unikraft{}
	fc, pc := guestImage{class: elf.ELFCLASS64, text: textNginx}.file(t), guestImage{class: elf.ELFCLASS32, multiboot: true, text: textNginx}.file(t)
	for _, tt := range []struct {
		name     string
		platform string
		settings matrix.Settings
		kind     error
		err      string
	}{
		{"Firecracker's on QEMU", qemuPlatform, matrix.Settings{Kernel: fc}, ErrUnsupported, "which QEMU does not load: build it for QEMU (multiboot"},
		{"Firecracker's on microvm", qemuMicroVM, matrix.Settings{Kernel: fc}, ErrUnsupported, "which QEMU does not load"},
		{"QEMU's on Firecracker", firecrackerVMM, matrix.Settings{Kernel: pc}, ErrUnsupported, "which Firecracker does not load: build it for Firecracker (lxboot"},
		{"no image", qemuPlatform, matrix.Settings{}, ErrNoImage, "name a kernel in the cell, or add an entry to a catalogue"},
		{"no such image", qemuPlatform, matrix.Settings{Kernel: filepath.Join(t.TempDir(), "none")}, os.ErrNotExist, "none"},
		{"no such initrd", qemuPlatform, matrix.Settings{Kernel: pc, Initrd: filepath.Join(t.TempDir(), "none")}, os.ErrNotExist, "none"},
	} {
		_, err := u.Prepare(t.Context(), want(Nginx, tt.platform, tt.settings))
		if !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// TestUnikraftAddress: what cannot be told its address says so before it is started.
func TestUnikraftAddress(t *testing.T) {
	u := &Unikraft{}
	for name, tt := range map[string]struct{ text, err string }{
		"only DHCP":  {textE21, "can only ask for it: set address: dhcp"},
		"not known":  {"a unikernel", "say so in an entry of the catalogue (network:)"},
		"can be had": {textNginx, ""},
	} {
		b, err := u.Prepare(t.Context(), want(redisApp, qemu1NIC, matrix.Settings{Kernel: guestImage{class: elf.ELFCLASS32, multiboot: true, text: tt.text}.file(t)}))
		if err != nil {
			t.Fatal(err)
		}
		_, err = u.CommandLine(b, aNetwork())
		if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestUnikraftFromCatalogue: an entry's words take the place of the system's own.
func TestUnikraftFromCatalogue(t *testing.T) {
	e, dir := images(t, `
  - {name: words, system: unikraft, app: nginx, platform: qemu1nic, path: k.elf, cmdline: "vfs.fstab=[ x ] -- -p /n"}
  - {name: template, system: unikraft, app: redis, platform: qemu1nic, path: k.elf, cmdline: "a {network} b", network: "addr={address}"}
`)
	raw, err := os.ReadFile(guestImage{class: elf.ELFCLASS32, multiboot: true, text: textNginx}.file(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "k.elf"), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	u := &Unikraft{env: e}
	for app, line := range map[string]string{
		Nginx:    "netdev.ip=198.18.0.2/24:198.18.0.1:::: vfs.fstab=[ x ] -- -p /n last",
		redisApp: "a addr=198.18.0.2 b last",
	} {
		b, err := u.Prepare(t.Context(), want(app, qemu1NIC, matrix.Settings{Args: "last"}))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := u.CommandLine(b, aNetwork()); err != nil || got != line {
			t.Errorf("%s: %q, %v", app, got, err)
		}
	}
}

// TestUnikraftDescribe: a plan shows today's words before there is an image.
func TestUnikraftDescribe(t *testing.T) {
	u := &Unikraft{}
	b := u.Describe(want(Nginx, qemu1NIC, matrix.Settings{}))
	if line, err := u.CommandLine(b, aNetwork()); b.Kernel != Unbuilt || err != nil || line != "netdev.ip=198.18.0.2/24:198.18.0.1:::: -- -c /nginx/conf/nginx.conf" {
		t.Errorf("%s: %q, %v", b.Kernel, line, err)
	}
	if b.Service.Port = 1; u.Describe(want(Nginx, qemu1NIC, matrix.Settings{})).Service.Port != 80 {
		t.Error("a described service is the app's own")
	}
}
