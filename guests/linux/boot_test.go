// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// bootTimeout is long: the machine may be busy, and TCG is slow.
const bootTimeout = 60 * time.Second

// The addresses are of RFC 2544's range for benchmarks.
const (
	hostAddress  = "198.18.0.1"
	guestAddress = "198.18.0.2"
	tapName      = "uktap0"
)

// microVM is an app's kernel and initramfs.
type microVM struct {
	kernel    Kernel
	initramfs Initramfs
}

func build(t *testing.T, app string) microVM {
	t.Helper()
	need(t, "qemu-system-x86_64")
	b := treeBuilder(t)
	kernel, err := b.Kernel(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	initramfs, err := b.Initramfs(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	return microVM{kernel, initramfs}
}

// nic are QEMU's arguments for a virtio network card behind the tap.
var nic = []string{
	"-netdev", "tap,id=n0,ifname=" + tapName + ",script=no,downscript=no",
	"-device", "virtio-net-pci,netdev=n0,romfile=",
}

// boot starts the microVM under TCG on QEMU's pc, with the words added to its
// command line and the further arguments to QEMU's.
func (m microVM) boot(t *testing.T, words []string, more ...string) *running {
	t.Helper()
	args := []string{
		"-machine", "pc,accel=tcg", "-cpu", "max", "-m", "256", "-nodefaults", "-no-user-config",
		"-display", "none", "-serial", "stdio", "-no-reboot",
		"-kernel", m.kernel.Path, "-initrd", m.initramfs.Path, "-append", CommandLine(words...),
	}
	return start(t, exec.Command("qemu-system-x86_64", append(args, more...)...))
}

// withTap moves the test into a namespace with a tap and returns the ip= word
// of a guest behind it.
func withTap(t *testing.T) string {
	t.Helper()
	ownNamespace(t)
	attrs := netlink.NewLinkAttrs()
	attrs.Name = tapName
	addLink(t, &netlink.Tuntap{LinkAttrs: attrs, Mode: netlink.TUNTAP_MODE_TAP}, hostAddress+"/24")
	word, err := IPWord(netip.MustParsePrefix(guestAddress+"/24"), netip.MustParseAddr(hostAddress))
	if err != nil {
		t.Fatal(err)
	}
	return word
}

func TestHelloBootsAndIdles(t *testing.T) {
	image := build(t, "hello")
	word := withTap(t)
	vm := image.boot(t, []string{word}, nic...)
	at := vm.expect(t, ReadyLine("hello"))
	t.Logf("ready after %.2f s", at.Seconds())

	// It is in the network: its kernel answers ARP and refuses the port.
	if conn, err := net.DialTimeout("tcp4", guestAddress+":80", bootTimeout); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("connect to the guest: %v, %v; want connection refused", conn, err)
	}
	// The vCPU halts: QEMU needs next to no CPU time.
	const window = time.Second
	before := cpuTime(t, vm.cmd.Process.Pid)
	time.Sleep(window)
	if used := cpuTime(t, vm.cmd.Process.Pid) - before; used > window/4 {
		t.Errorf("QEMU used %s of CPU time in %s after the ready line: the guest does not halt", used, window)
	}
}

// cpuTime returns the CPU time that a process has used, from /proc/PID/stat.
func cpuTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	// After the name in parentheses, utime and stime are fields 12 and 13 (proc(5)
	// counts from 1, with pid and name before them).
	_, rest, _ := strings.Cut(string(data), ") ")
	fields := strings.Fields(rest)
	var ticks int
	for _, f := range fields[11:13] {
		n, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	const perSecond = 100 // USER_HZ on x86
	return time.Duration(ticks) * time.Second / perSecond
}

func TestHelloEnds(t *testing.T) {
	for _, end := range []string{"reboot", "poweroff"} {
		t.Run(end, func(t *testing.T) {
			vm := build(t, "hello").boot(t, []string{"ukprobe.end=" + end})
			ready := vm.expect(t, ReadyLine("hello"))
			t.Logf("ready after %.2f s, ended after %.2f s", ready.Seconds(), vm.expectEnd(t).Seconds())
		})
	}
}

func TestInitFailsClearly(t *testing.T) {
	vm := build(t, "hello").boot(t, []string{"ip=198.18.0.2:::255.255.255.0::eth0:off"})
	vm.expect(t, "ukprobe-init: FAILED: no network interface eth0: ip= needs a virtio-net device in the VMM's command line")
	vm.expectEnd(t)
}

func TestNginxBoots(t *testing.T) {
	image := build(t, "nginx")
	version := nginxVersion(t)
	word := withTap(t)
	vm := image.boot(t, []string{word}, nic...)
	body, at := vm.get(t, guestAddress+":80", version)
	t.Logf("first response after %.2f s", at.Seconds())
	checkPage(t, body)
}

// checkPage checks that an answer's body is the page of 612 bytes.
func checkPage(t *testing.T, body string) {
	t.Helper()
	page, err := file("index.html")
	if err != nil {
		t.Fatal(err)
	}
	const publishedBytes = 612
	if len(body) != publishedBytes || body != string(page) {
		t.Errorf("the page has %d bytes, want the %d of index.html:\n%s", len(body), publishedBytes, body)
	}
}

// nginxVersion returns the upstream version of the package, 1.22.1 of 1.22.1-9.
func nginxVersion(t *testing.T) string { return upstreamVersion(t, "nginx") }

// upstreamVersion returns the version of a package without its epoch and without
// Debian's part.
func upstreamVersion(t *testing.T, name string) string {
	t.Helper()
	pkgs, err := treeBuilder(t).cache().Download(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	_, version, epoch := strings.Cut(pkgs[0].Version, ":")
	if !epoch {
		version = pkgs[0].Version
	}
	version, _, _ = strings.Cut(version, "-")
	return version
}

// answers returns, for each service but nginx, a check of what it says first.
func answers(t *testing.T) map[string]func(string) bool {
	memcached, mariadb := upstreamVersion(t, "memcached"), upstreamVersion(t, "mariadb-server-core")
	return map[string]func(string) bool{
		"redis":     func(line string) bool { return line == "+PONG" },
		"memcached": func(line string) bool { return line == "VERSION "+memcached },
		// A packet of protocol 10 with the server's version, which begins as if it were
		// MySQL 5.5.5: the length, here below 256, and number 0 come before it.
		"mysql": func(greeting string) bool {
			return len(greeting) > 5 && strings.HasPrefix(greeting[1:], "\x00\x00\x00\n5.5.5-"+mariadb+"-MariaDB")
		},
	}
}

func TestServicesBoot(t *testing.T) {
	checks := answers(t)
	for _, app := range slices.Sorted(maps.Keys(checks)) {
		t.Run(app, func(t *testing.T) {
			image := build(t, app)
			word := withTap(t)
			vm := image.boot(t, []string{word}, nic...)
			line, at := vm.answer(t, fmt.Sprintf("%s:%d", guestAddress, Port(app)), Request(app))
			t.Logf("%q after %.2f s, initramfs of %d bytes", line, at.Seconds(), image.initramfs.Size)
			if !checks[app](line) {
				t.Errorf("%s answered %q to %q; it printed:\n%s", app, line, Request(app), vm.printed())
			}
		})
	}
}

// TestSQLiteBoots needs no network card; it ends by itself, and the guest as told.
func TestSQLiteBoots(t *testing.T) {
	vm := build(t, "sqlite").boot(t, []string{"ukprobe.end=reboot"})
	ready := vm.expect(t, ReadyLine("sqlite"))
	t.Logf("ready after %.2f s, ended after %.2f s", ready.Seconds(), vm.expectEnd(t).Seconds())
}
