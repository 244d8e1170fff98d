// SPDX-License-Identifier: Apache-2.0

package imagesize

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/ukprobe/ukprobe/internal/regular"
	"github.com/ukprobe/ukprobe/orchestrate/inspect"
	"github.com/ukprobe/ukprobe/orchestrate/system"
)

// disk measures a block device's image: of ext2, 3 and 4 how much of it is in use. What
// is in other file systems is not seen.
func (m *measurer) disk(d system.Disk) error {
	r, err := inspect.File(m.ctx, d.Path)
	if err != nil {
		return err
	}
	if r.Disk != nil {
		m.add("disk_virtual_bytes", int64(r.Disk.Virtual))
	}
	used, why, err := ext2Used(d.Path)
	if err != nil {
		return err
	}
	if why != "" {
		m.lacks(RootFSBytes, "disk %s: %s", d.Path, why)
		m.opaque("disk %s: %s", d.Path, why)
	} else {
		m.add(RootFSBytes, used)
		m.unpacked += used
		m.stripped += used
	}
	for _, name := range []string{AppBytes, LibrariesBytes, RestBytes} {
		if _, has := m.out.Values[name]; !has && !m.isLacking(name) {
			m.lacks(name, "the files on a disk are not looked at")
		}
	}
	if m.img.Kernel == "" && !m.isLacking(KernelBytes) {
		m.lacks(KernelBytes, "the disk boots, and holds the kernel")
	}
	return nil
}

// The superblock of ext2, 3 and 4, 1024 bytes into the disk (Documentation/filesystems/
// ext4/super.rst).
const (
	superAt      = 1024
	superSize    = 1024
	blocksAt     = 4  // u32
	freeBlocksAt = 12 // u32
	logBlockAt   = 24 // u32: block size is 1024 << it
	magicAt      = 56 // u16
	extMagic     = 0xef53
	incompatAt   = 96 // u32
	incompat64   = 0x80
	blocksHiAt   = 0x150 // u32, with 64bit
	freeHiAt     = 0x158
)

// ext2Used is how many bytes of a file system are in use, its own tables with them; why
// says why that is not known.
func ext2Used(path string) (used int64, why string, err error) {
	f, err := regular.Open(path)
	if err != nil {
		return 0, "", err
	}
	defer f.Close()
	super := make([]byte, superSize)
	if _, err := f.ReadAt(super, superAt); err != nil && !errors.Is(err, io.EOF) {
		return 0, "", err
	}
	return superUsed(super)
}

func superUsed(super []byte) (used int64, why string, err error) {
	u32 := func(at int) uint64 { return uint64(binary.LittleEndian.Uint32(super[at:])) }
	if binary.LittleEndian.Uint16(super[magicAt:]) != extMagic {
		return 0, "no file system that ukprobe looks into (ext2, ext3, ext4 without partitions)", nil
	}
	blocks, free, shift := u32(blocksAt), u32(freeBlocksAt), u32(logBlockAt)
	if u32(incompatAt)&incompat64 != 0 {
		blocks |= u32(blocksHiAt) << 32
		free |= u32(freeHiAt) << 32
	}
	const maxShift, maxBlocks = 6, 1 << 46
	if shift > maxShift || free > blocks || blocks > maxBlocks {
		return 0, fmt.Sprintf("a damaged file system: %d blocks of %d free, block size 1024<<%d", free, blocks, shift), nil
	}
	return int64((blocks - free) << (10 + shift)), "", nil
}
