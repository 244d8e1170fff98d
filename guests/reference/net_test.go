// SPDX-License-Identifier: Apache-2.0

package reference

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	tapName     = "reftap0"
	answerLimit = 5 * time.Second
)

var (
	guestIP   = netip.MustParsePrefix("198.18.77.2/24")
	hostIP    = netip.MustParsePrefix("198.18.77.1/24")
	rawIP     = netip.MustParseAddr("198.18.77.99")
	guestMAC  = net.HardwareAddr{0x52, 0x54, 0, 0x77, 0, 2}
	rawMAC    = net.HardwareAddr{0x02, 0, 0, 0x77, 0, 0x99}
	broadcast = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
)

// wire is a tap in a network namespace that belongs to the test's thread alone,
// and a packet socket on it. Both end with the thread.
type wire struct {
	t  *testing.T
	fd int
}

func newWire(t *testing.T) *wire {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("root is missing: a network namespace and a tap need it")
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		t.Skipf("/dev/net/tun is missing: %v", err)
	}
	runtime.LockOSThread() // never unlocked: the thread and its namespace end with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatalf("make a network namespace: %v", err)
	}
	tap := &netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: tapName}, Mode: netlink.TUNTAP_MODE_TAP}
	check := func(what string, err error) {
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	check("add the tap", netlink.LinkAdd(tap))
	addr := &net.IPNet{IP: hostIP.Addr().AsSlice(), Mask: net.CIDRMask(hostIP.Bits(), 32)}
	check("give the tap an address", netlink.AddrAdd(tap, &netlink.Addr{IPNet: addr}))
	check("bring the tap up", netlink.LinkSetUp(tap))
	link, err := netlink.LinkByName(tapName)
	check("find the tap", err)
	all := binary.NativeEndian.Uint16([]byte{0, unix.ETH_P_ALL}) // network order
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(all))
	check("open a packet socket", err)
	t.Cleanup(func() { unix.Close(fd) })
	check("bind it", unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: link.Attrs().Index}))
	check("limit its wait", unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100000}))
	return &wire{t: t, fd: fd}
}

// send first empties the socket: what others left there would fill it up and
// the answer be dropped.
func (w *wire) send(frame []byte) {
	w.t.Helper()
	buf := make([]byte, 1)
	for {
		if _, _, err := unix.Recvfrom(w.fd, buf, unix.MSG_DONTWAIT); err != nil {
			break
		}
	}
	if _, err := unix.Write(w.fd, frame); err != nil {
		w.t.Fatalf("send a frame: %v", err)
	}
}

// receive returns the next frame from the guest that is wanted.
func (w *wire) receive(what string, wanted func([]byte) bool, limit time.Duration) []byte {
	w.t.Helper()
	buf := make([]byte, 2048)
	for end := time.Now().Add(limit); time.Now().Before(end); {
		n, err := unix.Read(w.fd, buf)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) || errors.Is(err, unix.ENETDOWN) {
			continue
		}
		if err != nil {
			w.t.Fatalf("receive %s: %v", what, err)
		}
		if n >= 14 && bytes.Equal(buf[6:12], guestMAC) && wanted(buf[:n]) {
			return buf[:n]
		}
	}
	w.t.Fatalf("no %s from the guest within %v", what, limit)
	return nil
}

// arp builds an ARP packet's frame.
func arp(operation byte, to, from net.HardwareAddr, fromIP netip.Addr, target net.HardwareAddr, targetIP netip.Addr) []byte {
	f := append(append(append([]byte(nil), to...), from...), 0x08, 0x06)
	f = append(f, 0, 1, 0x08, 0, 6, 4, 0, operation)
	f = append(append(f, from...), fromIP.AsSlice()...)
	return append(append(f, target...), targetIP.AsSlice()...)
}

func isARP(f []byte) bool { return f[12] == 0x08 && f[13] == 0x06 }

// startGuest starts QEMU on the tap and waits for the ready line. It must be
// called on the thread that made the wire: QEMU inherits the namespace.
func startGuest(t *testing.T, args []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*bootTimeout)
	cmd := command(ctx, args)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		err := cmd.Wait()
		if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) {
			t.Errorf("QEMU had ended before it was killed: %v\n%s", err, &stderr)
		}
	})
	ready, console := regexp.MustCompile(ReadyPattern), bufio.NewScanner(stdout)
	for console.Scan() {
		if ready.MatchString(console.Text()) {
			return
		}
		t.Log(console.Text())
	}
	t.Fatalf("the guest never became ready: %v\n%s", console.Err(), &stderr)
}

