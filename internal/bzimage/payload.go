// SPDX-License-Identifier: Apache-2.0

package bzimage

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The fields of the setup header that say where the compressed kernel is
// (Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header").
const (
	setupSectsAt = 0x1f1 // u8: sectors of setup code after the boot sector; 0 means 4
	versionAt    = 0x206 // u16: major<<8 + minor
	payloadAt    = 0x248 // u32, since 2.08: from the end of the setup code
	lengthAt     = 0x24c // u32, likewise
	// PayloadHeadSize is how much of a file Parse needs.
	PayloadHeadSize = lengthAt + 4
)

// ErrNoPayload says that a bzImage does not say where its compressed kernel is.
var ErrNoPayload = errors.New("its boot protocol is older than 2.08 (Linux 2.6.26) and does not say where the compressed kernel is")

// Parts are the parts of a bzImage, in bytes. What is neither setup nor payload is the
// decompressor.
type Parts struct {
	Setup   int64 // the boot sector and the real-mode code
	Payload int64 // where the compressed kernel begins in the file
	Length  int64 // of the compressed kernel, with the four bytes of its size that follow it
}

// Parse finds the parts in the head of a bzImage of that size.
func Parse(head []byte, size int64) (Parts, error) {
	if !Is(head) {
		return Parts{}, errors.New("not a bzImage")
	}
	sects := int64(head[setupSectsAt])
	if sects == 0 {
		sects = 4
	}
	p := Parts{Setup: (sects + 1) * 512}
	if len(head) < PayloadHeadSize || binary.LittleEndian.Uint16(head[versionAt:]) < 0x208 {
		return p, ErrNoPayload
	}
	p.Payload = p.Setup + int64(binary.LittleEndian.Uint32(head[payloadAt:]))
	p.Length = int64(binary.LittleEndian.Uint32(head[lengthAt:]))
	if p.Length == 0 || p.Payload+p.Length > size {
		return p, fmt.Errorf("damaged bzImage: its compressed kernel is %d bytes from %d on, and the file has %d", p.Length, p.Payload, size)
	}
	return p, nil
}
