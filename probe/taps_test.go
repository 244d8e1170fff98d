// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// addTap makes a tap in the thread's namespace and sets it up.
func addTap(name string, queues int) (*netlink.Tuntap, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	tap := &netlink.Tuntap{LinkAttrs: attrs, Mode: netlink.TUNTAP_MODE_TAP}
	if queues > 1 {
		tap.Queues, tap.Flags = queues, netlink.TUNTAP_MULTI_QUEUE_DEFAULTS
	}
	if err := netlink.LinkAdd(tap); err != nil {
		return nil, err
	}
	return tap, netlink.LinkSetUp(tap)
}

// startQEMU starts QEMU in the thread's namespace and waits until so is true of
// its pid. It ends with the test.
func startQEMU(t *testing.T, so func(pid int) bool, args ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		t.Skip("qemu-system-x86_64 is missing: apt-get install qemu-system-x86")
	}
	cmd := exec.Command(path, append([]string{"-nodefaults", "-no-user-config", "-display", "none"}, args...)...)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for end := time.Now().Add(time.Minute); !so(cmd.Process.Pid); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("QEMU is not where it should be after a minute")
		}
	}
	return cmd
}

var ignoreNS = cmpopts.IgnoreUnexported(Tap{})

// TestTapsOf: the taps of a QEMU in another network namespace, one with two queues.
func TestTapsOf(t *testing.T) {
	needRoot(t)
	inNamespace(t, func(int) error {
		var want []Tap
		var st unix.Stat_t
		if err := unix.Stat("/proc/thread-self/ns/net", &st); err != nil {
			return err
		}
		for i, queues := range []int{1, 2} {
			tap, err := addTap(fmt.Sprintf("ukptap%d", i), queues)
			if err != nil {
				return err
			}
			for _, f := range tap.Fds { // of the queues: QEMU opens its own
				_ = f.Close()
			}
			want = append(want, Tap{Name: tap.Name, Ifindex: tap.Index, NetNS: st.Ino, Queues: queues})
		}
		var got []Tap
		qemu := startQEMU(t, func(pid int) bool {
			taps, err := TapsOf(pid)
			if err != nil {
				t.Fatal(err)
			}
			_ = closeTaps(got)
			got = taps
			return len(taps) == 2 && taps[1].Queues == 2
		}, "-M", "none", "-S", "-netdev", "tap,id=a,ifname=ukptap0,script=no,downscript=no,vhost=off",
			"-netdev", "tap,id=b,ifname=ukptap1,script=no,downscript=no,queues=2,vhost=off")
		defer func() { _ = closeTaps(got) }()
		if diff := cmp.Diff(want, got, ignoreNS); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		err := got[0].Do(func() error {
			_, err := netlink.LinkByIndex(want[0].Ifindex)
			return err
		})
		if err != nil {
			t.Errorf("in the tap's namespace: %v", err)
		}
		_ = qemu.Process.Kill()
		_ = qemu.Wait()
		if _, err := TapsOf(qemu.Process.Pid); err == nil {
			t.Error("the taps of a process that has ended are no error")
		}
		return nil
	})
}

// TestTapsOfAnotherNamespace: the device is in a namespace that is not the process's,
// as when management software has made it and handed it over.
func TestTapsOfAnotherNamespace(t *testing.T) {
	needRoot(t)
	own := loopback(t).Netns
	inNamespace(t, func(int) error {
		// A process shares descriptors among its threads: this one holds the tap,
		// the process is in another namespace.
		f, err := openTun("ukptap7")
		if err != nil {
			return err
		}
		defer f.Close()
		l, err := netlink.LinkByName("ukptap7")
		if err != nil {
			return err
		}
		here := loopback(t).Netns
		got, err := TapsOf(os.Getpid())
		if err != nil {
			return err
		}
		defer func() { _ = closeTaps(got) }()
		want := []Tap{{Name: "ukptap7", Ifindex: l.Attrs().Index, NetNS: uint64(here), Queues: 1}}
		if diff := cmp.Diff(want, got, ignoreNS); diff != "" || here == own {
			t.Errorf("own namespace %d, the tap's %d (-want +got):\n%s", own, here, diff)
		}
		return nil
	})
}

// openTun opens /dev/net/tun and makes a tap that goes with the descriptor.
func openTun(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return nil, err
	}
	ifr.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	runtime.KeepAlive(ifr)
	return os.NewFile(uintptr(fd), "/dev/net/tun"), nil
}

func TestTapName(t *testing.T) {
	for text, want := range map[string]string{
		"pos:\t0\nflags:\t0104002\nmnt_id:\t28\nino:\t125\niff:\ttap0\n": "tap0",
		"pos:\t0\niff:\t\n": "", // no device yet
		"pos:\t0\n":         "",
		"":                  "",
		"note:\tiff:\tx\n":  "",
	} {
		if got := tapName(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
