// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// Word is one word of the kernel's command line.
type Word struct {
	Text   string
	Why    string
	Source string // who else measures or ships Linux guests with it
}

const (
	lupine      = "Lupine's scripts/benchmark_apps.sh"
	kata        = "Kata Containers' src/runtime/virtcontainers/qemu_amd64.go"
	kataBase    = "Kata Containers' src/runtime/virtcontainers/qemu_arch_base.go"
	firecracker = "Firecracker's default and docs/api_requests/actions.md"
)

var words = []Word{
	{"console=ttyS0", "the app's lines on the first serial port", lupine},
	{"quiet", "only the kernel's errors on the console, where every byte costs an exit", kataBase},
	{"panic=-1", "a kernel panic reboots at once", lupine},
	{"reboot=t", "a reboot is a triple fault, at which QEMU with -no-reboot exits on every machine type", "ukprobe"},
	{"ipv6.disable=1", "no frames that the app has not asked for", lupine},
	{"tsc=reliable", "no watchdog over the TSC", lupine + ", " + kata},
	{"no_timer_check", "no test of whether the timer interrupt works", kata},
	{"rcupdate.rcu_expedited=1", "short grace periods of RCU", kata},
	{"i8042.noaux", "no probing for a mouse", firecracker + ", " + kata},
	{"i8042.nomux", "no probing for a multiplexed keyboard controller", firecracker},
	{"i8042.dumbkbd", "no commands to a keyboard", firecracker + ", " + kata},
	{"cryptomgr.notests", "no self-tests of the kernel's ciphers", kata},
	{"pci=lastbus=0", "only PCI bus 0 is looked at", kata},
}

// Words returns the words that every Linux microVM's command line begins
// with. None of them changes what the app is or does once it runs.
func Words() []Word {
	return append([]Word(nil), words...)
}

// CommandLine returns the kernel's command line: Words, then more.
func CommandLine(more ...string) string {
	var line []string
	for _, w := range words {
		line = append(line, w.Text)
	}
	return strings.Join(append(line, more...), " ")
}

// DHCPWord is the word of the command line with which the guest asks for its
// address.
const DHCPWord = "ip=:::::eth0:dhcp"

// IPWord returns the word of the command line that gives the guest its address,
// in the syntax of the kernel's ip= (which our /init reads, as the kernel cannot):
// ip=CLIENT::GATEWAY:NETMASK::eth0:off. The zero gateway means no default route.
func IPWord(client netip.Prefix, gateway netip.Addr) (string, error) {
	if !client.IsValid() || !client.Addr().Is4() {
		return "", fmt.Errorf("address of a Linux guest: %v is not an IPv4 prefix", client)
	}
	gw := ""
	if gateway.IsValid() {
		if !gateway.Is4() || !client.Contains(gateway) {
			return "", fmt.Errorf("gateway of a Linux guest: %v is not an IPv4 address inside %v", gateway, client.Masked())
		}
		gw = gateway.String()
	}
	mask := net.IP(net.CIDRMask(client.Bits(), 32))
	return fmt.Sprintf("ip=%s::%s:%s::eth0:off", client.Addr(), gw, mask), nil
}
