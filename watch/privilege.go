// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// capNames are the capabilities by number (linux/capability.h), as capsh(1)
// writes them.
var capNames = []string{
	"chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap",
	"linux_immutable", "net_bind_service", "net_broadcast", "net_admin", "net_raw", "ipc_lock", "ipc_owner",
	"sys_module", "sys_rawio", "sys_chroot", "sys_ptrace", "sys_pacct", "sys_admin", "sys_boot", "sys_nice",
	"sys_resource", "sys_time", "sys_tty_config", "mknod", "lease", "audit_write", "audit_control", "setfcap",
	"mac_override", "mac_admin", "syslog", "wake_alarm", "block_suspend", "audit_read", "perfmon", "bpf",
	"checkpoint_restore",
}

// Caps is a set of capabilities, a bit each.
type Caps uint64

// CapSet makes a set of unix.CAP_*.
func CapSet(caps ...int) Caps {
	var s Caps
	for _, c := range caps {
		s |= 1 << c
	}
	return s
}

// String lists the names.
func (s Caps) String() string {
	if s == 0 {
		return "none"
	}
	var out []string
	for c := range 64 {
		if s&(1<<c) == 0 {
			continue
		}
		name := "cap_" + strconv.Itoa(c)
		if c < len(capNames) {
			name = "cap_" + capNames[c]
		}
		out = append(out, name)
	}
	return strings.Join(out, ",")
}

// Privileges are what a process may.
type Privileges struct {
	UID  int
	Caps Caps // effective
}

// Drop gives up, for good and for all threads, everything but the capabilities in
// keep, as far as the process has them; no program that it starts gets any back
// (no_new_privs). With a user, it becomes that user. It returns what was had and
// what is left.
//
// It needs a program built without cgo (CGO_ENABLED=0), as ukprobe is: only then
// can Go change every thread.
func Drop(as *user.User, keep Caps) (before, after Privileges, err error) {
	before.UID = os.Geteuid()
	have, err := capabilities()
	if err != nil {
		return before, before, err
	}
	before.Caps = have
	keep &= have
	steps := []func() error{
		func() error { return dropBounding(have, keep) },
		func() error { return become(as) },
		func() error { return setCapabilities(keep) },
		func() error {
			return allThreads("clear the ambient capabilities", unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL)
		},
		func() error {
			return allThreads("set no_new_privs", unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1)
		},
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return before, before, fmt.Errorf("give up privileges: %w", err)
		}
	}
	after.UID = os.Geteuid()
	after.Caps, err = capabilities()
	if err == nil && (after.Caps != keep || as != nil && strconv.Itoa(after.UID) != as.Uid) {
		err = fmt.Errorf("give up privileges: asked for uid %v and %s, got uid %d and %s", as, keep, after.UID, after.Caps)
	}
	return before, after, err
}

// capabilities are those in effect in the calling thread.
func capabilities() (Caps, error) {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return 0, fmt.Errorf("read capabilities: %w", err)
	}
	return Caps(data[0].Effective) | Caps(data[1].Effective)<<32, nil
}

func setCapabilities(keep Caps) error {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	for i := range data {
		half := uint32(keep >> (32 * i))
		data[i].Effective, data[i].Permitted = half, half
	}
	var pin runtime.Pinner // their addresses travel as numbers
	defer pin.Unpin()
	pin.Pin(&hdr)
	pin.Pin(&data[0])
	return allThreads("set capabilities", unix.SYS_CAPSET, uintptr(unsafe.Pointer(&hdr)), uintptr(unsafe.Pointer(&data[0])))
}

// dropBounding takes away what could come back by a program with file
// capabilities. It needs CAP_SETPCAP; without it no_new_privs does the same.
func dropBounding(have, keep Caps) error {
	if have&CapSet(unix.CAP_SETPCAP) == 0 {
		return nil
	}
	for c := range 64 {
		in, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(c), 0, 0, 0)
		// An error: the kernel does not know it.
		if err != nil || in == 0 || keep&(1<<c) != 0 {
			continue
		}
		if err := allThreads("drop from the bounding set", unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, uintptr(c)); err != nil {
			return err
		}
	}
	return nil
}

// become changes the user and its groups; the capabilities stay permitted.
func become(u *user.User) error {
	if u == nil {
		return nil
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if err := allThreads("keep capabilities", unix.SYS_PRCTL, unix.PR_SET_KEEPCAPS, 1); err != nil {
		return err
	}
	if err := syscall.Setgroups([]int{gid}); err != nil {
		return fmt.Errorf("set groups: %w", err)
	}
	if err := syscall.Setresgid(gid, gid, gid); err != nil {
		return fmt.Errorf("become group %d: %w", gid, err)
	}
	if err := syscall.Setresuid(uid, uid, uid); err != nil {
		return fmt.Errorf("become user %s: %w", u.Username, err)
	}
	// Else /proc/self would be root's, and with it the process's own metrics. That
	// nobody of that user may trace us is seen to by the capabilities we keep.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("stay readable in /proc: %w", err)
	}
	return nil
}

// allThreads makes a system call in every thread.
func allThreads(what string, trap, a1, a2 uintptr) error {
	_, _, errno := syscall.AllThreadsSyscall(trap, a1, a2, 0)
	switch {
	case errno == syscall.ENOTSUP:
		return fmt.Errorf("%s: this program was built with cgo: build it with CGO_ENABLED=0, or start it with the privileges it is to have", what)
	case errno != 0:
		return fmt.Errorf("%s: %w", what, errno)
	}
	return nil
}

// Needs says which capabilities are needed once everything is attached.
type Needs struct {
	// Network: attach to the network devices of VMs that come later. Its caps:
	// a table for each device (bpf), attaching (net_admin), finding out which
	// device is whose (sys_ptrace, dac_read_search) and entering its namespace
	// (sys_admin).
	Network bool
}

// Capabilities are those that serving needs on this kernel.
func (n Needs) Capabilities() Caps {
	var keep []int
	if mapsNeedCapability() {
		keep = append(keep, unix.CAP_BPF)
	}
	if n.Network {
		keep = append(keep, unix.CAP_BPF, unix.CAP_NET_ADMIN, unix.CAP_SYS_PTRACE, unix.CAP_DAC_READ_SEARCH, unix.CAP_SYS_ADMIN)
	}
	if procHidden() {
		keep = append(keep, unix.CAP_SYS_PTRACE) // hidepid=
	}
	return CapSet(keep...)
}

// mapsNeedCapability reports whether a map that one has open can only be read with
// CAP_BPF: where unprivileged BPF is off, before Linux 5.19 (kernel commit
// c8644cd0efe7, "bpf: refine kernel.unprivileged_bpf_disabled behaviour").
func mapsNeedCapability() bool {
	text, err := os.ReadFile("/proc/sys/kernel/unprivileged_bpf_disabled")
	if err == nil && strings.TrimSpace(string(text)) == "0" {
		return false
	}
	major, minor := kernelVersion()
	return major < 5 || major == 5 && minor < 19
}

func kernelVersion() (major, minor int) {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return 0, 0
	}
	_, _ = fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor) // 0.0 is a kernel that needs all
	return major, minor
}

// procHidden reports whether /proc hides the processes of others.
func procHidden() bool {
	text, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return true
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) >= 4 && f[1] == "/proc" && f[2] == "proc" {
			for o := range strings.SplitSeq(f[3], ",") {
				if v, ok := strings.CutPrefix(o, "hidepid="); ok && v != "0" && v != "off" {
					return true
				}
			}
		}
	}
	return false
}
