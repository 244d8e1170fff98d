// SPDX-License-Identifier: Apache-2.0

package netservice

import (
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/ukprobe/ukprobe/orchestrate/network"
)

// TestUdhcpc: busybox' client behind a veth of the lab gets the address that the lab
// has for it, whether it wants answers sent to all or to itself, and keeps it.
func TestUdhcpc(t *testing.T) {
	lab, s := newLab(t)
	v := newVeth(t, lab)
	s.Add(v.Guest)
	const bound = "bound ip=198.18.0.2 subnet=255.255.255.0 router=198.18.0.1 dns=198.18.0.1 serverid=198.18.0.1 lease=604800 hostname=guest2 domain=ukprobe.internal"
	for name, args := range map[string][]string{
		"answered itself": nil,
		"answered to all": {"-B"},
		"wants its own":   {"-r", "198.18.0.2"},
		"wants another's": {"-r", "198.18.0.77"},
	} {
		t.Run(name, func(t *testing.T) {
			log, out, err := udhcpc(t, v, args...)
			if err != nil {
				t.Fatalf("udhcpc: %v\n%s", err, out)
			}
			lines := strings.Split(log, "\n")
			if got := lines[len(lines)-1]; got != bound {
				t.Errorf("was told\n%s, want\n%s", log, bound)
			}
		})
	}
	// And with it reaches the lab.
	if out, err := in(v, busybox(t), "ping", "-c", "1", "-W", "2", "198.18.0.1"); err != nil {
		t.Errorf("ping the gateway: %v\n%s", err, out)
	}
	if c := s.Counts(); c.Leased != 4 || c.Refused != 0 {
		t.Errorf("counted %+v, want 4 leases", c)
	}
}

// TestStrangers get no answer, and who was forgotten is one.
func TestStrangers(t *testing.T) {
	lab, s := newLab(t)
	known, stranger := newVeth(t, lab), newVeth(t, lab)
	s.Add(known.Guest)
	if log, out, err := udhcpc(t, stranger); err == nil || strings.Contains(log, "bound") {
		t.Errorf("a stranger was told %q\n%s", log, out)
	}
	s.Remove(known.Guest)
	if log, _, err := udhcpc(t, known); err == nil || strings.Contains(log, "bound") {
		t.Errorf("who was removed was told %q", log)
	}
	if c := s.Counts(); c.Leased != 0 || c.Refused < 2 {
		t.Errorf("counted %+v, want no lease, and all that was asked", c)
	}
}

// TestOnlyInside: the sockets are in the lab's namespace, and on its addresses.
func TestOnlyInside(t *testing.T) {
	lab, _ := newLab(t)
	// Local addresses as proc(5) writes them: of the bridge port 53, of none port 67.
	const name, asks = " 010012C6:0035 ", " 00000000:0043 "
	sockets := func() string {
		var all []byte
		for _, table := range []string{"udp", "tcp"} {
			text, err := os.ReadFile("/proc/thread-self/net/" + table)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, text...)
		}
		return string(all)
	}
	var inside string
	if err := lab.Do(func() error { inside = sockets(); return nil }); err != nil {
		t.Fatal(err)
	}
	if strings.Count(inside, name) != 2 || strings.Count(inside, asks) != 1 {
		t.Errorf("the lab has not both sockets of DNS and the one of DHCP:\n%s", inside)
	}
	if outside := sockets(); strings.Contains(outside, name) {
		t.Errorf("the host has one too:\n%s", outside)
	}
}

// bare is a Server that is asked without a socket.
func bare() (*Server, network.Guest) {
	g := network.First("uktap0")
	s := &Server{gateway: netip.MustParsePrefix("198.18.0.1/24"), guests: map[string]network.Guest{}}
	s.Add(g)
	return s, g
}

