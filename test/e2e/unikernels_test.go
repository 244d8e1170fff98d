// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ukprobe/ukprobe/results"
)

// unikernel is a file of the folder of real guests, which are not part of the
// project: docs/verified.md says what belongs there.
func unikernel(t *testing.T, name string) string {
	t.Helper()
	dir := os.Getenv(guestsVariable)
	if dir == "" {
		t.Skipf("NOT TESTED: needs real guests: set %s to a folder with %s in it (docs/verified.md)", guestsVariable, name)
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("NOT TESTED: %v (docs/verified.md says what belongs there)", err)
	}
	return path
}

// unikraftCells are real images of Unikraft, of each way to be told what to do.
var unikraftCells = []struct {
	name, image, cell, cmdline string
	service                    bool
}{
	{name: "hello on pc", image: "hello.qemu", cell: "app: hello, platform: qemu"},
	{name: "hello on microvm", image: "hello.qemu", cell: "app: hello, platform: qemumicrovm"},
	{name: "netdev.ip", image: "nginx.qemu", cell: "app: nginx, platform: qemu1nic", service: true,
		cmdline: `netdev.ip=198.18.0.2/24:198.18.0.1:::: vfs.fstab=[ "initrd0:/:extract::ramfs=1:" ] -- -c /nginx/conf/nginx.conf`},
	{name: "netdev.ipv4_addr", image: "nginx-old.qemu", cell: "app: nginx, platform: qemu1nic", service: true,
		cmdline: "netdev.ipv4_addr=198.18.0.2 netdev.ipv4_gw_addr=198.18.0.1 netdev.ipv4_subnet_mask=255.255.255.0 -- -c /nginx/conf/nginx.conf"},
	{name: "DHCP, today", image: "nginx.qemu", cell: "app: nginx, platform: qemu1nic, address: dhcp", service: true,
		cmdline: `vfs.fstab=[ "initrd0:/:extract::ramfs=1:" ] -- -c /nginx/conf/nginx.conf`},
	{name: "DHCP, old", image: "nginx-old.qemu", cell: "app: nginx, platform: qemu1nic, address: dhcp", service: true,
		cmdline: "-c /nginx/conf/nginx.conf"},
}

// Unikraft says hello and serves pages, with old and new arguments.
func TestUnikraft(t *testing.T) {
	needRoot(t)
	for _, tt := range unikraftCells {
		t.Run(tt.name, func(t *testing.T) {
			needProgram(t, "qemu-system-x86_64", "qemu-system-x86")
			cell := "system: unikraft, accel: tcg, kernel: " + unikernel(t, "unikraft/"+tt.image) + ", " + tt.cell
			if tt.service {
				cell += ", initrd: " + unikernel(t, "unikraft/nginx.cpio")
			}
			c := newRun(t, "--matrix", matrix(t, cell))
			s := c.start().wait(patience(time.Minute)).want(0).cell(1).Samples[0]
			checkOK(t, c.file(), s)
			if argv := strings.Join(c.cell(1).Argv, " "); tt.cmdline != "" && !strings.HasSuffix(argv, "-append "+tt.cmdline) {
				t.Errorf("%s", argv)
			}
			if tt.service {
				checkOrder(t, s, results.EventVMMExec, results.EventSynAck, results.EventFirstResponse)
			} else {
				checkOrder(t, s, results.EventVMMExec, results.EventConsoleReady)
			}
		})
	}
}

// An image for another VMM, and one that cannot be told an address, are not started.
func TestUnikraftUnsupported(t *testing.T) {
	needRoot(t)
	for _, tt := range []struct{ name, image, cell, reason string }{
		{"Firecracker's on QEMU", "hello.firecracker", "app: hello, platform: qemu", "which QEMU does not load"},
		{"QEMU's on Firecracker", "hello.qemu", "app: hello, platform: firecracker, accel: kvm", "which Firecracker does not load"},
		{"no parameters built in", "nginx-dhcp-only.qemu", "app: nginx, platform: qemu1nic", "can only ask for it: set address: dhcp"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newRun(t, "--matrix", matrix(t, "system: unikraft, kernel: "+unikernel(t, "unikraft/"+tt.image)+", "+tt.cell))
			cell := c.start().wait(patience(time.Minute)).file().Cells[0]
			if cell.Status != results.CellUnsupported || !strings.Contains(cell.Reason, tt.reason) || len(cell.Samples) != 0 {
				t.Errorf("%s: %s, %d samples", cell.Status, cell.Reason, len(cell.Samples))
			}
		})
	}
}
