// SPDX-License-Identifier: Apache-2.0

// Package extfs reads file systems of type ext2, ext3 and ext4 out of their images:
// which files there are, and what is in them. Nothing is mounted and nothing written.
// It follows Documentation/filesystems/ext4 of Linux.
//
// It knows block maps and extents. What it does not know it refuses ([ErrUnknown]):
// files inside inodes, encryption, group descriptors in their groups. A journal that
// has not been played is not looked at, nor are checksums. Images are foreign input:
// no loop in one makes it go on for ever.
package extfs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// ErrNone says that there is no such file system.
var ErrNone = errors.New("no ext2, ext3 or ext4 file system")

// ErrUnknown is wrapped by what a file system has and this package does not know.
var ErrUnknown = errors.New("not known")

// errDamaged is wrapped by what cannot be.
var errDamaged = errors.New("damaged file system")

// The superblock (super.rst), by offset.
const (
	superAt        = 1024
	superSize      = 1024
	inodesAt       = 0   // u32
	blocksAt       = 4   // u32
	freeAt         = 12  // u32
	firstDataAt    = 20  // u32
	logBlockAt     = 24  // u32: block size is 1024 << it
	perGroupAt     = 40  // u32: inodes of a group
	magicAt        = 56  // u16
	revisionAt     = 76  // u32
	inodeSizeAt    = 88  // u16, since revision 1
	incompatibleAt = 96  // u32
	descriptorAt   = 254 // u16: size of a group's descriptor, with 64bit
	blocksHighAt   = 0x150
	freeHighAt     = 0x158

	magic = 0xef53
)

// Incompatible features.
const (
	metaGroups = 0x10
	wide       = 0x80
	inlineData = 0x8000
	encrypted  = 0x10000
)

// FS is a file system.
type FS struct {
	r          io.ReaderAt
	size       int64 // of a block, in bytes
	blocks     uint64
	free       uint64
	firstData  uint64
	inodes     uint64
	perGroup   uint64 // inodes
	inode      int64  // size of one, in bytes
	descriptor int64  // size of a group's, in bytes
	wide       bool
}

// Open reads the superblock of an image of that many bytes.
func Open(r io.ReaderAt, size int64) (*FS, error) {
	super := make([]byte, superSize)
	if n, err := r.ReadAt(super, superAt); n < len(super) {
		if errors.Is(err, io.EOF) {
			return nil, ErrNone
		}
		return nil, err
	}
	u16 := func(at int) uint64 { return uint64(binary.LittleEndian.Uint16(super[at:])) }
	u32 := func(at int) uint64 { return uint64(binary.LittleEndian.Uint32(super[at:])) }
	if u16(magicAt) != magic {
		return nil, ErrNone
	}
	features := u32(incompatibleAt)
	f := &FS{r: r, blocks: u32(blocksAt), free: u32(freeAt), firstData: u32(firstDataAt), inodes: u32(inodesAt), perGroup: u32(perGroupAt),
		inode: 128, descriptor: 32, wide: features&wide != 0}
	if u32(revisionAt) > 0 {
		f.inode = int64(u16(inodeSizeAt))
	}
	if f.wide {
		f.blocks |= u32(blocksHighAt) << 32
		f.free |= u32(freeHighAt) << 32
		f.descriptor = int64(u16(descriptorAt))
	}
	const maxShift, maxBlocks = 6, 1 << 46
	shift := u32(logBlockAt)
	if shift > maxShift || f.blocks > maxBlocks || f.free > f.blocks || f.perGroup == 0 || f.inode < 128 || f.wide && f.descriptor < 64 {
		return nil, fmt.Errorf("%w: %d blocks of 1024<<%d bytes, %d free, %d inodes of %d bytes in a group", errDamaged, f.blocks, shift, f.free, f.perGroup, f.inode)
	}
	f.size = 1024 << shift
	if f.Size() > size {
		return nil, fmt.Errorf("%w: of %d bytes, in an image of %d", errDamaged, f.Size(), size)
	}
	if features&(metaGroups|inlineData|encrypted) != 0 {
		return f, fmt.Errorf("features %#x: %w", features&(metaGroups|inlineData|encrypted), ErrUnknown)
	}
	return f, nil
}

// Used is how many bytes are in use, the file system's own tables with them.
func (f *FS) Used() int64 { return int64(f.blocks-f.free) * f.size }

// Size is how many bytes it has.
func (f *FS) Size() int64 { return int64(f.blocks) * f.size }

// block reads a block.
func (f *FS) block(n uint64) ([]byte, error) {
	if n >= f.blocks {
		return nil, fmt.Errorf("%w: block %d of %d", errDamaged, n, f.blocks)
	}
	out := make([]byte, f.size)
	return out, f.readAt(out, int64(n)*f.size)
}

// readAt reads all of b; beyond the image's end is damage.
func (f *FS) readAt(b []byte, at int64) error {
	n, err := f.r.ReadAt(b, at)
	switch {
	case n == len(b):
		return nil
	case errors.Is(err, io.EOF):
		return fmt.Errorf("%w: the image ends before byte %d", errDamaged, at+int64(len(b)))
	}
	return err
}
