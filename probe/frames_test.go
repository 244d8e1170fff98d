// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// station is an end of a wire in tests.
type station struct {
	mac    [6]byte
	ip, v6 netip.Addr
}

func newStation(n byte) station {
	return station{mac: [6]byte{0x52, 0x54, 0, 0, 0, n}, ip: netip.AddrFrom4([4]byte{198, 18, 0, n}),
		v6: netip.AddrFrom16([16]byte{0xfd, 15: n})}
}

// guest is the watched one; client and other are outside.
var guest, client, other = newStation(2), newStation(1), newStation(3)

func be16(n ...uint16) (out []byte) {
	for _, v := range n {
		out = binary.BigEndian.AppendUint16(out, v)
	}
	return out
}

func ethernet(from, to [6]byte, kind uint16, payload ...byte) []byte {
	return slices.Concat(to[:], from[:], be16(kind), payload)
}

// ipFrame is an IPv4 or IPv6 frame.
func ipFrame(six bool, from, to station, protocol byte, payload []byte) []byte {
	if six {
		header := slices.Concat([]byte{0x60, 0, 0, 0}, be16(uint16(len(payload))), []byte{protocol, 255}, from.v6.AsSlice(), to.v6.AsSlice())
		return ethernet(from.mac, to.mac, 0x86dd, slices.Concat(header, payload)...)
	}
	header := slices.Concat([]byte{0x45, 0}, be16(uint16(20+len(payload)), 0, 0), []byte{64, protocol, 0, 0}, from.ip.AsSlice(), to.ip.AsSlice())
	return ethernet(from.mac, to.mac, 0x0800, slices.Concat(header, payload)...)
}

// conn is a TCP connection between two stations, with what each has sent.
type conn struct {
	six                bool
	opener, server     station
	sport, dport       uint16
	openerSeq, servSeq uint32
}

func newConn(opener, server station) *conn {
	return &conn{opener: opener, server: server, sport: 40000, dport: 80, openerSeq: 0xfffffff0, servSeq: 0x7ffffff8}
}

// frame is a segment as it is; tcpFrom moves the sequence numbers on.
func (c *conn) frame(opener bool, seq, ack uint32, flags byte, data string) []byte {
	from, to, sport, dport := c.opener, c.server, c.sport, c.dport
	if !opener {
		from, to, sport, dport = to, from, dport, sport
	}
	tcp := be16(sport, dport)
	tcp = binary.BigEndian.AppendUint32(tcp, seq)
	tcp = binary.BigEndian.AppendUint32(tcp, ack)
	tcp = append(append(tcp, 5<<4, flags, 1, 0, 0, 0, 0, 0), data...)
	return ipFrame(c.six, from, to, 6, tcp)
}

// ask is a segment of the opener, answer one of the server: in order, and
// acknowledging all that came.
func (c *conn) ask(flags byte, data string) []byte {
	f := c.frame(true, c.openerSeq, c.servSeq, flags, data)
	c.openerSeq += segmentLength(flags, data)
	return f
}

func (c *conn) answer(flags byte, data string) []byte {
	f := c.frame(false, c.servSeq, c.openerSeq, flags, data)
	c.servSeq += segmentLength(flags, data)
	return f
}

func segmentLength(flags byte, data string) uint32 {
	n := uint32(len(data))
	if flags&(syn|fin) != 0 {
		n++
	}
	return n
}

// open is the three-way handshake.
func (c *conn) open() [][]byte {
	return [][]byte{c.ask(syn, ""), c.answer(syn|ack, ""), c.ask(ack, "")}
}

func arpFrame(op uint16, from, to station, toMAC [6]byte) []byte {
	return ethernet(from.mac, toMAC, 0x0806, slices.Concat(be16(1, 0x0800), []byte{6, 4}, be16(op),
		from.mac[:], from.ip.AsSlice(), to.mac[:], to.ip.AsSlice())...)
}

var everybody = [6]byte{255, 255, 255, 255, 255, 255}

func arpAsk(from, to station) []byte   { return arpFrame(1, from, to, everybody) }
func arpReply(from, to station) []byte { return arpFrame(2, from, to, to.mac) }

func echo(six bool, from, to station, reply bool, id, seq uint16) []byte {
	protocol, kind := byte(1), byte(8)
	switch {
	case six && reply:
		protocol, kind = 58, 129
	case six:
		protocol, kind = 58, 128
	case reply:
		kind = 0
	}
	return ipFrame(six, from, to, protocol, slices.Concat([]byte{kind, 0, 0, 0}, be16(id, seq), []byte("payload")))
}

// solicit asks all for an address, advertise answers.
func solicit(from, to station) []byte {
	f := ipFrame(true, from, to, 58, slices.Concat([]byte{135, 0, 0, 0, 0, 0, 0, 0}, to.v6.AsSlice()))
	copy(f, []byte{0x33, 0x33, 0xff, 0, 0, 1})                                                 // Ethernet's group
	copy(f[14+24:], netip.AddrFrom16([16]byte{0xff, 0x02, 13: 0xff, 15: to.mac[5]}).AsSlice()) // and IPv6's
	return f
}

func advertise(from, to station) []byte {
	return ipFrame(true, from, to, 58, slices.Concat([]byte{136, 0, 0, 0, 0x60, 0, 0, 0}, from.v6.AsSlice()))
}

func dnsFrame(six bool, from, to station, sport, dport, id uint16, answer bool) []byte {
	flags := uint16(0x0100)
	if answer {
		flags = 0x8180
	}
	dns := be16(id, flags, 1, 0, 0, 0)
	return ipFrame(six, from, to, 17, slices.Concat(be16(sport, dport, uint16(8+len(dns)), 0), dns))
}
