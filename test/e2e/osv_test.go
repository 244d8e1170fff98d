// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"crypto/sha256"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ukprobe/ukprobe/results"
)

// osvCells are OSv's own hello and unmodified programs of Debian, told by QEMU what
// to do (a kernel is named) or by the disk that they boot from.
var osvCells = []struct {
	name, kernel, disk, cell string
	cmdline                  string // of the guest, whole
	service                  bool
}{
	{name: "hello by PVH", kernel: "loader.elf", disk: "hello.raw", cell: "app: hello, platform: qemu",
		cmdline: "--rootfs=rofs /hello"},
	{name: "hello by PVH, a disk without a kernel", kernel: "loader.elf", disk: "hello-disk.raw", cell: "app: hello, platform: qemu, args: --rootfs=rofs /hello",
		cmdline: "--rootfs=rofs /hello"},
	{name: "hello by PVH, stripped", kernel: "loader-stripped.elf", disk: "usr.img", cell: "app: hello, platform: qemu",
		cmdline: "--rootfs=rofs /hello"},
	{name: "hello from its disk, raw", disk: "hello.raw", cell: "app: hello, platform: qemu"},
	{name: "hello from its disk, qcow2", disk: "usr.img", cell: "app: hello, platform: qemu"},
	{name: "sqlite by PVH", kernel: "loader.elf", disk: "sqlite.raw", cell: "app: sqlite, platform: qemu"},
	{name: "nginx by PVH", kernel: "loader.elf", disk: "nginx.raw", cell: "app: nginx, platform: qemu1nic", service: true,
		cmdline: "--ip=eth0,198.18.0.2,255.255.255.0 --defaultgw=198.18.0.1 --nameserver=198.18.0.1 --rootfs=rofs /nginx -c /etc/nginx.conf"},
	{name: "nginx from its disk", disk: "nginx.raw", cell: "app: nginx, platform: qemu1nic", service: true},
	{name: "nginx from its disk, compressed, with another network's address", disk: "nginx-addressed.img", cell: "app: nginx, platform: qemu1nic", service: true},
	{name: "nginx by DHCP", kernel: "loader.elf", disk: "nginx.raw", cell: "app: nginx, platform: qemu1nic, address: dhcp", service: true,
		cmdline: "--rootfs=rofs /nginx -c /etc/nginx.conf"},
	{name: "redis by PVH", kernel: "loader.elf", disk: "redis.raw", cell: "app: redis, platform: qemu1nic", service: true},
	{name: "memcached by PVH", kernel: "loader.elf", disk: "memcached.raw", cell: "app: memcached, platform: qemu1nic", service: true},
}

// OSv says hello and runs Debian's programs, by both ways to be told what to do. The
// images are not written to.
func TestOSv(t *testing.T) {
	needRoot(t)
	notOnTheKernel(t)
	for _, tt := range osvCells {
		t.Run(tt.name, func(t *testing.T) {
			needProgram(t, "qemu-system-x86_64", "qemu-system-x86")
			disk := unikernel(t, "osv-images/"+tt.disk)
			before := digest(t, disk)
			cell := "system: osv, accel: tcg, disk: " + disk + ", " + tt.cell
			if tt.kernel != "" {
				cell += ", kernel: " + unikernel(t, "osv-images/"+tt.kernel)
			}
			c := newRun(t, "--matrix", matrix(t, cell))
			s := c.start().wait(patience(time.Minute)).want(0).cell(1).Samples[0]
			checkOK(t, c.file(), s)
			if argv := strings.Join(c.cell(1).Argv, " "); !strings.HasSuffix(argv, "-append "+tt.cmdline) && tt.cmdline != "" ||
				(tt.kernel == "") == strings.Contains(argv, "-append") {
				t.Errorf("%s", argv)
			}
			if tt.service {
				checkOrder(t, s, results.EventVMMExec, results.EventConsoleFirst, results.EventSynAck, results.EventFirstResponse)
			} else {
				checkOrder(t, s, results.EventVMMExec, results.EventConsoleFirst, results.EventConsoleReady, results.EventVMMExit)
			}
			if digest(t, disk) != before {
				t.Errorf("%s was written to", disk)
			}
		})
	}
}

// OSv's own claim under TCG is a zero, which is none; a microvm under TCG has no clock
// that OSv knows, and is not started.
func TestOSvClocks(t *testing.T) {
	needRoot(t)
	notOnTheKernel(t)
	needProgram(t, "qemu-system-x86_64", "qemu-system-x86")
	files := ", accel: tcg, kernel: " + unikernel(t, "osv-images/loader.elf") + ", disk: " + unikernel(t, "osv-images/hello.raw")
	t.Run("claim", func(t *testing.T) {
		c := newRun(t, "--matrix", matrix(t, "system: osv, app: hello, platform: qemu, experiment: timing-validation"+files))
		s := c.start().wait(patience(time.Minute)).want(0).cell(1).Samples[0]
		if len(s.Claims) != 1 || s.Claims[0].Text != "Booted up in 0.00 ms" || !strings.Contains(s.Claims[0].Reason, "no clock that turns ticks into time") {
			t.Errorf("%+v", s.Claims)
		}
	})
	t.Run("microvm", func(t *testing.T) {
		c := newRun(t, "--matrix", matrix(t, "system: osv, app: hello, platform: qemumicrovm"+files))
		cell := c.start().wait(patience(time.Minute)).file().Cells[0]
		if cell.Status != results.CellUnsupported || !strings.Contains(cell.Reason, "KVM's clock") || len(cell.Samples) != 0 {
			t.Errorf("%s: %s, %d samples", cell.Status, cell.Reason, len(cell.Samples))
		}
	})
}

// digest is a file's.
func digest(t *testing.T, path string) [32]byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(raw)
}
