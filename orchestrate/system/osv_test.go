// SPDX-License-Identifier: Apache-2.0

package system

import (
	"debug/elf"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/probe"
)

// osvImage is the beginning of a usr.img: boot sector, command line, lzloader.elf.
func osvImage(cmdline string) []byte {
	out := make([]byte, osvLoaderAt)
	put16(out[510:], 0xaa55)
	copy(out[osvCmdlineAt:], cmdline)
	return append(out, elf32(elf.EM_386, load{elf.PT_LOAD, rx, 0x101000, 0x101000, 0x200000})...)
}

// osvKernel is a loader.elf.
func osvKernel(t *testing.T) string {
	return guestImage{class: elf.ELFCLASS64, notes: pvhNote(), text: "OSv v0.57.0-12-gabc\n\x00"}.file(t)
}

// TestOSvCommandLine holds the words against scripts/run.py and
// scripts/firecracker.py.
func TestOSvCommandLine(t *testing.T) {
	const addressed = "--ip=eth0,198.18.0.2,255.255.255.0 --defaultgw=198.18.0.1 --nameserver=198.18.0.1"
	disk := write(t, osvImage("--rootfs=rofs /nginx -c /etc/nginx.conf"))
	readdressed := write(t, osvImage("--ip=eth0,10.0.0.3,255.255.255.0 --defaultgw=10.0.0.1 --nameserver=10.0.0.1 /redis-server"))
	data := write(t, []byte("no boot sector"))
	kernel := osvKernel(t)
	tests := []struct {
		name, app, platform   string
		settings              matrix.Settings
		with, without, asking string
	}{
		{"the image boots itself", Nginx, qemu1NIC, matrix.Settings{Disk: disk},
			addressed + " --rootfs=rofs /nginx -c /etc/nginx.conf", "--rootfs=rofs /nginx -c /etc/nginx.conf", "--rootfs=rofs /nginx -c /etc/nginx.conf"},
		{"its kernel is named", Nginx, qemu1NIC, matrix.Settings{Disk: disk, Kernel: kernel, Args: "-q"},
			addressed + " --rootfs=rofs /nginx -c /etc/nginx.conf -q", "--rootfs=rofs /nginx -c /etc/nginx.conf -q", "--rootfs=rofs /nginx -c /etc/nginx.conf -q"},
		{"microvm", Nginx, qemuMicroVM, matrix.Settings{Disk: disk, Kernel: kernel},
			addressed + " --nopci --rootfs=rofs /nginx -c /etc/nginx.conf", "--nopci --rootfs=rofs /nginx -c /etc/nginx.conf", "--nopci --rootfs=rofs /nginx -c /etc/nginx.conf"},
		{"Firecracker", redisApp, firecrackerVMM, matrix.Settings{Disk: readdressed, Kernel: kernel},
			addressed + " --nopci /redis-server", "--nopci --ip=eth0,10.0.0.3,255.255.255.0 --defaultgw=10.0.0.1 --nameserver=10.0.0.1 /redis-server", "--nopci /redis-server"},
		{"the disk holds only data", Hello, qemuPlatform, matrix.Settings{Disk: data, Kernel: kernel, Args: "--rootfs=rofs /hello"},
			addressed + " --rootfs=rofs /hello", "--rootfs=rofs /hello", "--rootfs=rofs /hello"},
		{"a kernel with its files inside", Hello, qemuPlatform, matrix.Settings{Kernel: kernel, Args: "/hello"}, addressed + " /hello", "/hello", "/hello"},
	}
	o := &OSv{}
	for _, tt := range tests {
		b, err := o.Prepare(t.Context(), want(tt.app, tt.platform, tt.settings))
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		with, without, asking := lines(t, o, b)
		if with != tt.with || without != tt.without || asking != tt.asking {
			t.Errorf("%s: with a network\n%q\nwithout\n%q\nasking\n%q", tt.name, with, without, asking)
		}
		if modern := slices.Contains(b.QEMU.Args, "virtio-mmio.force-legacy=off"); modern != (tt.platform == qemuMicroVM) {
			t.Errorf("%s: QEMU's arguments %q", tt.name, b.QEMU.Args)
		}
		if tt.platform == qemuMicroVM && !strings.Contains(b.QEMU.MicrovmKVM, "HPET") {
			t.Errorf("%s: may run without KVM: %+v", tt.name, b.QEMU)
		}
	}
}

