// SPDX-License-Identifier: Apache-2.0

package solo5

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// The layout of struct mft and struct mft_entry in include/mft_abi.h, in bytes.
const (
	manifestVersion = 1
	manifestPad     = 4 // between a note's header and the manifest, which is aligned to 8
	manifestHeader  = 8 // version, number of entries
	maxEntries      = 64

	entrySize     = 104
	entryName     = 68 // with its final NUL
	entryAttached = 96 // offset of a flag that is the tender's

	// typeFirst is the type of the nameless entry that begins each manifest.
	typeFirst = 1 << 30
)

// parseManifest reads and checks a manifest as mft_validate does, and beyond that
// what would keep a tender from attaching its devices.
func parseManifest(desc []byte) ([]Device, error) {
	if desc == nil {
		return nil, errors.New("damaged: a Solo5 note about the target, but no manifest")
	}
	if len(desc) < manifestPad+manifestHeader {
		return nil, fmt.Errorf("damaged: a Solo5 manifest of %d bytes", len(desc))
	}
	m := desc[manifestPad:]
	version, entries := binary.LittleEndian.Uint32(m), binary.LittleEndian.Uint32(m[4:])
	if version != manifestVersion {
		return nil, fmt.Errorf("a Solo5 manifest of version %d: only %d is known", version, manifestVersion)
	}
	m = m[manifestHeader:]
	if entries < 1 || entries > maxEntries || len(m) != int(entries)*entrySize {
		return nil, fmt.Errorf("damaged: a Solo5 manifest of %d bytes for %d entries", len(desc), entries)
	}
	if binary.LittleEndian.Uint32(m[entryName:]) != typeFirst || m[0] != 0 {
		return nil, errors.New("damaged: the Solo5 manifest does not begin with its own entry")
	}
	var out []Device
	seen := map[string]bool{}
	for ; len(m) > 0; m = m[entrySize:] {
		if m[entryName-1] != 0 || m[entryAttached] != 0 {
			return nil, errors.New("damaged: an entry of the Solo5 manifest")
		}
		kind := DeviceType(binary.LittleEndian.Uint32(m[entryName:]))
		if kind >= typeFirst { // no device
			continue
		}
		d := Device{Name: string(m[:bytes.IndexByte(m[:entryName], 0)]), Type: kind}
		if err := d.check(); err != nil {
			return nil, err
		}
		if seen[d.Name] {
			return nil, fmt.Errorf("the Solo5 manifest declares %q twice: no tender can attach both", d.Name)
		}
		seen[d.Name] = true
		out = append(out, d)
	}
	return out, nil
}

// check holds a device against what a tender's options can name: %[A-Za-z0-9].
func (d Device) check() error {
	if d.Type != Block && d.Type != Net {
		return fmt.Errorf("the Solo5 manifest declares %q, a %v, which is not known", d.Name, d.Type)
	}
	bad := strings.IndexFunc(d.Name, func(r rune) bool {
		return (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && (r < '0' || r > '9')
	})
	if d.Name == "" || bad >= 0 {
		return fmt.Errorf("the Solo5 manifest declares a %v %q: no tender takes such a name (letters and digits)", d.Type, d.Name)
	}
	return nil
}
