// SPDX-License-Identifier: Apache-2.0

package reference

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
)

// segment is a TCP segment with all that an answer is checked for.
type segment struct {
	From, To           netip.Addr
	FromPort, ToPort   uint16
	Seq, Ack           uint32
	SYN, ACK, FIN, RST bool
	Data               string
}

// checksum is RFC 1071's; over data with its checksum in place it is zero.
func checksum(data []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(data); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(data[i:]))
	}
	if len(data)%2 == 1 {
		sum += uint32(data[len(data)-1]) << 8
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// tcpChecksum is over the pseudo header and the segment.
func tcpChecksum(ip, tcp []byte) uint16 {
	pseudo := append(append([]byte(nil), ip[12:20]...), 0, 6)
	pseudo = binary.BigEndian.AppendUint16(pseudo, uint16(len(tcp)))
	return checksum(append(pseudo, tcp...))
}

func (s segment) flags() (f byte) {
	for bit, set := range []bool{s.FIN, s.SYN, s.RST, false, s.ACK} {
		if set {
			f |= 1 << bit
		}
	}
	return f
}

// frame builds the segment's Ethernet frame.
func (s segment) frame(from, to net.HardwareAddr) []byte {
	tcp := binary.BigEndian.AppendUint16(nil, s.FromPort)
	tcp = binary.BigEndian.AppendUint16(tcp, s.ToPort)
	tcp = binary.BigEndian.AppendUint32(tcp, s.Seq)
	tcp = binary.BigEndian.AppendUint32(tcp, s.Ack)
	tcp = append(tcp, 5<<4, s.flags(), 0x20, 0, 0, 0, 0, 0)
	tcp = append(tcp, s.Data...)
	ip := []byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, 6, 0, 0}
	ip = append(append(ip, s.From.AsSlice()...), s.To.AsSlice()...)
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)+len(tcp)))
	binary.BigEndian.PutUint16(ip[10:], checksum(ip))
	binary.BigEndian.PutUint16(tcp[16:], tcpChecksum(ip, tcp))
	frame := append(append([]byte(nil), to...), from...)
	frame = append(frame, 0x08, 0x00)
	return append(append(frame, ip...), tcp...)
}

// parseSegment reads a frame and refuses wrong lengths and checksums.
func parseSegment(frame []byte) (segment, error) {
	if len(frame) < 54 || frame[12] != 0x08 || frame[13] != 0x00 || frame[23] != 6 {
		return segment{}, fmt.Errorf("not TCP: % x", frame)
	}
	ip := frame[14:34]
	if total := int(binary.BigEndian.Uint16(ip[2:])); ip[0] != 0x45 || total != len(frame)-14 {
		return segment{}, fmt.Errorf("IP header % x on a frame of %d bytes", ip, len(frame))
	}
	tcp := frame[34:]
	if a, b := checksum(ip), tcpChecksum(ip, tcp); a != 0 || b != 0 {
		return segment{}, fmt.Errorf("checksums are off by %#x (IP), %#x (TCP): % x", a, b, frame)
	}
	flags := tcp[13]
	from, _ := netip.AddrFromSlice(ip[12:16])
	to, _ := netip.AddrFromSlice(ip[16:20])
	return segment{
		From: from, To: to,
		FromPort: binary.BigEndian.Uint16(tcp), ToPort: binary.BigEndian.Uint16(tcp[2:]),
		Seq: binary.BigEndian.Uint32(tcp[4:]), Ack: binary.BigEndian.Uint32(tcp[8:]),
		FIN: flags&1 != 0, SYN: flags&2 != 0, RST: flags&4 != 0, ACK: flags&16 != 0,
		Data: string(tcp[tcp[12]>>4*4:]),
	}, nil
}
