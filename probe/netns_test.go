// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// netNS is a network namespace of a test's own, in which lo is up. It ends with
// the test.
type netNS struct {
	t testing.TB
	f *os.File
}

func newNetNS(t testing.TB) *netNS {
	t.Helper()
	needRoot(t)
	n := &netNS{t: t}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends here
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			n.f, err = os.Open("/proc/thread-self/ns/net")
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.f.Close() })
	n.do(func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(lo)
	})
	return n
}

// do runs fn on a thread in the namespace. fn must not end the test.
func (n *netNS) do(fn func() error) {
	n.t.Helper()
	in := Tap{Name: "of the test", ns: n.f}
	if err := in.Do(fn); err != nil {
		n.t.Fatal(err)
	}
}

// addresses gives a device an IPv4 and an IPv6 address with this last number, and
// the MAC of that station.
func addresses(l netlink.Link, number byte) error {
	s := newStation(number)
	if err := netlink.LinkSetHardwareAddr(l, s.mac[:]); err != nil {
		return err
	}
	if err := netlink.LinkSetUp(l); err != nil {
		return err
	}
	for _, a := range []*netlink.Addr{
		{IPNet: &net.IPNet{IP: s.ip.AsSlice(), Mask: net.CIDRMask(24, 32)}},
		{IPNet: &net.IPNet{IP: s.v6.AsSlice(), Mask: net.CIDRMask(64, 128)}, Flags: unix.IFA_F_NODAD},
	} {
		if err := netlink.AddrAdd(l, a); err != nil {
			return err
		}
	}
	return nil
}

// neighbour makes a station known for good, so that nobody asks by ARP.
func neighbour(l netlink.Link, s station) error {
	return netlink.NeighSet(&netlink.Neigh{LinkIndex: l.Attrs().Index, State: netlink.NUD_PERMANENT, IP: s.ip.AsSlice(), HardwareAddr: s.mac[:]})
}

// veth makes a wire from a new namespace inside, where the guest's end is, to one
// outside, with the device to be watched.
func veth(t testing.TB) (outside, inside *netNS, ifindex int) {
	t.Helper()
	outside, inside = newNetNS(t), newNetNS(t)
	inside.do(func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "guest0"
		pair := &netlink.Veth{LinkAttrs: attrs, PeerName: "host0", PeerNamespace: netlink.NsFd(outside.f.Fd())}
		if err := netlink.LinkAdd(pair); err != nil {
			return err
		}
		l, err := netlink.LinkByName("guest0")
		if err != nil {
			return err
		}
		if err := addresses(l, 2); err != nil {
			return err
		}
		return neighbour(l, client)
	})
	outside.do(func() error {
		l, err := netlink.LinkByName("host0")
		if err != nil {
			return err
		}
		ifindex = l.Attrs().Index
		if err := addresses(l, 1); err != nil {
			return err
		}
		return neighbour(l, guest)
	})
	return outside, inside, ifindex
}

// watchOn opens a probe and watches a device, until the test ends.
func (n *netNS) watchOn(ifindex int) *Watch {
	n.t.Helper()
	p, err := Open(Options{Slots: 1})
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { _ = p.Close() })
	w, err := p.Watch(Target{CgroupID: nowhere, Flows: true})
	if err != nil {
		n.t.Fatal(err)
	}
	n.do(func() error { return w.WatchDevice(ifindex) })
	n.t.Cleanup(func() { n.do(w.Close) })
	return w
}

// own are the durations that a client saw itself, by kind.
type own map[string][]time.Duration

func (o own) time(kind string, fn func() error) error {
	begin := time.Now()
	err := fn()
	o[kind] = append(o[kind], time.Since(begin))
	return err
}

// check holds the probe's account against the client's: as many of each kind, no
// sum and no maximum greater than the client's own, and every one at least floor.
func (o own) check(t *testing.T, n Network, side string, floor map[string]time.Duration) {
	t.Helper()
	for kind, times := range o {
		h := n.Responses[Exchange{Kind: kind, Side: side}]
		var sum, longest time.Duration
		for _, d := range times {
			sum, longest = sum+d, max(longest, d)
		}
		if int(h.Count) != len(times) {
			t.Errorf("%s by %s: %d answers, want %d", kind, side, h.Count, len(times))
		}
		if got := time.Duration(h.SumNS); got > sum || got < time.Duration(len(times))*floor[kind] {
			t.Errorf("%s by %s: %v in all, want between %d times %v and the client's own %v", kind, side, got, len(times), floor[kind], sum)
		}
		// A bucket's upper bound is up to 2^(1/8) above what is in it.
		if got := h.Max(); float64(got) > float64(longest)*1.0906 {
			t.Errorf("%s by %s: one of up to %v, the client's longest is %v", kind, side, got, longest)
		}
		t.Logf("%s by %s: %d, mean %v on the wire, %v for the client", kind, side, h.Count, h.Mean(), sum/time.Duration(max(1, len(times))))
	}
}

