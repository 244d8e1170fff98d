// SPDX-License-Identifier: Apache-2.0

package network

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ukprobe/ukprobe/internal/toomany"
)

const (
	tunDevice = "/dev/net/tun"

	// DefaultTxQueueLen is a tap's queue towards the guest, in frames. It is
	// short: while the guest's driver is not up yet every SYN of the client is
	// kept in it, and a guest would have to answer a thousand dead connections
	// (the kernel's default length is 1000) before the live one.
	DefaultTxQueueLen = 16
)

// TapOptions are what may be chosen about a tap; the zero value is good.
type TapOptions struct {
	Name       string           // "" = uktap<n>
	MAC        net.HardwareAddr // the guest's; nil = made from its address
	User       int              // the user and group, by number, that may open it beside root; 0 = nobody
	TxQueueLen int              // frames towards the guest; 0 = DefaultTxQueueLen, good for boots; raise it for throughput
}

// Tap is a persistent tap on the lab's bridge. A VMM started through Lab.Do
// opens it by its name.
type Tap struct {
	Guest
	lab    *Lab
	closed bool
}

// Tap makes a tap with the lowest free guest address, attaches it to the bridge
// and sets it up. It has no carrier until a VMM opens it.
func (l *Lab) Tap(o TapOptions) (*Tap, error) {
	g, err := l.newGuest("uktap", o.Name, o.MAC)
	if err != nil {
		return nil, fmt.Errorf("make tap: %w", err)
	}
	if o.TxQueueLen == 0 {
		o.TxQueueLen = DefaultTxQueueLen
	}
	if err := l.Do(func() error { return l.addTap(&g, o) }); err != nil {
		l.addrs.release(g.n)
		return nil, fmt.Errorf("make tap %s in %s: %w", g.Name, l.ns.name, err)
	}
	return &Tap{Guest: g, lab: l}, nil
}

// newGuest takes an address and settles name and MAC.
func (l *Lab) newGuest(prefix, name string, mac net.HardwareAddr) (Guest, error) {
	n, err := l.addrs.take()
	if err != nil {
		return Guest{}, err
	}
	g := Guest{Name: name, MAC: mac, IP: guestIP(n), n: n}
	if g.Name == "" {
		g.Name = fmt.Sprintf("%s%d", prefix, n)
	}
	if g.MAC == nil {
		g.MAC = macOf(g.IP)
	}
	err = checkIfname(g.Name)
	if len(g.MAC) != 6 || g.MAC[0]&1 != 0 {
		err = errors.Join(err, fmt.Errorf("MAC %q: want six bytes, not a group address", g.MAC))
	}
	if err != nil {
		l.addrs.release(n)
		return Guest{}, err
	}
	return g, nil
}

// addTap runs inside the lab's namespace; on failure no tap is left.
func (l *Lab) addTap(g *Guest, o TapOptions) error {
	if _, err := netlink.LinkByName(g.Name); err == nil {
		return tapBusy(g.Name)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = g.Name
	tap := &netlink.Tuntap{LinkAttrs: attrs, Mode: netlink.TUNTAP_MODE_TAP, Owner: uint32(o.User), Group: uint32(o.User)}
	if err := netlink.LinkAdd(tap); err != nil {
		return tunError(g.Name, err)
	}
	g.Ifindex = tap.Index
	err := netlink.LinkSetHardwareAddr(tap, hostMAC(g.IP))
	if err == nil {
		err = netlink.LinkSetTxQLen(tap, o.TxQueueLen)
	}
	if err == nil {
		err = l.plug(tap, *g)
	}
	if err != nil {
		return errors.Join(err, netlink.LinkDel(tap))
	}
	return nil
}

// tapBusy explains a name that is taken: TUNSETIFF would give EBUSY.
func tapBusy(name string) error {
	if who := tapHolders(name); len(who) > 0 {
		return fmt.Errorf("a tap of that name is already there, held by %s: end it, or choose another name", strings.Join(who, ", "))
	}
	return errors.New("an interface of that name is already there: run `ukprobe clean`, or choose another name")
}

// tunError explains a tap that could not be made. The netlink library keeps an
// ioctl's errno only as text.
func tunError(name string, err error) error {
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return fmt.Errorf("open %s: %w: run `modprobe tun` (the kernel needs CONFIG_TUN)", tunDevice, err)
	case errors.Is(err, os.ErrPermission), strings.Contains(err.Error(), unix.EPERM.Error()):
		return fmt.Errorf("%s: %w: %s", tunDevice, err, toomany.Advice(err, "run as root (CAP_NET_ADMIN)"))
	case strings.Contains(err.Error(), unix.EBUSY.Error()):
		return tapBusy(name)
	}
	return fmt.Errorf("%s: %w", tunDevice, err)
}

// Close removes the tap, also from under a VMM that still has it open, and
// frees its address. It may be called again, and after the lab's Close.
func (t *Tap) Close() error {
	if t.closed {
		return nil
	}
	if t.lab.ns.handle.IsOpen() {
		if err := t.lab.Do(t.remove); err != nil {
			return fmt.Errorf("remove tap %s: %w", t.Name, err)
		}
	}
	t.closed = true
	t.lab.addrs.release(t.n)
	return nil
}

func (t *Tap) remove() error {
	t.lab.unplug(t.Guest)
	return removeLink(t.Ifindex)
}
