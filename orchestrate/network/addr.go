// SPDX-License-Identifier: Apache-2.0

package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
)

const (
	// prefixBits is the length of the laboratory's one prefix.
	prefixBits = 24
	// firstHost is the last octet of guest 0; the gateway has 1.
	firstHost = 2
	// MaxGuests is how many addresses there are, .2 to .254.
	MaxGuests = 253
)

// gateway is the bridge's address, in the block of RFC 2544 (198.18.0.0/15).
var gateway = netip.AddrFrom4([4]byte{198, 18, 0, 1})

// ErrNoAddress says that all 253 guest addresses of a lab are taken.
var ErrNoAddress = errors.New("all 253 guest addresses of the lab are in use")

// guestIP is the address of guest n, counted from 0.
func guestIP(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{198, 18, 0, byte(firstHost + n)})
}

// macOf makes the MAC of a guest's interface from its address: 52:54:00 (a
// locally administered prefix, QEMU's habit) and the address's last three bytes.
func macOf(ip netip.Addr) net.HardwareAddr {
	a := ip.As4()
	return net.HardwareAddr{0x52, 0x54, 0x00, a[1], a[2], a[3]}
}

// hostMAC is the MAC of the host's end of the wire to ip. It has to differ from
// the guest's, or the bridge takes the guest's frames for its own.
func hostMAC(ip netip.Addr) net.HardwareAddr {
	mac := macOf(ip)
	mac[0] = 0xfe
	return mac
}

// pool hands out guest numbers, lowest free first.
type pool struct {
	mu   sync.Mutex
	used [MaxGuests]bool
}

func (p *pool) take() (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n, used := range p.used {
		if !used {
			p.used[n] = true
			return n, nil
		}
	}
	return 0, ErrNoAddress
}

func (p *pool) release(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used[n] = false
}

// Guest is what both kinds of wire have in common: the host's end and what the
// guest at the other end has to be told.
type Guest struct {
	Name    string           // the host's end, on the lab's bridge
	Ifindex int              // of the host's end; unique only within the lab's namespace (Lab.Inum)
	MAC     net.HardwareAddr // the guest's
	IP      netip.Addr       // the guest's

	n int
}

// First describes the guest at a lab's first wire, before there is one: it has no
// Ifindex. name is the host's end.
func First(name string) Guest {
	ip := guestIP(0)
	return Guest{Name: name, MAC: macOf(ip), IP: ip}
}

// Prefix is the guest's address with the length of its network.
func (g Guest) Prefix() netip.Prefix { return netip.PrefixFrom(g.IP, prefixBits) }

// Gateway is the bridge's address, where the client is. Nothing is routed on.
func (g Guest) Gateway() netip.Addr { return gateway }

// checkIfname holds a name against the kernel's dev_valid_name() and against
// '%', which it takes for a template.
func checkIfname(name string) error {
	if name == "" || len(name) > 15 || name == "." || name == ".." || strings.ContainsAny(name, "/: %\t\n\v\f\r") {
		return fmt.Errorf("interface name %q: want 1 to 15 characters without blanks, '/', ':' and '%%'", name)
	}
	return nil
}
