// SPDX-License-Identifier: Apache-2.0

package netservice

import (
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"

	"github.com/ukprobe/ukprobe/orchestrate/network"
)

const (
	// lease outlasts every sample, also its half, after which a client asks to keep
	// its address: a sample takes a day at most (matrix.MaxTimeout). It is not
	// infinite, which some clients add to their clock.
	lease = 7 * 24 * time.Hour
	// longestDHCP is more than any client sends on Ethernet.
	longestDHCP = 1500
)

func (s *Server) serveDHCP() {
	serve(s.dhcp, longestDHCP, func(message []byte, _ net.Addr) ([]byte, net.Addr) {
		reply := s.reply(message)
		if reply == nil {
			s.count(&s.counts.Refused)
			return nil, nil
		}
		switch reply.MessageType() {
		case dhcpv4.MessageTypeAck:
			s.count(&s.counts.Leased)
		case dhcpv4.MessageTypeNak:
			s.count(&s.counts.Refused)
		}
		return reply.ToBytes(), &net.UDPAddr{IP: receiver(reply), Port: dhcpv4.ClientPort}
	})
}

// reply answers a client's message; nil is silence.
func (s *Server) reply(message []byte) *dhcpv4.DHCPv4 {
	m, err := dhcpv4.FromBytes(message)
	if err != nil || m.OpCode != dhcpv4.OpcodeBootRequest || m.HWType != iana.HWTypeEthernet || !m.GatewayIPAddr.IsUnspecified() {
		return nil
	}
	s.mu.Lock()
	g, known := s.guests[m.ClientHWAddr.String()]
	s.mu.Unlock()
	if !known {
		return nil
	}
	switch m.MessageType() {
	case dhcpv4.MessageTypeDiscover:
		return s.offer(m, g, dhcpv4.MessageTypeOffer)
	case dhcpv4.MessageTypeRequest:
		return s.request(m, g)
	case dhcpv4.MessageTypeInform:
		if isAddress(m.ClientIPAddr, g.IP) {
			return s.offer(m, g, dhcpv4.MessageTypeAck)
		}
	}
	return nil
}

// request answers who wants an address: RFC 2131, section 4.3.2. The client either
// takes an offer (it names a server), asks whether an address that it had is still
// its own (it names that), or wants to keep the one that it has.
func (s *Server) request(m *dhcpv4.DHCPv4, g network.Guest) *dhcpv4.DHCPv4 {
	if id := m.ServerIdentifier(); id != nil && !isAddress(id, s.gateway.Addr()) {
		return nil // another server's offer
	}
	wanted := m.RequestedIPAddress()
	if wanted == nil {
		wanted = m.ClientIPAddr
	}
	if !isAddress(wanted, g.IP) {
		reply, err := dhcpv4.NewReplyFromRequest(m, dhcpv4.WithMessageType(dhcpv4.MessageTypeNak),
			dhcpv4.WithOption(dhcpv4.OptServerIdentifier(s.gateway.Addr().AsSlice())))
		if err != nil {
			return nil
		}
		// To all, for the client has no address that is right (section 4.3.2).
		reply.SetBroadcast()
		reply.ClientIPAddr = net.IPv4zero
		return reply
	}
	return s.offer(m, g, dhcpv4.MessageTypeAck)
}

// offer tells a client all there is to its network.
func (s *Server) offer(m *dhcpv4.DHCPv4, g network.Guest, kind dhcpv4.MessageType) *dhcpv4.DHCPv4 {
	gateway := net.IP(s.gateway.Addr().AsSlice())
	with := []dhcpv4.Modifier{
		dhcpv4.WithMessageType(kind),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(gateway)),
		dhcpv4.WithNetmask(net.CIDRMask(g.Prefix().Bits(), 32)),
		dhcpv4.WithRouter(gateway),
		dhcpv4.WithDNS(gateway),
		dhcpv4.WithOption(dhcpv4.OptHostName(hostName(g.IP))),
		dhcpv4.WithOption(dhcpv4.OptDomainName(zone)),
	}
	if isAddress(m.ClientIPAddr, g.IP) { // else what it says of itself is not repeated
		with = append(with, dhcpv4.WithClientIP(m.ClientIPAddr))
	}
	if m.MessageType() != dhcpv4.MessageTypeInform {
		with = append(with, dhcpv4.WithYourIP(g.IP.AsSlice()), dhcpv4.WithLeaseTime(uint32(lease.Seconds())))
	}
	reply, err := dhcpv4.NewReplyFromRequest(m, with...)
	if err != nil {
		return nil
	}
	return reply
}

// receiver is where a reply goes: to the client's address if it has one, to all if it
// asked for that, else to the address that it is given. It need not answer ARP for
// that: the lab has a permanent entry.
func receiver(reply *dhcpv4.DHCPv4) net.IP {
	switch {
	case !reply.ClientIPAddr.IsUnspecified():
		return reply.ClientIPAddr
	case reply.IsBroadcast():
		return net.IPv4bcast
	}
	return reply.YourIPAddr
}

func isAddress(ip net.IP, want netip.Addr) bool {
	got, ok := netip.AddrFromSlice(ip)
	return ok && got.Unmap() == want
}
