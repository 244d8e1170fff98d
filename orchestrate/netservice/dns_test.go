// SPDX-License-Identifier: Apache-2.0

package netservice

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/ukprobe/ukprobe/orchestrate/network"
)

const typeA = dnsmessage.TypeA

func question(t testing.TB, name string, kind dnsmessage.Type) []byte {
	t.Helper()
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: 7, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: kind, Class: dnsmessage.ClassINET}},
	}
	out, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestResolve: the zone, its reverse, and what is neither.
func TestResolve(t *testing.T) {
	s, _ := bare()
	tests := []struct {
		name string
		kind dnsmessage.Type
		want string
	}{
		{"gateway.ukprobe.internal.", typeA, "RCodeSuccess authoritative 198.18.0.1"},
		{"guest2.ukprobe.internal.", typeA, "RCodeSuccess authoritative 198.18.0.2"},
		{"GUEST2.ukprobe.Internal.", typeA, "RCodeSuccess authoritative 198.18.0.2"},
		{"guest2.ukprobe.internal.", dnsmessage.TypeALL, "RCodeSuccess authoritative 198.18.0.2"},
		{"guest2.ukprobe.internal.", dnsmessage.TypeAAAA, "RCodeSuccess authoritative none"},
		{"guest2.ukprobe.internal.", dnsmessage.TypePTR, "RCodeSuccess authoritative none"},
		{"guest3.ukprobe.internal.", typeA, "RCodeNameError authoritative none"},
		{"a.guest2.ukprobe.internal.", typeA, "RCodeNameError authoritative none"},
		{"ukprobe.internal.", typeA, "RCodeSuccess authoritative none"},
		{"ukprobe.internal.", dnsmessage.TypeSOA, "RCodeSuccess authoritative gateway.ukprobe.internal."},
		{"2.0.18.198.in-addr.arpa.", dnsmessage.TypePTR, "RCodeSuccess authoritative guest2.ukprobe.internal."},
		{"1.0.18.198.in-addr.arpa.", dnsmessage.TypePTR, "RCodeSuccess authoritative gateway.ukprobe.internal."},
		{"9.0.18.198.in-addr.arpa.", dnsmessage.TypePTR, "RCodeNameError authoritative none"},
		{"02.0.18.198.in-addr.arpa.", dnsmessage.TypePTR, "RCodeNameError authoritative none"},
		{"999.0.18.198.in-addr.arpa.", dnsmessage.TypePTR, "RCodeNameError authoritative none"},
		{"2.2.0.10.in-addr.arpa.", dnsmessage.TypePTR, "RCodeRefused none"},
		{"xukprobe.internal.", typeA, "RCodeRefused none"},
		{"example.org.", typeA, "RCodeRefused none"},
		{".", typeA, "RCodeRefused none"},
	}
	for _, tt := range tests {
		if got := described(t, s.resolve(question(t, tt.name, tt.kind))); got != tt.want {
			t.Errorf("%s %s: %s, want %s", tt.name, tt.kind, got, tt.want)
		}
	}
}

// described says in words what an answer says.
func described(t testing.TB, answer []byte) string {
	t.Helper()
	if answer == nil {
		return "silence"
	}
	var m dnsmessage.Message
	if err := m.Unpack(answer); err != nil {
		t.Fatalf("our answer cannot be read: %v", err)
	}
	if m.ID != 7 || !m.Response || m.RecursionAvailable {
		t.Errorf("header %+v", m.Header)
	}
	words := []string{m.RCode.String()}
	if m.Authoritative {
		words = append(words, "authoritative")
	}
	if m.Authoritative && len(m.Answers)+len(m.Authorities) == 0 {
		t.Error("no answer, and no SOA that says for how long")
	}
	if len(m.Answers) == 0 {
		words = append(words, "none")
	}
	for _, a := range m.Answers {
		switch body := a.Body.(type) {
		case *dnsmessage.AResource:
			words = append(words, net.IP(body.A[:]).String())
		case *dnsmessage.PTRResource:
			words = append(words, body.PTR.String())
		case *dnsmessage.SOAResource:
			words = append(words, body.NS.String())
		}
	}
	return strings.Join(words, " ")
}

