// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/cavaliergopher/cpio"
)

// pack writes the tree as a newc cpio archive: without times, all owned by root,
// the device nodes first, then the rest in the order of the paths.
func (t tree) pack(w io.Writer) error {
	if err := t.packDevices(w); err != nil {
		return err
	}
	archive := cpio.NewWriter(w)
	for _, name := range t.names() {
		n := t[name]
		h := &cpio.Header{Name: strings.TrimPrefix(name, "/"), Size: int64(len(n.data))}
		switch n.mode.Type() {
		case fs.ModeDir:
			h.Mode, h.Links = cpio.TypeDir|cpio.FileMode(n.mode.Perm()), 2
		case 0:
			h.Mode, h.Links = cpio.TypeReg|cpio.FileMode(n.mode.Perm()), 1
		case fs.ModeDevice | fs.ModeCharDevice:
			continue // packed already
		default:
			return fmt.Errorf("%s: a %s cannot be packed", name, n.mode.Type())
		}
		if err := archive.WriteHeader(h); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if len(n.data) == 0 {
			continue
		}
		if _, err := archive.Write(n.data); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return archive.Close()
}

// packDevices writes the device nodes and the folders above them: package cpio
// writes no device numbers.
func (t tree) packDevices(w io.Writer) error {
	folders := map[string]bool{"/": true}
	for _, name := range t.names() {
		n := t[name]
		if n.mode.Type() != fs.ModeDevice|fs.ModeCharDevice {
			continue
		}
		for _, dir := range above(name) {
			if !folders[dir] {
				folders[dir] = true
				if err := writeNewc(w, dir, uint32(cpio.TypeDir)|uint32(t[dir].mode.Perm()), 0, 0); err != nil {
					return err
				}
			}
		}
		if err := writeNewc(w, name, uint32(cpio.TypeChar)|uint32(n.mode.Perm()), n.major, n.minor); err != nil {
			return err
		}
	}
	return nil
}

// above returns the folders above a path, from the top, without the root.
func above(name string) []string {
	dir := path.Dir(name)
	if dir == "/" {
		return nil
	}
	return append(above(dir), dir)
}

// writeNewc writes the entry of something without content, as the kernel's
// Documentation/driver-api/early-userspace/buffer-format.rst says: thirteen
// numbers, the name and its zero, filled up to a multiple of 4 bytes.
func writeNewc(w io.Writer, name string, mode, major, minor uint32) error {
	name = strings.TrimPrefix(name, "/") + "\x00"
	const links = 1
	entry := "070701"
	for _, field := range []uint32{0, mode, 0, 0, links, 0, 0, 0, 0, major, minor, uint32(len(name)), 0} {
		entry += fmt.Sprintf("%08X", field)
	}
	entry += name
	entry += strings.Repeat("\x00", -len(entry)&3)
	_, err := io.WriteString(w, entry)
	return err
}
