// SPDX-License-Identifier: Apache-2.0

package network

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

func TestAddresses(t *testing.T) {
	for n, want := range map[int][3]string{
		0:   {"198.18.0.2", "52:54:00:12:00:02", "fe:54:00:12:00:02"},
		252: {"198.18.0.254", "52:54:00:12:00:fe", "fe:54:00:12:00:fe"},
	} {
		ip := guestIP(n)
		if diff := cmp.Diff(want, [3]string{ip.String(), macOf(ip).String(), hostMAC(ip).String()}); diff != "" {
			t.Errorf("guest %d (-want +got):\n%s", n, diff)
		}
	}
	var p pool
	for n := range MaxGuests {
		if got, err := p.take(); got != n || err != nil {
			t.Fatalf("take %d: %d, %v", n, got, err)
		}
	}
	if _, err := p.take(); !errors.Is(err, ErrNoAddress) {
		t.Errorf("254th address: %v", err)
	}
	p.release(7)
	if n, err := p.take(); n != 7 || err != nil {
		t.Errorf("after release of 7: %d, %v", n, err)
	}
}

func TestIfnames(t *testing.T) {
	for name, good := range map[string]bool{
		"tap0": true, "a23456789012345": true, "": false, "a234567890123456": false,
		"a/b": false, "a b": false, "..": false, "tap%d": false, "a:b": false, "a\n": false,
	} {
		if err := checkIfname(name); (err == nil) != good {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestFdinfo(t *testing.T) {
	if got := fdinfoTap("pos:\t0\nflags:\t02\nmnt_id:\t9\nino:\t4\niff:\tuktap0\n"); got != "uktap0" {
		t.Errorf("got %q", got)
	}
	if got := fdinfoTap("pos:\t0\n"); got != "" {
		t.Errorf("got %q", got)
	}
}

// openTap attaches to a tap as a VMM does. Call it inside the lab.
func openTap(name string) (*os.File, error) {
	fd, err := unix.Open(tunDevice, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	req, err := unix.NewIfreq(name)
	if err == nil {
		req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// frames reads what comes out of a tap for a while.
func frames(t *testing.T, f *os.File, d time.Duration) [][]byte {
	t.Helper()
	if err := f.SetReadDeadline(time.Now().Add(d)); err != nil {
		t.Fatal(err)
	}
	var out [][]byte
	for {
		buf := make([]byte, 65536)
		n, err := f.Read(buf)
		if err != nil {
			return out
		}
		out = append(out, buf[:n])
	}
}

func TestTapAsBuilt(t *testing.T) {
	needTun(t)
	l, _ := newLab(t)
	tap, err := l.Tap(TapOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got := []string{tap.Name, tap.MAC.String(), tap.Prefix().String(), tap.Gateway().String()}
	if diff := cmp.Diff([]string{"uktap0", "52:54:00:12:00:02", "198.18.0.2/24", "198.18.0.1"}, got); diff != "" {
		t.Errorf("tap (-want +got):\n%s", diff)
	}

	link := ipJSON(t, l.Do, "link", "show", "uktap0")[0]
	gotLink := map[string]any{
		"index": int(link["ifindex"].(float64)), "mac": link["address"], "master": link["master"],
		"txqlen": link["txqlen"], "persist": dig(link, "linkinfo", "info_data", "persist"),
	}
	wantLink := map[string]any{"index": tap.Ifindex, "mac": "fe:54:00:12:00:02", "master": bridgeName, "txqlen": 16.0, "persist": true}
	if diff := cmp.Diff(wantLink, gotLink); diff != "" {
		t.Errorf("link (-want +got):\n%s", diff)
	}
	neigh := ipJSON(t, l.Do, "neigh")
	if len(neigh) != 1 || fmt.Sprint(neigh[0]["dst"], neigh[0]["dev"], neigh[0]["lladdr"], neigh[0]["state"]) != "198.18.0.2ukbr052:54:00:12:00:02[PERMANENT]" {
		t.Errorf("neighbours: %v", neigh)
	}

	second, err := l.Tap(TapOptions{Name: "mine", MAC: net.HardwareAddr{2, 0, 0, 0, 0, 9}, TxQueueLen: 1000})
	if err != nil {
		t.Fatal(err)
	}
	if second.IP.String() != "198.18.0.3" || second.MAC.String() != "02:00:00:00:00:09" {
		t.Errorf("second tap: %+v", second.Guest)
	}
	if err := tap.Close(); err != nil {
		t.Fatal(err)
	}
	if err := tap.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	again, err := l.Tap(TapOptions{})
	if err != nil || again.IP != tap.IP {
		t.Errorf("the freed address was not given again: %v %v", again, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Errorf("tap closed after its lab: %v", err)
	}
}

func TestTapNameTaken(t *testing.T) {
	needTun(t)
	l, _ := newLab(t)
	if _, err := l.Tap(TapOptions{Name: "t0"}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Tap(TapOptions{Name: "t0"}); err == nil || !strings.Contains(err.Error(), "`ukprobe clean`") {
		t.Errorf("left-over tap: %v", err)
	}

	// socat holds the tap, as a VMM would.
	holder := exec.Command("socat", "-u", "TUN,tun-type=tap,tun-name=t0,iff-no-pi", "OPEN:/dev/null")
	if err := l.Do(holder.Start); err != nil {
		t.Skipf("needs socat: %v", err)
	}
	ended := false
	end := func() {
		if !ended {
			ended = true
			_ = holder.Process.Kill()
			_ = holder.Wait()
		}
	}
	t.Cleanup(end)
	want := fmt.Sprintf("held by pid %d (socat)", holder.Process.Pid)
	var err error
	for range 100 {
		if _, err = l.Tap(TapOptions{Name: "t0"}); strings.Contains(err.Error(), "held by") {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if !strings.Contains(err.Error(), want) {
		t.Errorf("held tap: %v, want %q", err, want)
	}
	for _, name := range []string{"much-too-long-a-name", "a%d"} {
		if _, err := l.Tap(TapOptions{Name: name}); err == nil {
			t.Errorf("name %q accepted", name)
		}
	}
	if _, err := l.Tap(TapOptions{MAC: net.HardwareAddr{1, 0, 0x5e, 0, 0, 1}}); err == nil {
		t.Error("a group MAC was accepted")
	}
	end()
}

// TestTapIsSilent: the host's kernel sends nothing into a tap on its own, and a
// datagram for the guest arrives at once, addressed to its MAC, without ARP, and
// at no other guest's tap.
func TestTapIsSilent(t *testing.T) {
	needTun(t)
	l, _ := newLab(t)
	var ends [2]*os.File
	var taps [2]*Tap
	for i := range ends {
		tap, err := l.Tap(TapOptions{})
		if err != nil {
			t.Fatal(err)
		}
		taps[i] = tap
		if err := l.Do(func() error { ends[i], err = openTap(tap.Name); return err }); err != nil {
			t.Fatal(err)
		}
		defer ends[i].Close()
	}
	if got := frames(t, ends[0], 1500*time.Millisecond); len(got) != 0 {
		t.Errorf("%d frames nobody asked for, first %x", len(got), got[0])
	}

	err := l.Do(func() error {
		c, err := net.Dial("udp4", net.JoinHostPort(taps[1].IP.String(), "9"))
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Write([]byte("hello"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	got := frames(t, ends[1], time.Second)
	if len(got) != 1 {
		t.Fatalf("%d frames at the guest, want 1", len(got))
	}
	f := got[0]
	head := fmt.Sprintf("%s %s %#x %s", net.HardwareAddr(f[:6]), net.HardwareAddr(f[6:12]), binary.BigEndian.Uint16(f[12:]), f[len(f)-5:])
	if want := "52:54:00:12:00:03 52:54:00:12:00:01 0x800 hello"; head != want {
		t.Errorf("frame %q, want %q", head, want)
	}
	if other := frames(t, ends[0], 50*time.Millisecond); len(other) != 0 {
		t.Errorf("flooded to the other guest: %x", other[0])
	}
}

func TestVethCarriesTCP(t *testing.T) {
	l, _ := newLab(t)
	v, err := l.Veth(VethOptions{})
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("ip", "netns").Output()
	if err != nil || !strings.Contains(string(out), l.Name()+"-0") || v.NetNS() != l.Name()+"-0" {
		t.Errorf("ip netns does not show %s: %v\n%s", v.NetNS(), err, out)
	}
	var ln net.Listener
	if err := v.Do(func() error { ln, err = net.Listen("tcp4", v.IP.String()+":80"); return err }); err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		c, err := ln.Accept()
		if err == nil {
			_, _ = io.WriteString(c, "from "+c.RemoteAddr().(*net.TCPAddr).IP.String())
			_ = c.Close()
		}
	}()
	var answer []byte
	err = l.Do(func() error {
		c, err := net.DialTimeout("tcp4", v.IP.String()+":80", 2*time.Second)
		if err != nil {
			return err
		}
		defer c.Close()
		answer, err = io.ReadAll(c)
		return err
	})
	if err != nil || string(answer) != "from 198.18.0.1" {
		t.Errorf("answer %q, %v", answer, err)
	}

	for where, in := range map[string]struct {
		do   func(func() error) error
		want string
	}{
		"lab":  {l.Do, "198.18.0.2ukbr052:54:00:12:00:02[PERMANENT]"},
		"peer": {v.Do, "198.18.0.1eth052:54:00:12:00:01[PERMANENT]"},
	} {
		n := ipJSON(t, in.do, "neigh")
		if len(n) != 1 || fmt.Sprint(n[0]["dst"], n[0]["dev"], n[0]["lladdr"], n[0]["state"]) != in.want {
			t.Errorf("neighbours in %s: %v, want %s", where, n, in.want)
		}
	}
	if link := ipJSON(t, l.Do, "link", "show", v.Name)[0]; int(link["ifindex"].(float64)) != v.Ifindex {
		t.Errorf("ifindex %v, want %d", link["ifindex"], v.Ifindex)
	}

	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	if err := v.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if links := ipJSON(t, l.Do, "link"); len(links) != 2 {
		t.Errorf("links left in the lab: %v", links)
	}
}

func TestVethComesUpLater(t *testing.T) {
	l, _ := newLab(t)
	v, err := l.Veth(VethOptions{Down: true})
	if err != nil {
		t.Fatal(err)
	}
	state := func() any { return ipJSON(t, l.Do, "link", "show", v.Name)[0]["operstate"] }
	if s := state(); s == "UP" {
		t.Errorf("before Up: %v", s)
	}
	if err := v.Up(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(2 * time.Second)
	for state() != "UP" && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond)
	}
	if s := state(); s != "UP" {
		t.Errorf("after Up: %v", s)
	}
}

// TestVethMoves: a veth made down comes up in another process's namespace, answers
// there as at home, and goes with that namespace.
func TestVethMoves(t *testing.T) {
	l, _ := newLab(t)
	other := exec.Command("sleep", "1000")
	other.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Process.Kill(); _ = other.Wait() })
	v, err := l.Veth(VethOptions{Down: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.MoveTo(other.Process.Pid); err != nil {
		t.Fatal(err)
	}
	there, err := netns.GetFromPid(other.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	inside := func(fn func() error) error { return do(there, fn) }
	n := ipJSON(t, inside, "neigh")
	if want := "198.18.0.1eth052:54:00:12:00:01[PERMANENT]"; len(n) != 1 || fmt.Sprint(n[0]["dst"], n[0]["dev"], n[0]["lladdr"], n[0]["state"]) != want {
		t.Errorf("neighbours there: %v, want %s", n, want)
	}
	if links := ipJSON(t, v.Do, "link"); len(links) != 1 {
		t.Errorf("links where it came from: %v, want lo only", links)
	}
	var ln net.Listener
	if err := inside(func() error { ln, err = net.Listen("tcp4", "0.0.0.0:80"); return err }); err != nil {
		t.Fatal(err)
	}
	err = l.Do(func() error {
		c, err := net.DialTimeout("tcp4", v.IP.String()+":80", 2*time.Second)
		if err != nil {
			return err
		}
		return c.Close()
	})
	if err != nil {
		t.Errorf("from the lab: %v", err)
	}
	for _, err := range []error{ln.Close(), there.Close(), other.Process.Kill()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	_ = other.Wait()
	for end := time.Now().Add(2 * time.Second); len(ipJSON(t, l.Do, "link")) > 2 && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond) // the kernel ends namespaces later
	}
	if links := ipJSON(t, l.Do, "link"); len(links) != 2 {
		t.Errorf("links in the lab after that namespace's end: %v", links)
	}
	if err := v.Close(); err != nil {
		t.Error(err)
	}
	if err := v.MoveTo(1 << 29); err == nil || !strings.Contains(err.Error(), "pid 536870912") {
		t.Errorf("to a process that is not there: %v", err)
	}
}

// TestVethGoesMeanwhile: the kernel takes a pair away with the namespace of a process that
// has ended, at some moment before, in or after Close.
func TestVethGoesMeanwhile(t *testing.T) {
	l, _ := newLab(t)
	for i := range 20 {
		other := exec.Command("sleep", "1000")
		other.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
		if err := other.Start(); err != nil {
			t.Fatal(err)
		}
		v, err := l.Veth(VethOptions{Down: true})
		if err == nil {
			err = v.MoveTo(other.Process.Pid)
		}
		_ = other.Process.Kill()
		_ = other.Wait()
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(i) * time.Millisecond)
		if err := v.Close(); err != nil {
			t.Fatalf("after %d ms: %v", i, err)
		}
	}
}