var nics = map[string][]string{
	"pc": {"-device", "virtio-net-pci,netdev=n,romfile=,mac=" + guestMAC.String()},
	"microvm": {
		"-global", "virtio-mmio.force-legacy=off",
		"-device", "virtio-net-device,netdev=n,mac=" + guestMAC.String(),
	},
	"microvm-legacy": {"-device", "virtio-net-device,netdev=n,mac=" + guestMAC.String()},
}

func TestNetwork(t *testing.T) {
	for _, tc := range []struct {
		name, machine, nic, accel string
		pvh                       bool
	}{
		{"pc/kvm", "pc", "pc", "kvm", false},
		{"pc/tcg", "pc", "pc", "tcg", false},
		{"microvm/kvm", "microvm", "microvm", "kvm", false},
		{"microvm/tcg/legacy", "microvm", "microvm-legacy", "tcg", false},
		{"microvm/tcg/pvh", "microvm", "microvm", "tcg", true}, // devices from the command line
	} {
		t.Run(tc.name, func(t *testing.T) {
			needAccel(t, tc.accel)
			w := newWire(t)
			data := Image()
			if tc.pvh {
				data = withoutMultiboot(t)
			}
			c := Cmdline{IP: guestIP, Gateway: hostIP.Addr(), Port: 80, End: EndHold}
			extra := append([]string{"-netdev", "tap,id=n,script=no,downscript=no,ifname=" + tapName}, nics[tc.nic]...)
			startGuest(t, qemuArgs(tc.machine, tc.accel, writeImage(t, data), c.String(), extra...))
			checkAnnouncement(w)
			checkARP(w)
			checkPing(t)
			checkServer(t)
			checkRepeatedSegments(w)
			checkRefusedPort(w)
		})
	}
}

func checkAnnouncement(w *wire) {
	got := w.receive("ARP announcement", isARP, answerLimit)
	want := arp(1, broadcast, guestMAC, guestIP.Addr(), make(net.HardwareAddr, 6), guestIP.Addr())
	if diff := cmp.Diff(want, got); diff != "" {
		w.t.Errorf("ARP announcement (-want +got):\n%s", diff)
	}
}

func checkARP(w *wire) {
	w.send(arp(1, broadcast, rawMAC, rawIP, make(net.HardwareAddr, 6), netip.MustParseAddr("198.18.77.3")))
	w.send(arp(1, broadcast, rawMAC, rawIP, make(net.HardwareAddr, 6), guestIP.Addr()))
	got := w.receive("ARP reply", isARP, answerLimit)
	if diff := cmp.Diff(arp(2, rawMAC, guestMAC, guestIP.Addr(), rawMAC, rawIP), got); diff != "" {
		w.t.Errorf("ARP reply (-want +got):\n%s", diff)
	}
}

// checkPing sends echo requests of several sizes through the host's own stack,
// which checks the answers' checksums.
func checkPing(t *testing.T) {
	conn, err := net.Dial("ip4:icmp", guestIP.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for i, size := range []int{0, 1, 56, 1472} {
		request := append([]byte{8, 0, 0, 0, 0x77, 0x02, 0, byte(i)}, bytes.Repeat([]byte{byte(size), 0x5a}, size)[:size]...)
		binary.BigEndian.PutUint16(request[2:], checksum(request))
		if _, err := conn.Write(request); err != nil {
			t.Fatalf("ping %d bytes: %v", size, err)
		}
		conn.SetReadDeadline(time.Now().Add(answerLimit))
		reply := make([]byte, 2048)
		n, _, err := conn.(*net.IPConn).ReadFrom(reply) // leaves out the IP header
		if err != nil {
			t.Fatalf("ping %d bytes: %v", size, err)
		}
		if sum := checksum(reply[:n]); sum != 0 {
			t.Errorf("ping %d bytes: checksum is off by %#x", size, sum)
		}
		want := append([]byte{0, 0, reply[2], reply[3]}, request[4:]...)
		if diff := cmp.Diff(want, reply[:n]); diff != "" {
			t.Errorf("ping %d bytes (-want +got):\n%s", size, diff)
		}
	}
}

// ask sends a request through the host's own TCP and reads to the end.
func ask(t *testing.T, request string) string {
	t.Helper()
	conn, err := net.DialTimeout("tcp4", netip.AddrPortFrom(guestIP.Addr(), 80).String(), answerLimit)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(answerLimit))
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatalf("read the answer to %q: %v", request, err)
	}
	return string(answer)
}

