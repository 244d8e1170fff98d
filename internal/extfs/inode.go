// SPDX-License-Identifier: Apache-2.0

package extfs

import (
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
)

// An inode (inodes.rst), by offset.
const (
	modeAt     = 0  // u16
	sizeAt     = 4  // u32
	flagsAt    = 32 // u32
	mapAt      = 40 // 60 bytes: block map, extents, or a short link's target
	mapSize    = 60
	sizeHighAt = 108 // u32, of regular files

	extents = 0x80000
)

// Types of inodes, of mode.
const (
	typeMask   = 0xf000
	typeFolder = 0x4000
	typeFile   = 0x8000
	typeLink   = 0xa000
)

// inode is a file, folder or link.
type inode struct {
	fs     *FS
	number uint64
	mode   fs.FileMode // its type, for those three; else fs.ModeIrregular
	size   int64
	flags  uint32
	blocks [mapSize]byte
}

// read reads an inode by its number.
func (f *FS) read(n uint64) (*inode, error) {
	if n == 0 || n > f.inodes {
		return nil, fmt.Errorf("%w: inode %d of %d", errDamaged, n, f.inodes)
	}
	group, index := (n-1)/f.perGroup, (n-1)%f.perGroup
	descriptor := make([]byte, f.descriptor)
	if err := f.readAt(descriptor, int64(f.firstData+1)*f.size+int64(group)*f.descriptor); err != nil {
		return nil, err
	}
	const tableAt, tableHighAt = 8, 0x28 // of the inodes' table (group_descr.rst)
	table := uint64(binary.LittleEndian.Uint32(descriptor[tableAt:]))
	if f.wide {
		table |= uint64(binary.LittleEndian.Uint32(descriptor[tableHighAt:])) << 32
	}
	if table >= f.blocks {
		return nil, fmt.Errorf("%w: inodes at block %d of %d", errDamaged, table, f.blocks)
	}
	raw := make([]byte, 128)
	if err := f.readAt(raw, int64(table)*f.size+int64(index)*f.inode); err != nil {
		return nil, err
	}
	i := &inode{fs: f, number: n, mode: fs.ModeIrregular, size: int64(binary.LittleEndian.Uint32(raw[sizeAt:])), flags: binary.LittleEndian.Uint32(raw[flagsAt:])}
	copy(i.blocks[:], raw[mapAt:])
	switch binary.LittleEndian.Uint16(raw[modeAt:]) & typeMask {
	case typeFolder:
		i.mode = fs.ModeDir
	case typeLink:
		i.mode = fs.ModeSymlink
	case typeFile:
		i.mode = 0
		i.size |= int64(binary.LittleEndian.Uint32(raw[sizeHighAt:])) << 32
	}
	if i.size < 0 || i.size > f.Size() {
		return nil, fmt.Errorf("%w: inode %d has %d bytes in a file system of %d", errDamaged, n, i.size, f.Size())
	}
	return i, nil
}

// content reads what is in a file.
func (i *inode) content() io.Reader { return &content{inode: i} }

// target is where a link leads.
func (i *inode) target() (string, error) {
	if i.size < mapSize && i.flags&extents == 0 {
		return string(i.blocks[:i.size]), nil
	}
	const maxTarget = 4096 // PATH_MAX
	if i.size > maxTarget {
		return "", fmt.Errorf("%w: a link of %d bytes", errDamaged, i.size)
	}
	out := make([]byte, i.size)
	_, err := io.ReadFull(i.content(), out)
	return string(out), err
}

// content is a file being read, block by block.
type content struct {
	inode *inode
	next  uint64 // block
	rest  []byte // of the one before
	done  int64  // bytes
}

// Read implements io.Reader.
func (c *content) Read(p []byte) (int, error) {
	left := c.inode.size - c.done
	if left <= 0 {
		return 0, io.EOF
	}
	if len(c.rest) == 0 {
		var err error
		if c.rest, err = c.inode.data(c.next); err != nil {
			return 0, err
		}
		c.next++
	}
	n := copy(p[:min(int64(len(p)), left)], c.rest)
	c.rest, c.done = c.rest[n:], c.done+int64(n)
	return n, nil
}

// data is a block of a file, zeros for a hole.
func (i *inode) data(n uint64) ([]byte, error) {
	at, err := i.find(n)
	if err != nil {
		return nil, fmt.Errorf("inode %d: %w", i.number, err)
	}
	if at == 0 {
		return make([]byte, i.fs.size), nil
	}
	return i.fs.block(at)
}

// find is where a block of a file is; 0 for a hole.
func (i *inode) find(n uint64) (uint64, error) {
	if i.flags&extents != 0 {
		return i.fs.byExtents(i.blocks[:], n)
	}
	return i.fs.byMap(i.blocks[:], n)
}

// byMap goes through a block map (blockmap.rst): twelve blocks, then one of blocks, one
// of those, and one of those.
func (f *FS) byMap(blocks []byte, n uint64) (uint64, error) {
	const direct, levels = 12, 3
	entry := func(b []byte, i uint64) uint64 { return uint64(binary.LittleEndian.Uint32(b[4*i:])) }
	if n < direct {
		return entry(blocks, n), nil
	}
	n -= direct
	each := uint64(f.size) / 4
	for level, span := uint64(0), each; level < levels; level, span = level+1, span*each {
		if n >= span {
			n -= span
			continue
		}
		at := entry(blocks, direct+level)
		for span /= each; at != 0; span /= each {
			b, err := f.block(at)
			if err != nil {
				return 0, err
			}
			if at = entry(b, n/span); span == 1 {
				break
			}
			n %= span
		}
		return at, nil
	}
	return 0, fmt.Errorf("%w: block %d of a file is beyond its map", errDamaged, n)
}

// byExtents goes through a tree of extents (ifork.rst).
func (f *FS) byExtents(node []byte, n uint64) (uint64, error) {
	const (
		header, entrySize = 12, 12
		extentMagic       = 0xf30a
		maxDepth          = 5
		unwritten         = 32768 // from here on a length is one of blocks that read as zeros
	)
	for depth := 0; depth <= maxDepth; depth++ {
		entries := int(binary.LittleEndian.Uint16(node[2:]))
		if binary.LittleEndian.Uint16(node) != extentMagic || header+entries*entrySize > len(node) {
			return 0, fmt.Errorf("%w: extents", errDamaged)
		}
		leaf := binary.LittleEndian.Uint16(node[6:]) == 0
		var chosen []byte // the last that does not begin after n
		for k := range entries {
			e := node[header+k*entrySize:]
			if uint64(binary.LittleEndian.Uint32(e)) > n {
				break
			}
			chosen = e
		}
		if chosen == nil {
			return 0, nil
		}
		if leaf {
			first, length := uint64(binary.LittleEndian.Uint32(chosen)), uint64(binary.LittleEndian.Uint16(chosen[4:]))
			if length > unwritten || n-first >= length {
				return 0, nil
			}
			return uint64(binary.LittleEndian.Uint16(chosen[6:]))<<32 + uint64(binary.LittleEndian.Uint32(chosen[8:])) + n - first, nil
		}
		var err error
		if node, err = f.block(uint64(binary.LittleEndian.Uint16(chosen[8:]))<<32 + uint64(binary.LittleEndian.Uint32(chosen[4:]))); err != nil {
			return 0, err
		}
	}
	return 0, fmt.Errorf("%w: extents deeper than %d", errDamaged, maxDepth)
}
