// SPDX-License-Identifier: Apache-2.0

package network

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ukprobe/ukprobe/internal/toomany"
)

const (
	// mostHeard bounds the addresses that are kept of one guest.
	mostHeard = 4
	// seekTime is how long a guest may take to answer an ARP request.
	seekTime = 100 * time.Millisecond
)

// Heard is what a guest said of its address.
type Heard struct {
	Own   bool         // it named the address that it was given
	Other []netip.Addr // others that it named, in their order; of many the first four
	Asked bool         // it asked for an address by DHCP
}

// Ear listens to what one guest says of its own address: the sender in its ARP
// frames, and whether it asks by DHCP. It is for the reason why a guest does not
// answer. It hears what reaches the bridge itself, which ARP requests do, and nothing
// else: no other frame of the guest passes it.
type Ear struct {
	guest Guest
	arp   *os.File
	dhcp  net.PacketConn
	lab   *Lab
	done  sync.WaitGroup

	mu    sync.Mutex
	heard Heard
}

// Listen begins to listen to a guest of the lab.
func (l *Lab) Listen(g Guest) (*Ear, error) {
	e := &Ear{guest: g, lab: l}
	if err := l.Do(e.open); err != nil {
		return nil, errors.Join(fmt.Errorf("listen to guest %s: %w", g.Name, err), e.closeSockets())
	}
	e.done.Go(e.hearARP)
	e.done.Go(e.hearDHCP)
	return e, nil
}

// open opens the sockets, in the lab's namespace. That for DHCP takes what is sent to
// all only, beside any server's.
func (e *Ear) open() error {
	proto := htons(unix.ETH_P_ARP)
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, int(proto))
	if err != nil {
		return fmt.Errorf("packet socket: %w: %s", err, toomany.Advice(err, "run as root (CAP_NET_RAW); the kernel needs CONFIG_PACKET"))
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: proto, Ifindex: e.lab.BridgeIfindex}); err != nil {
		return errors.Join(fmt.Errorf("bind the packet socket to %s: %w", e.lab.Bridge, err), unix.Close(fd))
	}
	e.arp = os.NewFile(uintptr(fd), "arp on "+e.lab.Bridge)
	c := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		control := raw.Control(func(fd uintptr) {
			err = errors.Join(unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 1),
				unix.BindToDevice(int(fd), e.lab.Bridge))
		})
		return errors.Join(control, err)
	}}
	e.dhcp, err = c.ListenPacket(context.Background(), "udp4", "255.255.255.255:67")
	return err
}

func htons(v uint16) uint16 { return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v)) }

// Heard is what was heard until now.
func (e *Ear) Heard() Heard {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := e.heard
	out.Other = slices.Clone(out.Other)
	return out
}

// Close ends the listening.
func (e *Ear) Close() error {
	err := e.closeSockets()
	e.done.Wait()
	return err
}

func (e *Ear) closeSockets() error {
	var errs []error
	if e.arp != nil {
		errs = append(errs, e.arp.Close())
	}
	if e.dhcp != nil {
		errs = append(errs, e.dhcp.Close())
	}
	return errors.Join(errs...)
}

func (e *Ear) hearARP() {
	var buf [64]byte
	for {
		n, err := e.arp.Read(buf[:])
		if errors.Is(err, unix.ENETDOWN) {
			continue
		}
		if err != nil {
			return
		}
		if mac, ip, ok := arpSender(buf[:n]); ok && slices.Equal(mac, e.guest.MAC) {
			e.named(ip)
		}
	}
}

// named notes an address that the guest calls its own. 0.0.0.0 is none: with it a
// guest asks whether an address is free (RFC 5227).
func (e *Ear) named(ip netip.Addr) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case ip == e.guest.IP:
		e.heard.Own = true
	case ip.IsUnspecified() || slices.Contains(e.heard.Other, ip) || len(e.heard.Other) == mostHeard:
	default:
		e.heard.Other = append(e.heard.Other, ip)
	}
}

func (e *Ear) hearDHCP() {
	buf := make([]byte, 1500)
	for {
		n, _, err := e.dhcp.ReadFrom(buf)
		if err != nil {
			return
		}
		if mac, ok := dhcpClient(buf[:n]); ok && slices.Equal(mac, e.guest.MAC) {
			e.mu.Lock()
			e.heard.Asked = true
			e.mu.Unlock()
		}
	}
}

// The parts of an ARP frame for IPv4 on Ethernet (RFC 826).
const (
	arpLen       = 28
	arpRequest   = 1
	arpSenderMAC = 8
	arpSenderIP  = 14
	arpTargetIP  = 24
)

// arpHead is what such a frame begins with, up to its operation.
var arpHead = []byte{0, 1, 8, 0, 6, 4}

// arpSender returns who sent an ARP frame.
func arpSender(frame []byte) (mac net.HardwareAddr, ip netip.Addr, ok bool) {
	if len(frame) < arpLen || !slices.Equal(frame[:len(arpHead)], arpHead) {
		return nil, netip.Addr{}, false
	}
	return net.HardwareAddr(frame[arpSenderMAC : arpSenderMAC+6]), netip.AddrFrom4([4]byte(frame[arpSenderIP : arpSenderIP+4])), true
}

// dhcpClient returns which client a DHCP message is from (RFC 2131, section 2): an
// Ethernet address of 6 bytes, 28 bytes into a request.
func dhcpClient(message []byte) (net.HardwareAddr, bool) {
	const request, ethernet, chaddr = 1, 1, 28
	if len(message) < chaddr+6 || message[0] != request || message[1] != ethernet || message[2] != 6 {
		return nil, false
	}
	return net.HardwareAddr(message[chaddr : chaddr+6]), true
}

// Seek asks the guest itself, by its MAC address, whether it has one of these
// addresses, for those that never say so by themselves. It takes a tenth of a second,
// and is for a guest that is no longer measured: it sends frames.
func (e *Ear) Seek(ips []netip.Addr) error {
	to := &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ARP), Ifindex: e.lab.BridgeIfindex, Halen: 6}
	copy(to.Addr[:], e.guest.MAC)
	raw, err := e.arp.SyscallConn()
	if err != nil {
		return err
	}
	for _, ip := range ips {
		frame := arpQuestion(ip)
		var sendErr error
		if err := raw.Control(func(fd uintptr) { sendErr = unix.Sendto(int(fd), frame, 0, to) }); err != nil || sendErr != nil {
			return fmt.Errorf("ask guest %s for %s: %w", e.guest.Name, ip, errors.Join(err, sendErr))
		}
	}
	time.Sleep(seekTime)
	return nil
}

// arpQuestion asks who has an address, for nobody's (an ARP probe, RFC 5227): a guest
// whose own network does not hold the lab's answers that, too.
func arpQuestion(ip netip.Addr) []byte {
	out := make([]byte, arpLen)
	copy(out, arpHead)
	out[7] = arpRequest
	copy(out[arpSenderMAC:], macOf(gateway))
	a := ip.As4()
	copy(out[arpTargetIP:], a[:])
	return out
}
