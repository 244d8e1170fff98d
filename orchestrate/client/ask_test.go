// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ukprobe/ukprobe/orchestrate/journal"
	"github.com/ukprobe/ukprobe/orchestrate/network"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// slack is what a busy two-core machine may add to a moment. It stays below the one
// second of TCP's own repetition, which is what must not show.
const slack = 600 * time.Millisecond

func newLab(t *testing.T) *network.Lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to make network namespaces")
	}
	run := fmt.Sprintf("clienttest-%d-%d", os.Getpid(), time.Now().UnixNano())
	j, err := journal.Open(t.TempDir(), run)
	if err != nil {
		t.Fatal(err)
	}
	l, err := network.NewLab(j, run)
	if err != nil {
		_ = j.Close()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(l.Close(), j.Close()); err != nil {
			t.Error(err)
		}
	})
	return l
}

// serve answers every connection to addr inside a namespace with handle.
func serve(t *testing.T, in func(func() error) error, addr string, handle func(net.Conn)) net.Listener {
	t.Helper()
	var ln net.Listener
	err := in(func() (err error) { ln, err = net.Listen("tcp4", addr); return err })
	if err != nil {
		t.Error(err)
		return nil
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { handle(c); _ = c.Close() }()
		}
	}()
	return ln
}

const page = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

// servePage answers a request, not a connection: losers send none.
func servePage(c net.Conn) {
	buf := make([]byte, 4096)
	if n, _ := c.Read(buf); n > 0 && strings.HasPrefix(string(buf[:n]), "GET / HTTP/1.1\r\n") {
		_, _ = io.WriteString(c, page)
	}
}

