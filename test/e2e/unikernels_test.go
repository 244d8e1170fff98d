// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
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

// hermitCoreGuest is the whole of a guest for HermitCore's VMM, at 8 MiB, entered in
// 64-bit mode behind a page that the VMM fills: a look at the address that it has put
// at 0xb0, a write hypercall (port 0x499) and an exit hypercall (0x503), by
// hermitux-kernel's tools/uhyve-syscalls.h.
var hermitCoreGuest = []byte{
	0xba, 0x99, 0x04, 0x00, 0x00, // mov $0x499, %edx
	0xb8, 0x2b, 0x10, 0x80, 0x00, // mov $right, %eax
	0x81, 0x3c, 0x25, 0xb0, 0x00, 0x80, 0x00, 198, 18, 0, 2, // cmpl 198.18.0.2, 0x8000b0
	0x74, 0x05, // je 1f
	0xb8, 0x43, 0x10, 0x80, 0x00, // mov $wrong, %eax
	0xef,                         // 1: out %eax, %dx
	0xba, 0x03, 0x05, 0x00, 0x00, // mov $0x503, %edx
	0xb8, 0x5b, 0x10, 0x80, 0x00, // mov $status, %eax
	0xef,             // out %eax, %dx
	0xf4, 0xeb, 0xfd, // hlt, again
	// right: file descriptor 1, address, length, result
	1, 0, 0, 0, 0x5f, 0x10, 0x80, 0, 0, 0, 0, 0, 23, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	// wrong
	1, 0, 0, 0, 0x76, 0x10, 0x80, 0, 0, 0, 0, 0, 27, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	0, 0, 0, 0, // status
}

const hermitCoreText = "hello from 198.18.0.2\r\nnot told the right address\n"

// hermitELF is an ELF file with one segment.
func hermitELF(t *testing.T, abi byte, at uint64, entry int, content []byte) string {
	t.Helper()
	const offset = 4096
	h := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: 1, Entry: at + uint64(entry), Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1, Shentsize: 64}
	copy(h.Ident[:], elf.ELFMAG)
	h.Ident[elf.EI_CLASS], h.Ident[elf.EI_DATA], h.Ident[elf.EI_VERSION], h.Ident[elf.EI_OSABI] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1, abi
	var b bytes.Buffer
	for _, part := range []any{h, elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Off: offset, Vaddr: at, Paddr: at, Filesz: uint64(len(content)), Memsz: 1 << 16}} {
		if err := binary.Write(&b, binary.LittleEndian, part); err != nil {
			t.Fatal(err)
		}
	}
	b.Write(make([]byte, offset-b.Len()))
	b.Write(content)
	return write(t, "hermit.elf", b.String())
}

// HermiTux' own VMM takes ukprobe's variables: it makes the VM, attaches the tap and
// tells the guest its address.
func TestHermiTuxProxy(t *testing.T) {
	needRoot(t)
	needKVM(t)
	proxy, err := os.ReadFile(unikernel(t, "hermitux/proxy"))
	if err != nil {
		t.Fatal(err)
	}
	kernel := hermitELF(t, 0xff, 8<<20, 4096, append(append(make([]byte, 4096), hermitCoreGuest...), hermitCoreText...))
	if err := os.WriteFile(filepath.Join(filepath.Dir(kernel), "proxy"), proxy, 0o755); err != nil {
		t.Fatal(err)
	}
	program := hermitELF(t, 0, 4<<20, 0, []byte("not reached"))
	c := newRun(t, "--matrix", matrix(t, "system: hermitux, app: hello, platform: uhyve, accel: kvm, kernel: "+kernel+", initrd: "+program))
	s := c.start().wait(patience(time.Minute)).want(0).cell(1).Samples[0]
	checkOK(t, c.file(), s)
	checkOrder(t, s, results.EventVMMExec, results.EventVMCreated, results.EventVCPUCreated, results.EventFirstRun, results.EventConsoleReady)
}
