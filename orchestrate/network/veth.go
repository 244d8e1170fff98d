// SPDX-License-Identifier: Apache-2.0

package network

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// peerName is the process's end of a veth pair.
const peerName = "eth0"

// VethOptions are what may be chosen about a veth; the zero value is good.
type VethOptions struct {
	Name string           // the host's end, "" = ukveth<n>
	MAC  net.HardwareAddr // the process's end; nil = made from its address
	Down bool             // leave the process's end down (and the wire without carrier) until Up
}

// Veth is a wire to a namespace for processes, the bare Linux process's stand-in
// for a guest behind a tap: the host's end on the lab's bridge, the other end
// as eth0 in /run/netns/ukprobe-<runID>-<n>.
//
// The kernel's veth defaults stay: segmentation and checksum offload are on, so
// a probe on the host's end may see TCP frames of up to 64 KiB with checksums
// not filled in, where a guest without offloads sends MTU-sized ones. Count
// bytes, not frames, when a process is compared with a guest.
type Veth struct {
	Guest
	lab    *Lab
	ns     *namespace
	closed bool
}

// Veth makes the pair and its namespace with the lowest free guest address.
// Neighbour entries are static both ways.
func (l *Lab) Veth(o VethOptions) (*Veth, error) {
	g, err := l.newGuest("ukveth", o.Name, o.MAC)
	if err != nil {
		return nil, fmt.Errorf("make veth: %w", err)
	}
	v := &Veth{Guest: g, lab: l}
	v.ns, err = newNamespace(l.journal, fmt.Sprintf("%s-%d", l.ns.name, g.n))
	if err != nil {
		l.addrs.release(g.n)
		return nil, fmt.Errorf("make veth %s: %w", g.Name, err)
	}
	l.mu.Lock()
	l.veths[v] = struct{}{}
	l.mu.Unlock()
	err = v.Do(quiet)
	if err == nil {
		err = l.Do(v.addPair)
	}
	if err == nil {
		err = v.Do(func() error { return v.setUpPeer(!o.Down) })
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make veth %s in %s: %w", g.Name, l.ns.name, err), v.Close())
	}
	return v, nil
}

// addPair runs inside the lab's namespace.
func (v *Veth) addPair() error {
	if _, err := netlink.LinkByName(v.Name); err == nil {
		return errors.New("an interface of that name is already there: run `ukprobe clean`, or choose another name")
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = v.Name
	attrs.HardwareAddr = hostMAC(v.IP)
	pair := netlink.NewVeth(attrs)
	pair.PeerName = peerName
	pair.PeerHardwareAddr = v.MAC
	pair.PeerNamespace = netlink.NsFd(v.ns.handle)
	if err := netlink.LinkAdd(pair); err != nil {
		return fmt.Errorf("add veth pair: %w: the kernel needs CONFIG_VETH (modprobe veth)", err)
	}
	v.Ifindex = pair.Index
	return v.lab.plug(pair, v.Guest)
}

// setUpPeer runs inside the process's namespace.
func (v *Veth) setUpPeer(up bool) error {
	if err := upLoopback(); err != nil {
		return err
	}
	if !up {
		return nil
	}
	peer, err := netlink.LinkByName(peerName)
	if err != nil {
		return fmt.Errorf("%s in %s: %w", peerName, v.ns.name, err)
	}
	if err := address(peer, v.IP); err != nil {
		return err
	}
	gw := &netlink.Neigh{
		LinkIndex: peer.Attrs().Index, Family: unix.AF_INET, State: netlink.NUD_PERMANENT,
		IP: gateway.AsSlice(), HardwareAddr: macOf(gateway),
	}
	if err := netlink.NeighSet(gw); err != nil {
		return fmt.Errorf("static neighbour %s: %w", gateway, err)
	}
	return nil
}

// Up sets up the process's end of a veth made with Down.
func (v *Veth) Up() error { return v.Do(func() error { return v.setUpPeer(true) }) }

// MoveTo gives the process's end of a veth made with Down to another process's
// network namespace, a container's, and sets it up there: with its address, a static
// neighbour, without IPv6, and with lo up. Nobody is moved with it: v.Do stays where
// it was. When that namespace goes the pair goes with it, which Close takes as done.
func (v *Veth) MoveTo(pid int) error {
	there, err := netns.GetFromPid(pid)
	if err != nil {
		return fmt.Errorf("network namespace of pid %d: %w", pid, err)
	}
	defer there.Close()
	err = v.Do(func() error {
		peer, err := netlink.LinkByName(peerName)
		if err != nil {
			return err
		}
		return netlink.LinkSetNsFd(peer, int(there))
	})
	if err == nil {
		err = do(there, func() error { return errors.Join(quiet(), v.setUpPeer(true)) })
	}
	if err != nil {
		return fmt.Errorf("move veth %s to the network namespace of pid %d: %w", v.Name, pid, err)
	}
	return nil
}

// NetNS is the name of the process's namespace as `ip netns` shows it.
func (v *Veth) NetNS() string { return v.ns.name }

// Inum is the inode number of the process's namespace.
func (v *Veth) Inum() uint64 { return v.ns.inum }

// Do runs fn inside the process's namespace, like Lab.Do.
func (v *Veth) Do(fn func() error) error { return do(v.ns.handle, fn) }

// Close removes the pair and the process's namespace and frees the address.
// When a process still holds the namespace the error wraps ErrInUse and names
// it; Close may then be called again.
func (v *Veth) Close() error {
	if v.closed {
		return nil
	}
	if v.lab.ns.handle.IsOpen() {
		// The namespace's end takes the pair with it, but only some time later.
		if err := v.lab.Do(v.removePair); err != nil {
			return fmt.Errorf("remove veth %s: %w", v.Name, err)
		}
	}
	if err := v.ns.remove(v.lab.journal); err != nil {
		return fmt.Errorf("remove veth %s: %w", v.Name, err)
	}
	v.closed = true
	v.lab.addrs.release(v.n)
	v.lab.mu.Lock()
	delete(v.lab.veths, v)
	v.lab.mu.Unlock()
	return nil
}

func (v *Veth) removePair() error {
	v.lab.unplug(v.Guest)
	if v.Ifindex == 0 {
		return nil
	}
	return removeLink(v.Ifindex)
}

// removeLink removes the interface of that index. One that is gone is no error, also if
// the kernel takes it away meanwhile, with a container's namespace.
func removeLink(index int) error {
	link, err := netlink.LinkByIndex(index)
	if err == nil {
		err = netlink.LinkDel(link)
	}
	if errors.As(err, new(netlink.LinkNotFoundError)) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}
