// SPDX-License-Identifier: Apache-2.0

package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"

	"github.com/ukprobe/ukprobe/orchestrate/journal"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// bridgeName is the one bridge of a lab.
const bridgeName = "ukbr0"

// Lab is one run's network: a namespace, /run/netns/ukprobe-<runID>, with the
// bridge ukbr0 (198.18.0.1/24) in it. Its methods may be called from several
// goroutines.
type Lab struct {
	Bridge        string // the bridge's name
	BridgeIfindex int

	journal *journal.Journal
	ns      *namespace
	dir     *journal.Entry // /run/netns, when this run had to prepare it
	addrs   pool

	mu    sync.Mutex
	veths map[*Veth]struct{}
}

// NewLab makes the namespace and the bridge. It needs root. A namespace of that
// name that is already there is an error that points to `ukprobe clean`.
func NewLab(j *journal.Journal, runID string) (*Lab, error) {
	l := &Lab{Bridge: bridgeName, journal: j, veths: map[*Veth]struct{}{}}
	err := withDirLock(func() (err error) {
		if l.dir, err = prepareDir(j); err == nil {
			l.ns, err = newNamespace(j, nsPrefix+runID)
		}
		return err
	})
	if err == nil {
		err = l.Do(l.setUp)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make lab network: %w", err), l.Close())
	}
	return l, nil
}

// setUp runs inside the new namespace.
func (l *Lab) setUp() error {
	if err := quiet(); err != nil {
		return err
	}
	if err := upLoopback(); err != nil {
		return err
	}
	snooping := false
	attrs := netlink.NewLinkAttrs()
	attrs.Name = l.Bridge
	attrs.HardwareAddr = macOf(gateway) // set, so that it does not follow the ports'
	bridge := &netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &snooping}
	if err := netlink.LinkAdd(bridge); err != nil {
		return fmt.Errorf("add bridge %s: %w: the kernel needs CONFIG_BRIDGE (modprobe bridge)", l.Bridge, err)
	}
	l.BridgeIfindex = bridge.Index
	if err := bridgeTimers(l.BridgeIfindex); err != nil {
		return fmt.Errorf("bridge %s: stp off, forward delay 0: %w", l.Bridge, err)
	}
	return address(bridge, gateway)
}

// bridgeTimers turns STP off and sets the forward delay to 0, which the netlink
// library has no fields for: a port forwards as soon as it has a carrier.
func bridgeTimers(ifindex int) error {
	req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_ACK)
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(ifindex)
	req.AddData(msg)
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("bridge"))
	data := info.AddRtAttr(nl.IFLA_INFO_DATA, nil)
	data.AddRtAttr(nl.IFLA_BR_STP_STATE, nl.Uint32Attr(0))
	data.AddRtAttr(nl.IFLA_BR_FORWARD_DELAY, nl.Uint32Attr(0))
	req.AddData(info)
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

// address gives link its address in the lab's prefix and sets it up.
func address(link netlink.Link, ip netip.Addr) error {
	name := link.Attrs().Name
	addr, err := netlink.ParseAddr(netip.PrefixFrom(ip, prefixBits).String())
	if err != nil {
		return err
	}
	if err := netlink.AddrAdd(link, addr); err != nil {
		return fmt.Errorf("address %s on %s: %w", ip, name, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("set %s up: %w", name, err)
	}
	return nil
}

func upLoopback() error {
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	return nil
}

// quiet sets this thread's namespace so that one sample does not disturb
// another: no IPv6, so no router solicitations and multicast reports, and no
// TCP metrics remembered per guest address. /proc/sys/net always shows the
// reading thread's own namespace. A kernel without IPv6 lacks the files.
func quiet() error {
	for file, value := range map[string]string{
		"ipv6/conf/all/disable_ipv6":     "1",
		"ipv6/conf/default/disable_ipv6": "1",
		"ipv4/tcp_no_metrics_save":       "1",
	} {
		if err := sysctl(file, value); err != nil {
			return err
		}
	}
	return nil
}

func sysctl(file, value string) error {
	err := os.WriteFile("/proc/sys/net/"+file, []byte(value), 0)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("sysctl in the lab's namespace: %w: is /proc/sys writable?", err)
	}
	return nil
}

// Name is the namespace's name as `ip netns` shows it.
func (l *Lab) Name() string { return l.ns.name }

// Inum is the namespace's inode number, by which BPF programs know it
// (net->ns.inum).
func (l *Lab) Inum() uint64 { return l.ns.inum }

// Gateway is the bridge's address with the length of its prefix.
func (l *Lab) Gateway() netip.Prefix { return netip.PrefixFrom(gateway, prefixBits) }

// Do runs fn inside the lab's namespace, on a locked OS thread, so that sockets
// opened and children started by fn are born there. Goroutines that fn starts
// are not inside. It returns fn's error as it is.
func (l *Lab) Do(fn func() error) error { return do(l.ns.handle, fn) }

// Close removes the namespaces of every Veth still open and the lab's own with
// all in it. When a process still holds one, the error wraps ErrInUse and names
// it; Close may then be called again.
func (l *Lab) Close() error {
	l.mu.Lock()
	var open []*Veth
	for v := range l.veths {
		open = append(open, v)
	}
	l.mu.Unlock()
	var errs []error
	for _, v := range open {
		errs = append(errs, v.Close())
	}
	if l.ns != nil {
		errs = append(errs, l.ns.remove(l.journal))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if l.dir == nil {
		return nil
	}
	e := *l.dir
	l.dir = nil
	return errors.Join(UndoNetNSDir(context.Background(), e), l.journal.Forget(e))
}