const httpAnswer = "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 18\r\nConnection: close\r\n\r\n" + Body

func checkServer(t *testing.T) {
	for request, want := range map[string]string{
		"hello\n":                    Body,
		"GET":                        Body,
		"GET / HTTP/1.0\r\n\r\n":     httpAnswer,
		string(make([]byte, 19)):     Body, // one longer than the answer
		string(make([]byte, 300)):    Body,
		"GET /" + string(httpAnswer): httpAnswer,
	} {
		if diff := cmp.Diff(want, ask(t, request)); diff != "" {
			t.Errorf("answer to %q (-want +got):\n%s", request, diff)
		}
	}
	for range 50 {
		if got := ask(t, "x"); got != Body {
			t.Fatalf("one of 50 answers is %q", got)
		}
	}
	if _, err := net.DialTimeout("tcp4", netip.AddrPortFrom(guestIP.Addr(), 81).String(), answerLimit); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("connect to a port that is not served: %v, want refused", err)
	}
}

// exchange sends a segment and returns the answer on the same ports.
func (w *wire) exchange(s segment) segment {
	w.t.Helper()
	s.From, s.To, s.FromPort = rawIP, guestIP.Addr(), 4321
	w.send(s.frame(rawMAC, guestMAC))
	var got segment
	w.receive("TCP answer", func(f []byte) bool {
		if f[12] != 0x08 || f[13] != 0 || f[23] != 6 || !bytes.Equal(f[:6], rawMAC) {
			return false
		}
		var err error
		if got, err = parseSegment(f); err != nil {
			w.t.Error(err)
		}
		return true
	}, answerLimit)
	return got
}

// answer is what the guest sends back on the ports of exchange.
func answer(port uint16, s segment) segment {
	s.From, s.To, s.FromPort, s.ToPort = guestIP.Addr(), rawIP, port, 4321
	return s
}

// Whatever arrives twice is answered twice alike; what follows the first
// request is acknowledged and not answered again. Sequence numbers wrap.
func checkRepeatedSegments(w *wire) {
	w.t.Helper()
	for _, isn := range []uint32{1, 0xffffffff, 0x7ffffff0} {
		ours := ^isn
		steps := []struct {
			name       string
			send, want segment
		}{
			{"SYN", segment{Seq: isn, SYN: true}, segment{Seq: ours, Ack: isn + 1, SYN: true, ACK: true}},
			{
				"request", segment{Seq: isn + 1, Ack: ours + 1, ACK: true, Data: "hello"},
				segment{Seq: ours + 1, Ack: isn + 6, ACK: true, FIN: true, Data: Body},
			},
			{
				"more", segment{Seq: isn + 6, Ack: ours + 1, ACK: true, Data: "GET x"},
				segment{Seq: ours + 1, Ack: isn + 11, ACK: true},
			},
			{
				"more after the answer", segment{Seq: isn + 11, Ack: ours + 20, ACK: true, Data: "y"},
				segment{Seq: ours + 20, Ack: isn + 12, ACK: true},
			},
			{
				"end", segment{Seq: isn + 12, Ack: ours + 20, ACK: true, FIN: true},
				segment{Seq: ours + 20, Ack: isn + 13, ACK: true},
			},
			{
				"end without a request", segment{Seq: isn + 1, Ack: ours + 1, ACK: true, FIN: true},
				segment{Seq: ours + 1, Ack: isn + 2, ACK: true, FIN: true},
			},
		}
		for _, step := range steps {
			step.send.ToPort = 80
			for range 2 {
				if diff := cmp.Diff(answer(80, step.want), w.exchange(step.send), cmp.Comparer(sameAddr)); diff != "" {
					w.t.Errorf("%s from %#x (-want +got):\n%s", step.name, isn, diff)
				}
			}
		}
	}
}

func checkRefusedPort(w *wire) {
	w.t.Helper()
	got := w.exchange(segment{ToPort: 81, Seq: 100, SYN: true})
	want := answer(81, segment{Ack: 101, RST: true, ACK: true})
	if diff := cmp.Diff(want, got, cmp.Comparer(sameAddr)); diff != "" {
		w.t.Errorf("SYN to a port that is not served (-want +got):\n%s", diff)
	}
}

func sameAddr(a, b netip.Addr) bool { return a == b }