// tcpCounter reads one of TCP's counters (SNMP MIB) in a namespace.
func tcpCounter(t *testing.T, in func(func() error) error, name string) (n int) {
	t.Helper()
	err := in(func() error {
		raw, err := os.ReadFile("/proc/thread-self/net/snmp")
		if err != nil {
			return err
		}
		var keys []string
		for line := range strings.Lines(string(raw)) {
			rest, ok := strings.CutPrefix(line, "Tcp: ")
			if !ok {
				continue
			}
			if keys == nil {
				keys = strings.Fields(rest)
				continue
			}
			_, err := fmt.Sscan(strings.Fields(rest)[slices.Index(keys, name)], &n)
			return err
		}
		return errors.New("no Tcp line")
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestServiceThatListensLater(t *testing.T) {
	l := newLab(t)
	v, err := l.Veth(network.VethOptions{})
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.AddrPortFrom(v.IP, 80)
	listening := make(chan time.Time, 1)
	var before, after int64
	time.AfterFunc(300*time.Millisecond, func() {
		before = monotonicNs()
		serve(t, v.Do, addr.String(), servePage)
		after = monotonicNs()
		listening <- time.Now()
	})
	began := time.Now()
	res, err := Ask(context.Background(), l.Do, HTTPGet(addr, "/"))
	since := <-listening
	if err != nil || string(res.Response) != page {
		t.Fatalf("%q, %v: %+v", res.Response, err, res)
	}
	if late := res.Connected.Sub(since); late > slack {
		t.Errorf("connected %v after the service listened", late)
	}
	if res.Connected.Sub(began) < 300*time.Millisecond || res.FirstByte.Before(res.Connected) || res.FirstByteNs < res.ConnectedNs {
		t.Errorf("times out of order: began %v, %+v", began, res)
	}
	if res.AskedBeforeNs == 0 || res.AskedBeforeNs > after || res.AskedNs < before {
		t.Errorf("it listens since %d to %d, and is found to between %d and %d", before, after, res.AskedBeforeNs, res.AskedNs)
	}
	if res.Refused == 0 || res.Refused >= res.SYNs || res.SYNs > 2*len(paceOf(DefaultInterval, 300*time.Millisecond)) {
		t.Errorf("%d SYNs, %d refused", res.SYNs, res.Refused)
	}
	if n := tcpCounter(t, l.Do, "ActiveOpens"); n != res.SYNs {
		t.Errorf("the kernel counts %d connection attempts, the client %d SYNs", n, res.SYNs)
	}
	if n := tcpCounter(t, l.Do, "CurrEstab"); n != 0 {
		t.Errorf("%d connections left established", n)
	}
	t.Logf("connected %v after listening; %d SYNs, longest gap %v", res.Connected.Sub(since), res.SYNs, res.LongestGap)
}

func TestWireThatComesUpLater(t *testing.T) {
	l := newLab(t)
	v, err := l.Veth(network.VethOptions{Down: true})
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.AddrPortFrom(v.IP, 80)
	serve(t, v.Do, "0.0.0.0:80", servePage)
	up := make(chan time.Time, 1)
	time.AfterFunc(300*time.Millisecond, func() {
		if err := v.Up(); err != nil {
			t.Error(err)
		}
		up <- time.Now()
	})
	res, err := Ask(context.Background(), l.Do, HTTPGet(addr, "/"))
	since := <-up
	if err != nil || string(res.Response) != page {
		t.Fatalf("%q, %v: %+v", res.Response, err, res)
	}
	if late := res.Connected.Sub(since); late > slack {
		t.Errorf("connected %v after the wire was up", late)
	}
	if n := tcpCounter(t, l.Do, "RetransSegs"); n != 0 {
		t.Errorf("TCP repeated %d segments", n)
	}
	t.Logf("connected %v after up; %d SYNs, %d unreachable, longest gap %v", res.Connected.Sub(since), res.SYNs, res.Unreachable, res.LongestGap)
}

func TestNoRouteIsNotFatal(t *testing.T) {
	l := newLab(t)
	req := Request{Addr: netip.MustParseAddrPort("203.0.113.1:80"), Timeout: 100 * time.Millisecond}
	res, err := Ask(context.Background(), l.Do, req)
	if !errors.Is(err, ErrTimeout) || !strings.Contains(err.Error(), "unreachable") {
		t.Errorf("got %v", err)
	}
	if res.Unreachable < 10 || res.SYNs != 0 {
		t.Errorf("%+v", res)
	}
}

// TestSYNsOnTheWire reads what the client sends out of a tap, where a guest
// that does not answer would.
func TestSYNsOnTheWire(t *testing.T) {
	l := newLab(t)
	tap, err := l.Tap(network.TapOptions{TxQueueLen: 4096})
	if err != nil {
		t.Fatal(err)
	}
	var end *os.File
	if err := l.Do(func() error { end, err = openTap(tap.Name); return err }); err != nil {
		t.Skipf("needs a tap: %v", err)
	}
	defer end.Close()
	// Until the kernel has noticed the new carrier it drops what is sent.
	waitUp(t, l, tap.Name, l.Bridge)

	const interval, length = 2 * time.Millisecond, 1500 * time.Millisecond
	seen := make(chan []time.Time, 1)
	go func() { seen <- readSYNs(end, 80) }()
	res, err := Ask(context.Background(), l.Do, Request{Addr: netip.AddrPortFrom(tap.IP, 80), Interval: interval, Timeout: length})
	if !errors.Is(err, ErrTimeout) {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
	_ = end.SetReadDeadline(time.Now())
	syns := <-seen

	// A client that is kept from running for longer than its attempts have left gives them
	// up too late.
	repeated := tcpCounter(t, l.Do, "RetransSegs")
	if repeated != 0 && res.LongestGap < repeatAfter-maxAge-LongestInterval {
		t.Errorf("TCP repeated %d segments, and the longest gap was %v", repeated, res.LongestGap)
	}
	if len(syns) != res.SYNs+repeated {
		t.Errorf("%d SYNs on the wire, the client counts %d and TCP %d repeated", len(syns), res.SYNs, repeated)
	}
	want := paceOf(interval, length)
	if len(syns) < len(want)/2 || len(syns) > len(want)+2 {
		t.Fatalf("%d SYNs in %v, want about %d", len(syns), length, len(want))
	}
	var gaps []time.Duration
	for i := range syns[1:] {
		gaps = append(gaps, syns[i+1].Sub(syns[i]))
	}
	slices.Sort(gaps)
	slices.Sort(want)
	if median, want := gaps[len(gaps)/2], want[len(want)/2]; median < want/2 || median > want*2 {
		t.Errorf("median gap %v, want about %v", median, want)
	}
	t.Logf("%d SYNs, gaps: median %v, longest %v; the client says %v", len(syns), gaps[len(gaps)/2], gaps[len(gaps)-1], res.LongestGap)
}

// paceOf is the times between SYNs in so long.
func paceOf(interval, length time.Duration) (out []time.Duration) {
	for at := time.Duration(0); at < length; at += out[len(out)-1] {
		out = append(out, pace(interval, at))
	}
	return out
}

// waitUp waits until links of a lab are operational.
func waitUp(t *testing.T, l *network.Lab, names ...string) {
	t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for _, name := range names {
		for {
			var state netlink.LinkOperState
			err := l.Do(func() error {
				link, err := netlink.LinkByName(name)
				if err == nil {
					state = link.Attrs().OperState
				}
				return err
			})
			if err != nil || time.Now().After(deadline) {
				t.Fatalf("%s is %v, not up: %v", name, state, err)
			}
			if state == netlink.OperUp {
				break
			}
			time.Sleep(time.Millisecond)
		}
	}
}

func openTap(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
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

// readSYNs notes when each SYN to a port comes out of a tap.
func readSYNs(f *os.File, port uint16) (at []time.Time) {
	buf := make([]byte, 2048)
	for {
		n, err := f.Read(buf)
		if err != nil {
			return at
		}
		now := time.Now()
		const eth, ip = 14, 20 // no IP options in what a kernel sends by itself
		if n >= eth+ip+20 && binary.BigEndian.Uint16(buf[12:]) == 0x0800 && buf[eth+9] == unix.IPPROTO_TCP {
			tcp := buf[eth+ip:]
			if binary.BigEndian.Uint16(tcp[2:]) == port && tcp[13] == 0x02 {
				at = append(at, now)
			}
		}
	}
}

func TestTimeoutAndWindow(t *testing.T) {
	l := newLab(t)
	tap, err := l.Tap(network.TapOptions{})
	if err != nil {
		t.Fatal(err)
	}
	before := openFiles(t)
	most := make(chan int, 1)
	stop := make(chan struct{})
	go func() {
		n := 0
		for {
			select {
			case <-stop:
				most <- n
				return
			case <-time.After(5 * time.Millisecond):
				list, _ := os.ReadDir("/proc/self/fd")
				n = max(n, len(list))
			}
		}
	}()
	began := time.Now()
	res, err := Ask(context.Background(), l.Do, Request{
		Addr: netip.AddrPortFrom(tap.IP, 80), Interval: 200 * time.Microsecond, Timeout: 700 * time.Millisecond,
	})
	close(stop)
	if !errors.Is(err, ErrTimeout) || !strings.Contains(err.Error(), "never connected") {
		t.Errorf("got %v", err)
	}
	if took := time.Since(began); took < 700*time.Millisecond || took > 700*time.Millisecond+slack {
		t.Errorf("took %v", took)
	}
	if n := <-most; n > before+maxOpen+16 {
		t.Errorf("%d descriptors open, bound %d", n, maxOpen)
	}
	if now := openFiles(t); now > before+1 {
		t.Errorf("%d descriptors before, %d after %d SYNs", before, now, res.SYNs)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	list, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func TestCancel(t *testing.T) {
	l := newLab(t)
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(50*time.Millisecond, cancel)
	began := time.Now()
	v, err := l.Veth(network.VethOptions{})
	if err != nil {
		t.Fatal(err)
	}
	// Connected and silent: nothing but the context can end this.
	serve(t, v.Do, v.IP.String()+":80", func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	res, err := Ask(ctx, l.Do, Request{Addr: netip.AddrPortFrom(v.IP, 80), Payload: []byte("x")})
	if !errors.Is(err, context.Canceled) || time.Since(began) > 50*time.Millisecond+2*slack {
		t.Errorf("%v after %v: %+v", err, time.Since(began), res)
	}
}

func TestServiceThatClosesAtFirst(t *testing.T) {
	l := newLab(t)
	v, err := l.Veth(network.VethOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ready := time.Now().Add(100 * time.Millisecond)
	serve(t, v.Do, v.IP.String()+":80", func(c net.Conn) {
		if time.Now().After(ready) {
			servePage(c)
		}
	})
	res, err := Ask(context.Background(), l.Do, HTTPGet(netip.AddrPortFrom(v.IP, 80), "/"))
	if err != nil || string(res.Response) != page || res.Resets == 0 || res.Resets > 500 { // the pace allows 330
		t.Errorf("%v: %+v", err, res)
	}
}

// TestAsksOnAfterAClose: a connection that is closed does not keep the next attempt from
// being begun when it is due, here within 10 ms; nothing else happens until then.
func TestAsksOnAfterAClose(t *testing.T) {
	l := newLab(t)
	v, err := l.Veth(network.VethOptions{})
	if err != nil {
		t.Fatal(err)
	}
	const closes = 3 // by a busy machine the next attempt can be overdue after one of them
	var taken atomic.Int32
	time.AfterFunc(400*time.Millisecond, func() {
		serve(t, v.Do, v.IP.String()+":80", func(c net.Conn) {
			if taken.Add(1) > closes {
				servePage(c)
			}
		})
	})
	res, err := Ask(context.Background(), l.Do, HTTPGet(netip.AddrPortFrom(v.IP, 80), "/"))
	if err != nil || res.Resets == 0 {
		t.Fatalf("%v: %+v", err, res)
	}
	if res.LongestGap > slack {
		t.Errorf("not asked for %v: %+v", res.LongestGap, res)
	}
}

func TestAnswers(t *testing.T) {
	l := newLab(t)
	v, err := l.Veth(network.VethOptions{})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, answer, fault, want string
		expect                    func([]byte) (bool, error)
		payload                   string
	}{
		{name: "first byte is enough", answer: "+PONG\r\n", payload: "PING\r\n", want: "+PONG\r\n"},
		{name: "service speaks first", answer: "220 hi\r\n", want: "220 hi\r\n"},
		{name: "whole page", answer: page, payload: "GET / HTTP/1.1\r\n\r\n", expect: ExpectHTTP200, want: page},
		{name: "wrong status", answer: "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", payload: "x", expect: ExpectHTTP200, fault: "503 Busy"},
		{name: "cut short", answer: page[:len(page)-2], payload: "x", expect: ExpectHTTP200, fault: "incomplete answer"},
		{name: "not HTTP", answer: "SSH-2.0-x\r\n", payload: "x", expect: ExpectHTTP200, fault: "not an HTTP answer"},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			addr := netip.AddrPortFrom(v.IP, uint16(100+i))
			serve(t, v.Do, addr.String(), func(c net.Conn) {
				if tt.payload != "" {
					_, _ = io.ReadFull(c, make([]byte, len(tt.payload)))
				}
				_, _ = io.WriteString(c, tt.answer)
			})
			res, err := Ask(context.Background(), l.Do, Request{Addr: addr, Payload: []byte(tt.payload), Expect: tt.expect})
			if tt.fault != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fault) {
					t.Errorf("got %v, want %q", err, tt.fault)
				}
				return
			}
			if err != nil || string(res.Response) != tt.want || res.FirstByteNs == 0 {
				t.Errorf("%v: %q %+v", err, res.Response, res)
			}
		})
	}
}

func TestExpectHTTP200(t *testing.T) {
	chunked := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
	for in, want := range map[string]bool{
		"": false, "HT": false, page[:20]: false, page[:len(page)-1]: false, page: true,
		chunked: true, chunked[:len(chunked)-5]: false,
		"HTTP/1.0 200 OK\r\n\r\n": true,
	} {
		if got, err := ExpectHTTP200([]byte(in)); got != want || err != nil {
			t.Errorf("%q: %v, %v", in, got, err)
		}
	}
}

func TestBadRequest(t *testing.T) {
	for _, r := range []Request{{}, {Addr: netip.MustParseAddrPort("127.0.0.1:0")}, {Addr: netip.MustParseAddrPort("127.0.0.1:1"), Interval: -1}} {
		if _, err := Ask(context.Background(), nil, r); err == nil {
			t.Errorf("%+v accepted", r)
		}
	}
}
