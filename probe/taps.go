// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Tap is a tap device that a process has open, where it is now. Close it: it holds
// on to the namespace.
type Tap struct {
	Name    string
	Ifindex int
	NetNS   uint64 // its network namespace: the inode number of /proc/PID/ns/net there
	Queues  int    // descriptors on it, more than one with multiqueue
	ns      *os.File
}

// TapsOf finds the taps that a VMM has open, by name and namespace in that order.
// With vhost-net QEMU keeps the tap open too. None is no error; macvtap and a tun
// that is not Ethernet are not found.
//
// The namespace is the device's, which need not be the process's: management
// software opens the tap and hands it over. Asking the device takes Linux 5.6 and
// CAP_SYS_PTRACE; without, a device of that name in the process's own namespace is
// taken for it.
func TapsOf(pid int) ([]Tap, error) {
	process, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, fmt.Errorf("find the taps of process %d: %w", pid, err)
	}
	defer func() { _ = unix.Close(process) }()
	names, err := tapDescriptors(pid)
	if err != nil {
		return nil, fmt.Errorf("find the taps of process %d: %w%s", pid, err, privilegeHint(err))
	}
	var taps []Tap
	for fd, name := range names {
		tap, err := openTap(pid, process, fd, name)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("find the tap %s of process %d: %w%s", name, pid, err, privilegeHint(err)), closeTaps(taps))
		}
		if tap.ns == nil {
			continue // gone by now, or no tap
		}
		same := func(o Tap) bool { return o.NetNS == tap.NetNS && o.Ifindex == tap.Ifindex }
		if i := slices.IndexFunc(taps, same); i >= 0 {
			taps[i].Queues++
			_ = tap.Close()
			continue
		}
		taps = append(taps, tap)
	}
	slices.SortFunc(taps, func(a, b Tap) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), cmp.Compare(a.NetNS, b.NetNS))
	})
	// If the process is alive, its number stood for no other meanwhile.
	if err := unix.PidfdSendSignal(process, 0, nil, 0); errors.Is(err, unix.ESRCH) {
		return nil, errors.Join(fmt.Errorf("find the taps of process %d: it has ended", pid), closeTaps(taps))
	}
	return taps, nil
}

// tapDescriptors lists a process's descriptors of /dev/net/tun, however that is
// called in its root folder, with the name of the device.
func tapDescriptors(pid int) (map[int]string, error) {
	dir := filepath.Join("/proc", strconv.Itoa(pid), "fdinfo")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	out := map[int]string{}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			continue // closed by now
		}
		fd, err := strconv.Atoi(e.Name())
		if name := tapName(string(text)); err == nil && name != "" {
			out[fd] = name
		}
	}
	return out, nil
}

// tapName finds the line "iff:" that the tun driver adds to a descriptor's fdinfo,
// empty until the descriptor has a device.
func tapName(fdinfo string) string {
	for line := range strings.Lines(fdinfo) {
		if name, ok := strings.CutPrefix(line, "iff:"); ok {
			return strings.TrimSpace(name)
		}
	}
	return ""
}

// openTap finds the device. A zero Tap: it is not there.
func openTap(pid, process, fd int, name string) (Tap, error) {
	ns, err := tapNamespace(pid, process, fd)
	if err != nil {
		return Tap{}, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(ns.Fd()), &st); err != nil {
		return Tap{}, errors.Join(fmt.Errorf("stat its network namespace: %w", err), ns.Close())
	}
	tap := Tap{Name: name, NetNS: st.Ino, Queues: 1, ns: ns}
	err = tap.Do(func() error {
		l, err := netlink.LinkByName(name)
		if tun, ok := l.(*netlink.Tuntap); err == nil && ok && tun.Mode == netlink.TUNTAP_MODE_TAP {
			tap.Ifindex = l.Attrs().Index
		}
		if errors.As(err, new(netlink.LinkNotFoundError)) {
			return nil
		}
		return err
	})
	if err != nil || tap.Ifindex == 0 {
		return Tap{}, errors.Join(err, ns.Close())
	}
	return tap, nil
}

// tapNamespace opens the network namespace of the device behind a descriptor.
func tapNamespace(pid, process, fd int) (*os.File, error) {
	path := fmt.Sprintf("/proc/%d/ns/net", pid)
	tun, err := unix.PidfdGetfd(process, fd, 0)
	if err != nil {
		return os.Open(path)
	}
	defer func() { _ = unix.Close(tun) }()
	ns, err := unix.IoctlRetInt(tun, unix.TUNGETDEVNETNS)
	if err != nil {
		return os.Open(path)
	}
	return os.NewFile(uintptr(ns), path), nil
}

// Do runs fn on a thread that is in the tap's network namespace, as WatchDevice
// needs it.
func (t *Tap) Do(fn func() error) error {
	if err := doInNetNS(t.ns, fn); err != nil {
		return fmt.Errorf("tap %s: %w", t.Name, err)
	}
	return nil
}

// doInNetNS runs fn on a thread of its own in that network namespace.
func doInNetNS(ns *os.File, fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this function
		err := errors.New("the function has ended its goroutine")
		defer func() { done <- err }()
		if e := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); e != nil {
			err = fmt.Errorf("enter its network namespace: %w%s", e, privilegeHint(e))
			return
		}
		err = fn()
	}()
	return <-done
}

// Close lets go of the namespace.
func (t *Tap) Close() error { return t.ns.Close() }

func closeTaps(taps []Tap) error {
	var errs []error
	for i := range taps {
		errs = append(errs, taps[i].Close())
	}
	return errors.Join(errs...)
}