// ping sends echo requests and waits for each answer.
func (o own) ping(six bool, to net.IP, times int) error {
	network, kind, request := "ip4:icmp", "icmp_echo", byte(8)
	if six {
		network, kind, request = "ip6:ipv6-icmp", "icmpv6_echo", 128
	}
	conn, err := net.Dial(network, to.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	id := uint16(os.Getpid())
	for i := range times {
		msg := append([]byte{request, 0, 0, 0}, be16(id, uint16(i))...)
		if !six { // of v6 the kernel fills in the checksum
			binary.BigEndian.PutUint16(msg[2:], checksum(msg))
		}
		err := o.time(kind, func() error {
			if _, err := conn.Write(msg); err != nil {
				return err
			}
			return awaitEcho(conn, request, msg[4:])
		})
		if err != nil {
			return fmt.Errorf("ping %d: %w", i, err)
		}
	}
	return nil
}

// awaitEcho reads until the answer to id and sequence number is there.
func awaitEcho(conn net.Conn, request byte, idSeq []byte) error {
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	buf := make([]byte, 1500)
	for {
		n, _, err := conn.(*net.IPConn).ReadFrom(buf)
		if err != nil {
			return err
		}
		if n >= 8 && (buf[0] == 0 || buf[0] == 129) && bytes.Equal(buf[4:8], idSeq) {
			return nil
		}
	}
}

func checksum(data []byte) uint16 {
	var sum uint32
	for i, b := range data {
		sum += uint32(b) << (8 * (1 - i%2))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// serve answers every line on every connection after a while.
func serve(l net.Listener, wait time.Duration) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			buf := make([]byte, 100)
			for {
				n, err := conn.Read(buf)
				if err != nil {
					return
				}
				time.Sleep(wait)
				// In two parts: only the first byte counts.
				_, _ = conn.Write(buf[:1])
				time.Sleep(wait)
				_, _ = conn.Write(buf[1:n])
			}
		}()
	}
}

// exchange asks n times on one new connection and waits for the whole answer.
func (o own) exchange(addr string, n int) error {
	var conn net.Conn
	err := o.time("tcp_connect", func() (err error) {
		conn, err = net.Dial("tcp", addr)
		return err
	})
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	for i := range n {
		kind := "tcp_next"
		if i == 0 {
			kind = "tcp_first"
		}
		buf := make([]byte, 5)
		err := o.time(kind, func() error {
			if _, err := conn.Write([]byte("hello")); err != nil {
				return err
			}
			_, err := io.ReadFull(conn, buf[:1])
			return err
		})
		if err == nil {
			_, err = io.ReadFull(conn, buf[1:])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// serveDNS answers queries after a while, but none whose id is a multiple of five.
func serveDNS(conn net.PacketConn, wait time.Duration) {
	buf := make([]byte, 512)
	for {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			return
		}
		if n < 12 || binary.BigEndian.Uint16(buf)%5 == 0 {
			continue
		}
		time.Sleep(wait)
		buf[2] |= 0x80
		_, _ = conn.WriteTo(buf[:n], from)
	}
}

// resolve sends queries with the ids 1 to n.
func (o own) resolve(addr string, n int) error {
	conn, err := net.Dial("udp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	for id := 1; id <= n; id++ {
		query := append(be16(uint16(id), 0x0100, 1, 0, 0, 0), []byte("\x05guest\x04test\x00\x00\x01\x00\x01")...)
		if id%5 == 0 {
			if _, err := conn.Write(query); err != nil {
				return err
			}
			continue
		}
		err := o.time("dns", func() error {
			if _, err := conn.Write(query); err != nil {
				return err
			}
			_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
			_, err := conn.Read(make([]byte, 512))
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
