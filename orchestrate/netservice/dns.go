// SPDX-License-Identifier: Apache-2.0

package netservice

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	// zone is below the name that ICANN keeps for private use (July 2024).
	zone        = "ukprobe.internal"
	gatewayName = "gateway"

	// longestDNS is what UDP carries without EDNS (RFC 1035, section 4.2.1); all our
	// answers are shorter, and so is every question of ours.
	longestDNS = 512
	// ttl of an answer in seconds.
	ttl = 60

	// The bounds of DNS over TCP.
	mostConnections = 4
	connectionTime  = 5 * time.Second
)

// hostName is a guest's name in the zone: guest and the last part of its address.
func hostName(ip netip.Addr) string {
	a := ip.As4()
	return "guest" + strconv.Itoa(int(a[3]))
}

func (s *Server) serveUDP() {
	serve(s.udp, longestDNS, func(message []byte, from net.Addr) ([]byte, net.Addr) { return s.resolve(message), from })
}

// serveTCP serves as many connections as there are places, and closes others at once.
func (s *Server) serveTCP(ctx context.Context) {
	places := make(chan struct{}, mostConnections)
	for {
		conn, err := s.tcp.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			time.Sleep(connectionTime / 100) // out of descriptors: not as fast as it can
			continue
		}
		select {
		case places <- struct{}{}:
			s.serving.Go(func() {
				stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
				s.converse(conn)
				stop()
				_ = conn.Close()
				<-places
			})
		default:
			_ = conn.Close()
		}
	}
}

// converse answers the questions of one connection. Each has its length in front
// (RFC 1035, section 4.2.2).
func (s *Server) converse(conn net.Conn) {
	if conn.SetDeadline(time.Now().Add(connectionTime)) != nil {
		return
	}
	var buf [2 + longestDNS]byte
	for {
		if _, err := io.ReadFull(conn, buf[:2]); err != nil {
			return
		}
		n := int(binary.BigEndian.Uint16(buf[:2]))
		if n > longestDNS {
			return
		}
		if _, err := io.ReadFull(conn, buf[:n]); err != nil {
			return
		}
		answer := s.resolve(buf[:n])
		if answer == nil {
			return
		}
		if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...)); err != nil {
			return
		}
	}
}

// resolve answers a message; nil is silence, which is for what is no question.
func (s *Server) resolve(message []byte) []byte {
	var p dnsmessage.Parser
	header, err := p.Start(message)
	if err != nil || header.Response {
		return nil
	}
	s.count(&s.counts.Names)
	reply := dnsmessage.Header{ID: header.ID, Response: true, OpCode: header.OpCode, RecursionDesired: header.RecursionDesired}
	if header.OpCode != 0 {
		reply.RCode = dnsmessage.RCodeNotImplemented
		return pack(dnsmessage.Message{Header: reply})
	}
	questions, err := p.AllQuestions()
	if err != nil || len(questions) != 1 {
		reply.RCode = dnsmessage.RCodeFormatError
		return pack(dnsmessage.Message{Header: reply})
	}
	return pack(s.answer(reply, questions[0]))
}

func pack(m dnsmessage.Message) []byte {
	out, err := m.Pack()
	if err != nil {
		return nil
	}
	return out
}

// answer looks one question up.
func (s *Server) answer(h dnsmessage.Header, q dnsmessage.Question) dnsmessage.Message {
	out := dnsmessage.Message{Header: h, Questions: []dnsmessage.Question{q}}
	name := strings.ToLower(strings.TrimSuffix(q.Name.String(), "."))
	found, inZone := s.lookUp(name)
	if !inZone || q.Class != dnsmessage.ClassINET {
		out.RCode = dnsmessage.RCodeRefused
		return out
	}
	out.Authoritative = true
	head := dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: ttl}
	all := q.Type == dnsmessage.TypeALL
	switch record := found.(type) {
	case nil:
		out.RCode = dnsmessage.RCodeNameError
	case *dnsmessage.AResource:
		if all || q.Type == dnsmessage.TypeA {
			out.Answers = []dnsmessage.Resource{{Header: head, Body: record}}
		}
	case *dnsmessage.PTRResource:
		if all || q.Type == dnsmessage.TypePTR {
			out.Answers = []dnsmessage.Resource{{Header: head, Body: record}}
		}
	case *dnsmessage.SOAResource:
		if all || q.Type == dnsmessage.TypeSOA {
			out.Answers = []dnsmessage.Resource{{Header: head, Body: record}}
		}
	}
	if len(out.Answers) == 0 {
		// For how long there is none (RFC 2308).
		apex := dnsmessage.ResourceHeader{Name: s.apex(name), Class: dnsmessage.ClassINET, TTL: ttl}
		out.Authorities = []dnsmessage.Resource{{Header: apex, Body: startOfAuthority()}}
	}
	return out
}

// lookUp finds the one record that a name has, nil if there is no such name; inZone
// tells whether the name is ours to know.
func (s *Server) lookUp(name string) (record dnsmessage.ResourceBody, inZone bool) {
	if name == zone || name == s.reverseZone() {
		return startOfAuthority(), true
	}
	if host, ok := strings.CutSuffix(name, "."+zone); ok {
		if ip, known := s.addressOf(host); known {
			return &dnsmessage.AResource{A: ip.As4()}, true
		}
		return nil, true
	}
	last, ok := strings.CutSuffix(name, "."+s.reverseZone())
	if !ok {
		return nil, false
	}
	n, err := strconv.ParseUint(last, 10, 8)
	if err != nil || strconv.FormatUint(n, 10) != last {
		return nil, true
	}
	a := s.gateway.Addr().As4()
	a[3] = byte(n)
	if host, known := s.nameOf(netip.AddrFrom4(a)); known {
		return &dnsmessage.PTRResource{PTR: dnsmessage.MustNewName(host + "." + zone + ".")}, true
	}
	return nil, true
}

// reverseZone has the names of the lab's addresses: a prefix of 24 bits is a zone.
func (s *Server) reverseZone() string {
	a := s.gateway.Addr().As4()
	return fmt.Sprintf("%d.%d.%d.in-addr.arpa", a[2], a[1], a[0])
}

func (s *Server) apex(name string) dnsmessage.Name {
	if name == zone || strings.HasSuffix(name, "."+zone) {
		return dnsmessage.MustNewName(zone + ".")
	}
	return dnsmessage.MustNewName(s.reverseZone() + ".")
}

func (s *Server) addressOf(host string) (netip.Addr, bool) {
	if host == gatewayName {
		return s.gateway.Addr(), true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.guests {
		if hostName(g.IP) == host {
			return g.IP, true
		}
	}
	return netip.Addr{}, false
}

func (s *Server) nameOf(ip netip.Addr) (string, bool) {
	if ip == s.gateway.Addr() {
		return gatewayName, true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.guests {
		if g.IP == ip {
			return hostName(ip), true
		}
	}
	return "", false
}

func startOfAuthority() *dnsmessage.SOAResource {
	server := dnsmessage.MustNewName(gatewayName + "." + zone + ".")
	return &dnsmessage.SOAResource{NS: server, MBox: dnsmessage.MustNewName("nobody.invalid."),
		Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, MinTTL: ttl}
}
