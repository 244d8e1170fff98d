// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ukprobe/ukprobe/guests/reference"
)

// TestFlowsOfAGuest: the reference guest under QEMU answers ARP, ping and TCP on a
// tap, with the device in QEMU and with vhost-net. Both times everything is counted
// exactly as often as it was asked, and the frames are the same.
func TestFlowsOfAGuest(t *testing.T) {
	needRoot(t)
	frames := map[string]map[string]uint64{}
	for _, vhost := range []string{"off", "on"} {
		t.Run("vhost="+vhost, func(t *testing.T) {
			if _, err := os.Stat("/dev/vhost-net"); vhost == "on" && err != nil {
				t.Skipf("no vhost-net: %v", err)
			}
			frames[vhost] = askGuest(t, vhost)
		})
	}
	if frames["on"] == nil {
		return
	}
	if diff := cmp.Diff(frames["off"], frames["on"]); diff != "" {
		t.Errorf("frames and bytes (-in QEMU +vhost-net):\n%s", diff)
	}
}

// askGuest boots the guest, asks it, and returns the frames that were counted.
func askGuest(t *testing.T, vhost string) map[string]uint64 {
	const conns, pings, arps = 20, 10, 10
	ns := newNetNS(t)
	var tap *netlink.Tuntap
	ns.do(func() (err error) {
		if err := onlyIPv4(); err != nil { // of the host's own stack, which would announce itself
			return err
		}
		if tap, err = addTap("ukptap0", 1); err != nil {
			return err
		}
		for _, f := range tap.Fds {
			_ = f.Close()
		}
		if err := netlink.LinkSetHardwareAddr(tap, client.mac[:]); err != nil {
			return err
		}
		err = netlink.AddrAdd(tap, &netlink.Addr{IPNet: &net.IPNet{IP: client.ip.AsSlice(), Mask: net.CIDRMask(24, 32)}})
		return errors.Join(err, neighbour(tap, guest))
	})
	w := ns.watchOn(tap.Index)
	sendmsg := countCalls(t, "tun_sendmsg")
	pid := bootGuest(t, ns, vhost)
	if taps, err := TapsOf(pid); err != nil || len(taps) != 1 || taps[0].Ifindex != tap.Index {
		t.Errorf("taps of QEMU: %+v, %v, want the one with index %d", taps, err, tap.Index)
	} else {
		defer taps[0].Close()
	}
	eventually(t, "the guest's announcement", func() bool { return countsOf(t, w).Values["frames_out"] == 1 })

	seen := own{}
	ns.do(func() error {
		for range conns {
			if err := seen.exchange(netip.AddrPortFrom(guest.ip, 80).String(), 1); err != nil {
				return err
			}
		}
		if err := seen.ping(false, guest.ip.AsSlice(), pings); err != nil {
			return err
		}
		return seen.arp(tap.Index, arps)
	})
	seen.check(t, networkOf(t, w), "guest", nil)
	want := summary{Responses: map[Exchange]uint64{byGuest("tcp_connect"): conns, byGuest("tcp_first"): conns, byGuest("icmp_echo"): pings, byGuest("arp"): arps}}
	if diff := cmp.Diff(want, swept(t, w), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	out := map[string]uint64{}
	for _, name := range []string{"frames_out", "bytes_out"} {
		out[name] = countsOf(t, w).Values[name]
	}
	if n, ok := sendmsg(); ok && vhost == "on" && n != out["frames_out"] {
		t.Errorf("%d frames went through vhost-net, want all %d", n, out["frames_out"])
	} else if ok && vhost == "off" && n != 0 {
		t.Errorf("%d frames went through vhost-net, want none", n)
	} else {
		t.Logf("vhost=%s: %d calls of tun_sendmsg (known: %v), %v", vhost, n, ok, out)
	}
	return out
}

// onlyIPv4 keeps the namespace's IPv6 from sending anything by itself.
func onlyIPv4() error {
	err := os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil // no IPv6 at all
	}
	return err
}

// bootGuest starts the reference guest on the tap and waits for its ready line.
func bootGuest(t *testing.T, ns *netNS, vhost string) (pid int) {
	t.Helper()
	kernel := filepath.Join(t.TempDir(), "reference.elf")
	if err := os.WriteFile(kernel, reference.Image(), 0o644); err != nil {
		t.Fatal(err)
	}
	console := filepath.Join(t.TempDir(), "console")
	c := reference.Cmdline{IP: netip.PrefixFrom(guest.ip, 24), Port: 80, End: reference.EndHold}
	args := []string{"-no-reboot", "-m", "16", "-serial", "file:" + console, "-kernel", kernel, "-append", c.String(),
		"-M", "microvm,acpi=off,pit=off,pic=off,rtc=off,x-option-roms=off",
		"-netdev", "tap,id=n,script=no,downscript=no,ifname=ukptap0,vhost=" + vhost,
		"-global", "virtio-mmio.force-legacy=off", "-device", fmt.Sprintf("virtio-net-device,netdev=n,mac=%s", net.HardwareAddr(guest.mac[:]))}
	if f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0); err == nil {
		_ = f.Close()
		args = append(args, "-accel", "kvm", "-cpu", "host,-arch-capabilities")
	} else {
		args = append(args, "-accel", "tcg")
	}
	ready := regexp.MustCompile("(?m)" + reference.ReadyPattern)
	ns.do(func() error {
		pid = startQEMU(t, func(int) bool {
			text, err := os.ReadFile(console)
			return err == nil && ready.Match(text)
		}, args...).Process.Pid
		return nil
	})
	return pid
}

// arp asks for the guest's address from another station's, frame by frame.
func (o own) arp(ifindex, times int) error {
	all := binary.NativeEndian.Uint16(be16(unix.ETH_P_ARP))
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(all))
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: ifindex}); err != nil {
		return err
	}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 10}); err != nil {
		return err
	}
	buf := make([]byte, 2048)
	for range times {
		err := o.time("arp", func() error {
			if _, err := unix.Write(fd, arpAsk(other, guest)); err != nil {
				return err
			}
			for {
				n, err := unix.Read(fd, buf)
				if err != nil {
					return err
				}
				if bytes.Equal(buf[:n], arpReply(guest, other)) {
					return nil
				}
			}
		})
		if err != nil {
			return fmt.Errorf("ask by ARP: %w", err)
		}
	}
	return nil
}

// countCalls counts the calls of a function of the kernel, where kprobes are to
// be had.
func countCalls(t *testing.T, function string) (calls func() (uint64, bool)) {
	t.Helper()
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.Kprobe, License: "GPL", Instructions: asm.Instructions{
		asm.LoadMapValue(asm.R1, m.FD(), 0),
		asm.Mov.Imm(asm.R2, 1),
		asm.AddAtomic.Mem(asm.R1, asm.R2, asm.DWord, 0),
		asm.Mov.Imm(asm.R0, 0),
		asm.Return(),
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = prog.Close() })
	l, err := link.Kprobe(function, prog, nil)
	if err != nil {
		t.Logf("no kprobe on %s: %v", function, err)
		return func() (uint64, bool) { return 0, false }
	}
	t.Cleanup(func() { _ = l.Close() })
	return func() (n uint64, ok bool) {
		if err := m.Lookup(uint32(0), &n); err != nil {
			t.Fatal(err)
		}
		return n, true
	}
}
