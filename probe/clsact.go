// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"errors"
	"fmt"
	"runtime"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// attachClsact puts a filter in each way, on a clsact qdisc that is there already or
// is made. They outlive the process and go with the device.
func (d *Device) attachClsact(progs *tcPrograms) error {
	undo := func(fn func() error) {
		d.undo = append(d.undo, func() error { return d.inside(fn) })
	}
	made, err := d.needClsact()
	if err != nil {
		return err
	}
	if made {
		undo(d.removeClsact)
	}
	for _, a := range []struct {
		prog   *ebpf.Program
		parent uint32
		name   string
	}{{progs.out, netlink.HANDLE_MIN_INGRESS, "ukprobe_out"}, {progs.in, netlink.HANDLE_MIN_EGRESS, "ukprobe_in"}} {
		info, err := a.prog.Info()
		if err != nil {
			return errors.Join(fmt.Errorf("read the kernel's information on BPF program %s: %w", a.name, err), d.detach())
		}
		id, _ := info.ID()
		f := &netlink.BpfFilter{
			// The kernel chooses the handle, and runs the newest of one priority first.
			FilterAttrs:  netlink.FilterAttrs{LinkIndex: int(d.key.Ifindex), Parent: a.parent, Protocol: unix.ETH_P_ALL, Priority: 1},
			Fd:           a.prog.FD(),
			Name:         a.name,
			DirectAction: true,
		}
		if err := netlink.FilterAdd(f); err != nil {
			return errors.Join(fmt.Errorf("add bpf filter %s of priority 1: %w", a.name, err), d.detach())
		}
		undo(func() error { return d.removeFilter(a.parent, id) })
	}
	return nil
}

// inside runs fn in the device's network namespace, wherever the thread is. Entering
// takes CAP_SYS_ADMIN, and is not needed where the thread is inside.
func (d *Device) inside(fn func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	here, inum, err := threadNetNS()
	if err != nil {
		return fmt.Errorf("find the network namespace: %w", err)
	}
	if err := here.Close(); err != nil {
		return err
	}
	if inum == d.key.Netns {
		return fn()
	}
	if err := doInNetNS(d.ns, fn); err != nil {
		return fmt.Errorf("device %d: %w", d.key.Ifindex, err)
	}
	return nil
}

// link is the device in what netlink asks for, in the thread's namespace.
func (d *Device) link() netlink.Link {
	return &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: int(d.key.Ifindex)}}
}

func (d *Device) clsact() *netlink.Clsact {
	return &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: int(d.key.Ifindex), Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT}}
}

// needClsact makes the qdisc, unless there is one. One of kind ingress has the same
// place, and would take the filter for the other direction as well.
func (d *Device) needClsact() (made bool, err error) {
	err = netlink.QdiscAdd(d.clsact())
	if err == nil {
		return true, nil
	}
	if !errors.Is(err, unix.EEXIST) {
		return false, fmt.Errorf("add clsact qdisc: %w", err)
	}
	there, listErr := netlink.QdiscList(d.link())
	if listErr != nil {
		return false, fmt.Errorf("list its qdiscs: %w", listErr)
	}
	if !slices.ContainsFunc(there, func(q netlink.Qdisc) bool { return q.Type() == "clsact" }) {
		return false, fmt.Errorf("add clsact qdisc: %w: the device has one of kind ingress in its place", err)
	}
	return false, nil
}

// removeFilter removes the filter with the program of that id.
func (d *Device) removeFilter(parent uint32, id ebpf.ProgramID) error {
	filters, err := netlink.FilterList(d.link(), parent)
	if err != nil && !gone(err) {
		return fmt.Errorf("list the filters of device %d: %w", d.key.Ifindex, err)
	}
	for _, f := range filters {
		b, ok := f.(*netlink.BpfFilter)
		if !ok || b.Id != int(id) {
			continue
		}
		if err := netlink.FilterDel(b); err != nil && !gone(err) {
			return fmt.Errorf("remove bpf filter %s of device %d: %w", b.Name, d.key.Ifindex, err)
		}
	}
	return nil
}

// removeClsact removes the qdisc that was made, unless others have filters on it by
// now. The kernel cannot do both in one: who adds one in between loses it.
func (d *Device) removeClsact() error {
	for _, parent := range []uint32{netlink.HANDLE_MIN_INGRESS, netlink.HANDLE_MIN_EGRESS} {
		filters, err := netlink.FilterList(d.link(), parent)
		if err != nil && !gone(err) {
			return fmt.Errorf("list the filters of device %d: %w", d.key.Ifindex, err)
		}
		if len(filters) > 0 {
			return nil
		}
	}
	if err := netlink.QdiscDel(d.clsact()); err != nil && !gone(err) {
		return fmt.Errorf("remove clsact qdisc of device %d: %w", d.key.Ifindex, err)
	}
	return nil
}

// gone tells that there is no device, qdisc or filter any more.
func gone(err error) bool {
	return errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT)
}
