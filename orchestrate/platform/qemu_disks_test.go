// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ukprobe/ukprobe/internal/qcow2"
	"github.com/ukprobe/ukprobe/orchestrate/system"
)

// TestCommandLineOnADisk: the guest's disk has the command line, the image has not,
// and qemu-img reads the rest through.
func TestCommandLineOnADisk(t *testing.T) {
	fakeQEMU(t)
	dir := t.TempDir()
	image := filepath.Join(dir, "usr, with a comma.img")
	content := bytes.Repeat([]byte("0123456789abcdef"), 10_000)
	content = content[:len(content)&^511]
	if err := os.WriteFile(image, content, 0o600); err != nil {
		t.Fatal(err)
	}
	b := system.Boot{Disks: []system.Disk{{Path: image, Format: "raw"}}, DiskCmdline: system.DiskCmdline{At: 512, Room: 32256}}
	l, err := qemu{name: "qemu"}.Launch(b, Resources{Accel: TCG, MemoryMiB: 64, VCPUs: 1}, nil, "--ip=eth0 /hello")
	if err != nil {
		t.Fatal(err)
	}
	if slices.Contains(l.Argv, "-kernel") || slices.Contains(l.Argv, "-append") || !slices.Contains(l.Argv, "file={dir,,}/disk0.qcow2,if=none,id=hd0,format=qcow2,snapshot=on") {
		t.Errorf("%q", l.Argv)
	}
	over := l.Files["disk0.qcow2"]
	if len(l.Files) != 1 || !bytes.HasPrefix(over, []byte(qcow2.Magic)) {
		t.Fatalf("files %d", len(l.Files))
	}
	t.Setenv("PATH", "/usr/bin:/bin")
	if _, err := exec.LookPath("qemu-img"); err != nil {
		t.Skip("needs qemu-img: apt-get install qemu-utils")
	}
	path, flat := filepath.Join(dir, "disk0.qcow2"), filepath.Join(dir, "flat")
	if err := os.WriteFile(path, over, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("qemu-img", "convert", "-O", "raw", path, flat).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	got, err := os.ReadFile(flat)
	if err != nil {
		t.Fatal(err)
	}
	copy(content[512:], "--ip=eth0 /hello\x00")
	if !bytes.Equal(got, content) {
		t.Error("the guest's disk is not the image with another command line")
	}
	if raw, err := os.ReadFile(image); err != nil || bytes.Contains(raw, []byte("/hello")) {
		t.Errorf("the image was written to, or cannot be read (%v)", err)
	}
}

func TestCommandLineOnADiskRefuses(t *testing.T) {
	dir := t.TempDir()
	short, damaged := filepath.Join(dir, "short"), filepath.Join(dir, "damaged")
	for path, data := range map[string][]byte{short: make([]byte, 1000), damaged: []byte("QFI\xfb")} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	room := system.DiskCmdline{At: 512, Room: 100}
	for name, tt := range map[string]struct {
		d    system.Disk
		line string
		kind error
		err  string
	}{
		"none":      {system.Disk{Path: filepath.Join(dir, "none"), Format: "raw"}, "", os.ErrNotExist, "disk"},
		"damaged":   {system.Disk{Path: damaged, Format: "qcow2"}, "", nil, "no such header"},
		"too long":  {system.Disk{Path: short, Format: "raw"}, strings.Repeat("x", 100), nil, "has room for a command line of 99 bytes"},
		"zero byte": {system.Disk{Path: short, Format: "raw"}, "a\x00b", nil, "without a zero byte"},
	} {
		if _, err := withCmdline(tt.d, room, tt.line); err == nil || tt.kind != nil && !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := withCmdline(system.Disk{Path: short, Format: "raw"}, system.DiskCmdline{At: 512, Room: 32256}, ""); err == nil || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("short: %v", err)
	}
}

// TestCPUFeatures: an image's own come on top of the host's CPU, and nowhere else.
func TestCPUFeatures(t *testing.T) {
	b := system.Boot{QEMU: system.QEMU{CPU: "migratable=no,+invtsc"}}
	for want, r := range map[string]Resources{
		"host,migratable=no,+invtsc": {Accel: KVM},
		"host,-arch-capabilities":    {Accel: KVM, Emulated: true},
		"max":                        {Accel: TCG},
	} {
		if got := cpuFor(b, r); got != want {
			t.Errorf("%+v: %s, want %s", r, got, want)
		}
	}
}