func message(t testing.TB, mac net.HardwareAddr, with ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	t.Helper()
	m, err := dhcpv4.New(append([]dhcpv4.Modifier{dhcpv4.WithHwAddr(mac)}, with...)...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestReply: RFC 2131's states of a client, and what is none.
func TestReply(t *testing.T) {
	s, g := bare()
	kind, ip := dhcpv4.WithMessageType, net.ParseIP
	wants := func(a string) dhcpv4.Modifier { return dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(ip(a))) }
	server := func(a string) dhcpv4.Modifier { return dhcpv4.WithOption(dhcpv4.OptServerIdentifier(ip(a))) }
	tests := []struct {
		name string
		with []dhcpv4.Modifier
		want string // kind, your address, receiver
	}{
		{"looks for servers", []dhcpv4.Modifier{kind(dhcpv4.MessageTypeDiscover)}, "OFFER 198.18.0.2 to 198.18.0.2"},
		{"looks, deaf to its own address", []dhcpv4.Modifier{kind(dhcpv4.MessageTypeDiscover), dhcpv4.WithBroadcast(true)}, "OFFER 198.18.0.2 to 255.255.255.255"},
		{"looks, says it is another", []dhcpv4.Modifier{kind(dhcpv4.MessageTypeDiscover), dhcpv4.WithClientIP(ip("198.18.0.9"))}, "OFFER 198.18.0.2 to 198.18.0.2"},
		{"takes the offer", []dhcpv4.Modifier{kind(dhcpv4.MessageTypeRequest), server("198.18.0.1"), wants("198.18.0.2")}, "ACK 198.18.0.2 to 198.18.0.2"},
		{"takes another server's", []dhcpv4.Modifier{kind(dhcpv4.MessageTypeRequest), server("198.18.0.3"), wants("198.18.0.2")}, ""},
		{"starts again", []dhcpv4.Modifier{kind(dhcpv4.MessageTypeRequest), wants("198.18.0.2")}, "ACK 198.18.0.2 to 198.18.0.2"},
		{"starts again elsewhere", []dhcpv4.Modifier{kind(dhcpv4.MessageTypeRequest), wants("10.0.2.15")}, "NAK 0.0.0.0 to 255.255.255.255"},
		{"keeps its address", []dhcpv4.Modifier{kind(dhcpv4.MessageTypeRequest), dhcpv4.WithClientIP(ip("198.18.0.2"))}, "ACK 198.18.0.2 to 198.18.0.2"},
		{"keeps a wrong one", []dhcpv4.Modifier{kind(dhcpv4.MessageTypeRequest), dhcpv4.WithClientIP(ip("198.18.0.9"))}, "NAK 0.0.0.0 to 255.255.255.255"},
		{"wants none", []dhcpv4.Modifier{kind(dhcpv4.MessageTypeRequest)}, "NAK 0.0.0.0 to 255.255.255.255"},
		{"only wants to know", []dhcpv4.Modifier{kind(dhcpv4.MessageTypeInform), dhcpv4.WithClientIP(ip("198.18.0.2"))}, "ACK 0.0.0.0 to 198.18.0.2"},
		{"only wants to know, is another", []dhcpv4.Modifier{kind(dhcpv4.MessageTypeInform), dhcpv4.WithClientIP(ip("198.18.0.9"))}, ""},
		{"gives it back", []dhcpv4.Modifier{kind(dhcpv4.MessageTypeRelease), dhcpv4.WithClientIP(ip("198.18.0.2"))}, ""},
		{"declines it", []dhcpv4.Modifier{kind(dhcpv4.MessageTypeDecline), wants("198.18.0.2")}, ""},
		{"is a server", []dhcpv4.Modifier{kind(dhcpv4.MessageTypeOffer), func(d *dhcpv4.DHCPv4) { d.OpCode = dhcpv4.OpcodeBootReply }}, ""},
		{"is behind a relay", []dhcpv4.Modifier{kind(dhcpv4.MessageTypeDiscover), dhcpv4.WithGatewayIP(ip("198.18.0.5"))}, ""},
		{"speaks BOOTP", nil, ""},
	}
	for _, tt := range tests {
		got := ""
		if r := s.reply(message(t, g.MAC, tt.with...).ToBytes()); r != nil {
			got = strings.Join([]string{r.MessageType().String(), r.YourIPAddr.String(), "to", receiver(r).String()}, " ")
			if !isAddress(r.ServerIdentifier(), s.gateway.Addr()) {
				t.Errorf("%s: server %s", tt.name, r.ServerIdentifier())
			}
			if hasLease := r.IPAddressLeaseTime(0) != 0; hasLease != (!r.YourIPAddr.IsUnspecified()) {
				t.Errorf("%s: lease %v", tt.name, r.IPAddressLeaseTime(0))
			}
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestClientIdentifierComesBack: RFC 6842.
func TestClientIdentifierComesBack(t *testing.T) {
	s, g := bare()
	id := dhcpv4.OptClientIdentifier([]byte{1, 2, 3})
	r := s.reply(message(t, g.MAC, dhcpv4.WithMessageType(dhcpv4.MessageTypeDiscover), dhcpv4.WithOption(id)).ToBytes())
	if r == nil {
		t.Fatal("no answer")
	}
	if diff := cmp.Diff([]byte{1, 2, 3}, r.Options.Get(dhcpv4.OptionClientIdentifier)); diff != "" {
		t.Error(diff)
	}
}

// FuzzDHCP: whatever comes, an answer is a whole message that gives the guest's own
// address or none.
func FuzzDHCP(f *testing.F) {
	s, g := bare()
	for _, kind := range []dhcpv4.MessageType{dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeRequest, dhcpv4.MessageTypeInform} {
		f.Add(message(f, g.MAC, dhcpv4.WithMessageType(kind), dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(g.IP.AsSlice()))).ToBytes())
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r := s.reply(text)
		if r == nil {
			return
		}
		out, err := dhcpv4.FromBytes(r.ToBytes())
		if err != nil {
			t.Fatalf("our answer cannot be read: %v", err)
		}
		if !out.YourIPAddr.IsUnspecified() && !isAddress(out.YourIPAddr, g.IP) || out.ClientHWAddr.String() != g.MAC.String() {
			t.Errorf("gave %s to %s", out.YourIPAddr, out.ClientHWAddr)
		}
		if to := receiver(out); !to.Equal(net.IPv4bcast) && !isAddress(to, g.IP) {
			t.Errorf("the answer goes to %s", to)
		}
	})
}
