// SPDX-License-Identifier: Apache-2.0

package bzimage

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"
)

// head is the head of a bzImage with two sectors of setup code and its payload where it
// says.
func head(version uint16, offset, length uint32) []byte {
	h := make([]byte, PayloadHeadSize)
	h[setupSectsAt] = 2
	h[bootFlagAt], h[bootFlagAt+1] = 0x55, 0xaa
	copy(h[magicAt:], "HdrS")
	binary.LittleEndian.PutUint16(h[versionAt:], version)
	binary.LittleEndian.PutUint32(h[payloadAt:], offset)
	binary.LittleEndian.PutUint32(h[lengthAt:], length)
	return h
}

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		name string
		head []byte
		size int64
		want Parts
		err  string
	}{
		{"whole", head(0x20f, 100, 1000), 3*512 + 1100, Parts{1536, 1636, 1000}, ""},
		{"cut", head(0x20f, 100, 1000), 3*512 + 1099, Parts{1536, 1636, 1000}, "damaged bzImage"},
		{"beyond", head(0x20f, 1<<32-1, 1<<32-1), 1 << 20, Parts{1536, 1536 + 1<<32 - 1, 1<<32 - 1}, "damaged bzImage"},
		{"empty", head(0x20f, 100, 0), 1 << 20, Parts{1536, 1636, 0}, "damaged bzImage"},
		{"old", head(0x207, 100, 1000), 1 << 20, Parts{Setup: 1536}, ErrNoPayload.Error()},
		{"short", head(0x20f, 100, 1000)[:HeadSize], 1 << 20, Parts{Setup: 1536}, ErrNoPayload.Error()},
		{"none", make([]byte, 1024), 1024, Parts{}, "not a bzImage"},
	} {
		got, err := Parse(tt.head, tt.size)
		if got != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %+v, %v; want %+v, %q", tt.name, got, err, tt.want, tt.err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(head(0x20f, 100, 1000), int64(1<<20))
	f.Fuzz(func(t *testing.T, head []byte, size int64) {
		p, err := Parse(head, size)
		if err == nil && (p.Payload < p.Setup || p.Length <= 0 || p.Payload+p.Length > size) {
			t.Errorf("%+v of %d bytes", p, size)
		}
		if errors.Is(err, ErrNoPayload) && p.Payload != 0 {
			t.Errorf("no payload, at %d", p.Payload)
		}
	})
}
