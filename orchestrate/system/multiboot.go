// SPDX-License-Identifier: Apache-2.0

package system

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/ukprobe/ukprobe/probe"
)

// The Multiboot Specification 0.6.96, section 3.1: the header lies in the first 8
// KiB, at a multiple of four; magic, flags and checksum add up to zero.
const (
	multibootMagic     = 0x1badb002
	multibootRoom      = 8 << 10
	multibootAddresses = 1 << 16 // of the flags: the fields from header_addr on are valid
)

// multibootHeader is a header with its address fields. VMMs go by them even if the
// file is ELF.
type multibootHeader struct {
	Magic, Flags, Checksum                               uint32
	HeaderAddr, LoadAddr, LoadEndAddr, BSSEndAddr, Entry uint32
}

// findMultiboot returns the header and its offset in the file.
func findMultiboot(head []byte) (h multibootHeader, at int64, ok bool) {
	head = head[:min(len(head), multibootRoom)]
	for at := 0; at+12 <= len(head); at += 4 {
		if binary.LittleEndian.Uint32(head[at:]) != multibootMagic {
			continue
		}
		var raw [32]byte // the address fields of a header that ends the file are zero
		copy(raw[:], head[at:])
		if _, err := binary.Decode(raw[:], binary.LittleEndian, &h); err == nil && h.Magic+h.Flags+h.Checksum == 0 {
			return h, int64(at), true
		}
	}
	return multibootHeader{}, 0, false
}

// segments is where the header, found at the offset, says that the file is loaded
// (section 3.1.3). All of it is taken for code.
func (h multibootHeader) segments(at, size int64) ([]probe.Segment, error) {
	if h.HeaderAddr < h.LoadAddr || int64(h.HeaderAddr-h.LoadAddr) > at {
		return nil, fmt.Errorf("damaged multiboot header: header_addr 0x%x, load_addr 0x%x and its place in the file, 0x%x, do not fit together", h.HeaderAddr, h.LoadAddr, at)
	}
	end := uint64(h.LoadEndAddr)
	if h.LoadEndAddr == 0 { // to the end of the file
		end = uint64(h.LoadAddr) + uint64(size-at) + uint64(h.HeaderAddr-h.LoadAddr)
	}
	end = max(end, uint64(h.BSSEndAddr))
	if end <= uint64(h.LoadAddr) || end > math.MaxUint32+1 {
		return nil, fmt.Errorf("damaged multiboot header: it loads from 0x%x to 0x%x", h.LoadAddr, end)
	}
	if uint64(h.Entry) < uint64(h.LoadAddr) || uint64(h.Entry) >= end {
		return nil, fmt.Errorf("damaged multiboot header: entry_addr 0x%x is not in what is loaded, 0x%x to 0x%x", h.Entry, h.LoadAddr, end)
	}
	return []probe.Segment{{Lo: uint64(h.LoadAddr), Hi: end, Stage: probe.StageImage}}, nil
}

// hasMultiboot2 looks for the header of the Multiboot2 Specification 2.0, section
// 3.1.1: in the first 32 KiB, at a multiple of eight.
func hasMultiboot2(head []byte) bool {
	for at := 0; at+16 <= len(head); at += 8 {
		var sum uint32
		for i := 0; i < 16; i += 4 { // magic, architecture, length, checksum
			sum += binary.LittleEndian.Uint32(head[at+i:])
		}
		if binary.LittleEndian.Uint32(head[at:]) == 0xe85250d6 && sum == 0 {
			return true
		}
	}
	return false
}