// TestOSvBootsItself: what is known of an image without a kernel is in it.
func TestOSvBootsItself(t *testing.T) {
	o := &OSv{}
	path := write(t, osvImage("/hello"))
	b, err := o.Prepare(t.Context(), want(Hello, qemuPlatform, matrix.Settings{Disk: path}))
	if err != nil {
		t.Fatal(err)
	}
	if b.Kernel != "" || b.Image.Path != path || b.DiskCmdline != (DiskCmdline{At: 512, Room: 32256}) || b.Disks[0].Format != "raw" {
		t.Errorf("%+v", b)
	}
	if diff := cmp.Diff([]probe.Stage{probe.StageImage, probe.StageDecompress, probe.StageKernel}, stages(b.Segments)); diff != "" || b.Segments[0].Lo != 0x7c00 || b.Segments[1].Lo != 0x101000 {
		t.Errorf("%s%+v", diff, b.Segments)
	}
	b.Args = strings.Repeat("x", 32250)
	if _, err := o.CommandLine(b, aNetwork()); err == nil || !strings.Contains(err.Error(), "has room for 32255") {
		t.Errorf("a command line that is too long: %v", err)
	}
}

func TestOSvVersion(t *testing.T) {
	b, err := (&OSv{}).Prepare(t.Context(), want(Hello, qemuPlatform, matrix.Settings{Kernel: osvKernel(t)}))
	if err != nil || b.Version != "0.57.0-12-gabc" || b.DiskCmdline.Room != 0 {
		t.Errorf("version %q, %+v, %v", b.Version, b.DiskCmdline, err)
	}
}

func TestOSvRefuses(t *testing.T) {
	o := &OSv{}
	kernel, image := osvKernel(t), write(t, osvImage("/hello"))
	qcow := write(t, append([]byte("QFI\xfb"), make([]byte, 200)...))
	bare := guestImage{class: elf.ELFCLASS64}.file(t)
	for _, tt := range []struct {
		name, platform string
		settings       matrix.Settings
		kind           error
		err            string
	}{
		{"nothing", qemuPlatform, matrix.Settings{}, ErrNoImage, "name a kernel in the cell"},
		{"a disk on microvm", qemuMicroVM, matrix.Settings{Disk: image}, ErrUnsupported, "boots from no disk: name OSv's kernel too (kernel: build/release/loader.elf)"},
		{"a disk on Firecracker", firecrackerVMM, matrix.Settings{Disk: image}, ErrUnsupported, "loader-stripped.elf"},
		{"vmlinuz.bin", qemuPlatform, matrix.Settings{Kernel: write(t, bzImage())}, ErrUnsupported, "is OSv's vmlinuz.bin"},
		{"no PVH entry", qemuPlatform, matrix.Settings{Kernel: bare}, ErrUnsupported, "build it for QEMU (loader.elf, with its PVH entry)"},
		{"a qcow2 disk on Firecracker", firecrackerVMM, matrix.Settings{Kernel: kernel, Disk: qcow}, ErrUnsupported, "qemu-img convert -O raw"},
		{"a damaged qcow2", qemuPlatform, matrix.Settings{Disk: qcow}, nil, "version 0 is not known"},
		{"a short disk", qemuPlatform, matrix.Settings{Disk: write(t, make([]byte, 1000))}, nil, "it has 1000 bytes, which is no OSv image"},
		{"no boot sector", qemuPlatform, matrix.Settings{Disk: write(t, make([]byte, 1<<16))}, nil, "it has no boot sector"},
		{"no loader", qemuPlatform, matrix.Settings{Disk: write(t, osvImage("/hello")[:osvLoaderAt])}, nil, "where OSv's images have their loader"},
		{"no end of the command line", qemuPlatform, matrix.Settings{Disk: write(t, osvImage(strings.Repeat("x", osvCmdlineRoom)))}, nil, "no command line ends"},
		{"no such disk", qemuPlatform, matrix.Settings{Disk: filepath.Join(t.TempDir(), "none")}, os.ErrNotExist, "disk"},
	} {
		_, err := o.Prepare(t.Context(), want(Hello, tt.platform, tt.settings))
		if err == nil || tt.kind != nil && !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// FuzzOSvDisk: no disk makes it panic.
func FuzzOSvDisk(f *testing.F) {
	f.Add(osvImage("/hello"))
	f.Add([]byte{})
	path := filepath.Join(f.TempDir(), "disk")
	f.Fuzz(func(t *testing.T, disk []byte) {
		if err := os.WriteFile(path, disk, 0o600); err != nil {
			t.Fatal(err)
		}
		if d, err := openOSvDisk(Disk{Path: path, Format: diskFormat(path)}); err == nil && (len(d.segments) < 3 || len(d.segments) > maxSegments) {
			t.Errorf("%d segments", len(d.segments))
		}
	})
}