// TestNoQuestion: answers, other operations, none or several questions, and rubbish.
func TestNoQuestion(t *testing.T) {
	s, _ := bare()
	ask := question(t, "gateway.ukprobe.internal.", typeA)
	with := func(change func([]byte)) []byte {
		out := append([]byte(nil), ask...)
		change(out)
		return out
	}
	for name, tt := range map[string]struct {
		message []byte
		want    string
	}{
		"an answer":      {with(func(m []byte) { m[2] |= 0x80 }), "silence"},
		"an update":      {with(func(m []byte) { m[2] |= 5 << 3 }), "RCodeNotImplemented none"},
		"no question":    {with(func(m []byte) { m[5] = 0 }), "RCodeFormatError none"},
		"two, of one":    {with(func(m []byte) { m[5] = 2 }), "RCodeFormatError none"},
		"class CHAOS":    {with(func(m []byte) { m[len(m)-1] = 3 }), "RCodeRefused none"},
		"half a message": {ask[:15], "RCodeFormatError none"},
		"half a header":  {ask[:11], "silence"},
		"nothing":        {nil, "silence"},
	} {
		if got := described(t, s.resolve(tt.message)); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}

// TestGuestsResolver: the C library's resolver and busybox' nslookup at the far end
// of a wire, over UDP; Go's over TCP.
func TestGuestsResolver(t *testing.T) {
	lab, s := newLab(t)
	v := newVeth(t, lab)
	s.Add(v.Guest)
	if _, out, err := udhcpc(t, v); err != nil {
		t.Fatalf("udhcpc: %v\n%s", err, out)
	}
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(conf, []byte("nameserver 198.18.0.1\nsearch ukprobe.internal\noptions timeout:2 attempts:1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	getent := func(args string) (string, error) {
		return in(v, "unshare", "--mount", "sh", "-c", `mount --bind "$1" /etc/resolv.conf && exec getent `+args, "sh", conf)
	}
	for args, want := range map[string]string{
		"ahostsv4 gateway": "198.18.0.1",
		"ahostsv4 guest2":  "198.18.0.2",
		"hosts 198.18.0.2": "guest2.ukprobe.internal",
	} {
		if out, err := getent(args); err != nil || !strings.Contains(out, want) {
			t.Errorf("getent %s: %v, %q, want %s", args, err, out, want)
		}
	}
	if out, err := getent("ahostsv4 example.org"); err == nil {
		t.Errorf("a name of the world has an address: %s", out)
	}
	if out, err := in(v, busybox(t), "nslookup", "gateway.ukprobe.internal", "198.18.0.1"); err != nil || !strings.Contains(out, "198.18.0.1") {
		t.Errorf("nslookup: %v\n%s", err, out)
	}
	overTCP(t, v)
}

// overTCP asks a name by a connection.
func overTCP(t *testing.T, v *network.Veth) {
	t.Helper()
	r := net.Resolver{PreferGo: true, Dial: func(_ context.Context, _, _ string) (c net.Conn, err error) {
		err = v.Do(func() error {
			c, err = net.DialTimeout("tcp4", "198.18.0.1:53", 2*time.Second)
			return err
		})
		return c, err
	}}
	got, err := r.LookupHost(t.Context(), "guest2.ukprobe.internal.")
	if err != nil || len(got) != 1 || got[0] != "198.18.0.2" {
		t.Errorf("over TCP: %v, %v", got, err)
	}
}

// TestFlood: who floods both servers and opens connections without end makes them no
// larger, and others are still answered.
func TestFlood(t *testing.T) {
	lab, s := newLab(t)
	v := newVeth(t, lab)
	s.Add(v.Guest)
	if _, out, err := udhcpc(t, v); err != nil {
		t.Fatalf("udhcpc: %v\n%s", err, out)
	}
	before, goroutines := heap(), runtime.NumGoroutine()
	var conns []net.Conn
	err := v.Do(func() error {
		for range 50 {
			c, err := net.DialTimeout("tcp4", "198.18.0.1:53", 2*time.Second)
			if err != nil {
				return err
			}
			conns = append(conns, c)
		}
		c, err := net.Dial("udp4", "198.18.0.1:53")
		if err != nil {
			return err
		}
		defer c.Close()
		for i := range 50_000 {
			if _, err := c.Write(question(t, fmt.Sprintf("name%d.ukprobe.internal.", i), typeA)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// Sockets of this process, so that its own descriptors do not count.
	if n := runtime.NumGoroutine() - goroutines; n > mostConnections+8 {
		t.Errorf("%d goroutines more", n)
	}
	for _, c := range conns {
		_ = c.Close()
	}
	if grown := heap() - before; grown > 4<<20 {
		t.Errorf("%d bytes more", grown)
	}
	if log, out, err := udhcpc(t, v); err != nil || !strings.Contains(log, "bound") {
		t.Errorf("afterwards: %v\n%s", err, out)
	}
	overTCP(t, v)
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestSlowConnection: who opens connections and says nothing keeps its places for so
// long and no longer, and more than there are places are closed at once.
func TestSlowConnection(t *testing.T) {
	lab, _ := newLab(t)
	var conns []net.Conn
	err := lab.Do(func() error {
		for range mostConnections + 1 {
			c, err := net.DialTimeout("tcp4", "198.18.0.1:53", 2*time.Second)
			if err != nil {
				return err
			}
			conns = append(conns, c)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	last := conns[mostConnections]
	_ = last.SetReadDeadline(time.Now().Add(2 * time.Second))
	if _, err := last.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection beyond the places: %v, want closed", err)
	}
	first := conns[0]
	_ = first.SetReadDeadline(time.Now().Add(connectionTime + 3*time.Second))
	begun := time.Now()
	if _, err := first.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a silent connection: %v after %v, want closed after %v", err, time.Since(begun), connectionTime)
	}
	for _, c := range conns {
		_ = c.Close()
	}
}

// TestHostileLength: a length in front that is longer than any question ends it.
func TestHostileLength(t *testing.T) {
	lab, _ := newLab(t)
	var c net.Conn
	if err := lab.Do(func() (err error) { c, err = net.Dial("tcp4", "198.18.0.1:53"); return err }); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = c.Write(binary.BigEndian.AppendUint16(nil, 65535))
	_ = c.SetReadDeadline(time.Now().Add(2 * time.Second))
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v, want closed", err)
	}
}

// FuzzDNS: whatever comes, an answer can be read, is short, and is one.
func FuzzDNS(f *testing.F) {
	s, _ := bare()
	for _, name := range []string{"gateway.ukprobe.internal.", "2.0.18.198.in-addr.arpa.", "example.org.", "."} {
		f.Add(question(f, name, dnsmessage.TypeALL))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		answer := s.resolve(text)
		if answer == nil {
			return
		}
		var m dnsmessage.Message
		if err := m.Unpack(answer); err != nil || !m.Response || len(m.Answers) > 1 {
			t.Errorf("%v, %+v", err, m)
		}
		if len(answer) > longestDNS {
			t.Errorf("%d bytes for a question of %d", len(answer), len(text))
		}
	})
}
