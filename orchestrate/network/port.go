// SPDX-License-Identifier: Apache-2.0

package network

import (
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// plug makes link, in the current namespace, a port of the lab's bridge behind
// which the guest lives, and sets it up. What it adds goes with the link, save
// the neighbour entry.
func (l *Lab) plug(link netlink.Link, g Guest) error {
	if err := sysctl("ipv6/conf/"+g.Name+"/disable_ipv6", "1"); err != nil {
		return err
	}
	if err := netlink.LinkSetMasterByIndex(link, l.BridgeIfindex); err != nil {
		return fmt.Errorf("attach %s to %s: %w", g.Name, l.Bridge, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("set %s up: %w", g.Name, err)
	}
	// The bridge is told the port, so that no frame for this guest is ever
	// flooded to another one's wire.
	fdb := &netlink.Neigh{
		LinkIndex: g.Ifindex, Family: unix.AF_BRIDGE, State: netlink.NUD_NOARP,
		Flags: netlink.NTF_MASTER, HardwareAddr: g.MAC,
	}
	if err := netlink.NeighSet(fdb); err != nil {
		return fmt.Errorf("static bridge entry for %s on %s: %w", g.MAC, g.Name, err)
	}
	if err := netlink.NeighSet(l.neighbour(g)); err != nil {
		return fmt.Errorf("static neighbour %s: %w", g.IP, err)
	}
	return nil
}

// unplug takes the guest's neighbour entry back. It may be gone already.
func (l *Lab) unplug(g Guest) { _ = netlink.NeighDel(l.neighbour(g)) }

func (l *Lab) neighbour(g Guest) *netlink.Neigh {
	return &netlink.Neigh{
		LinkIndex: l.BridgeIfindex, Family: unix.AF_INET, State: netlink.NUD_PERMANENT,
		IP: g.IP.AsSlice(), HardwareAddr: g.MAC,
	}
}
