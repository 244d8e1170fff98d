// SPDX-License-Identifier: Apache-2.0

package system

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/ukprobe/ukprobe/internal/qcow2"
	"github.com/ukprobe/ukprobe/internal/regular"
	"github.com/ukprobe/ukprobe/probe"
)

// OSv's usr.img, by bytes from the disk's start (its arch/x64/boot16.S;
// scripts/imgedit.py; Makefile, loader.img): the boot sector, in the 63 sectors
// behind it the command line, which the boot sector loads to 0x7e00 and which ends
// with a zero byte, and from sector 128 on lzloader.elf, whose code unpacks the
// kernel.
const (
	osvCmdlineAt   = 512
	osvCmdlineRoom = 63 * 512
	osvLoaderAt    = 128 * 512
	osvMaxLoader   = 64 << 20 // bytes that are looked at of the loader

	bootSectorAt = 0x7c00 // where a PC's firmware puts it and starts it
)

// osvText is where the unpacked kernel runs: it maps itself to kernel_vm_base, since
// 0.54 (its Makefile), and has some 7 MiB. The loader, which unpacks it at 2 MiB, has
// no paging. SeaBIOS moves itself to the end of the guest's memory: only with 1 GiB
// and 2 to 18 MiB could it be here.
var osvText = probe.Segment{Lo: 0x40200000, Hi: 0x41200000, Stage: probe.StageKernel}

// osvDisk is what a disk's beginning says.
type osvDisk struct {
	cmdline  string
	segments []probe.Segment
}

// openOSvDisk reads it, of a raw or a qcow2 image.
func openOSvDisk(d Disk) (osvDisk, error) {
	f, err := regular.Open(d.Path)
	if err != nil {
		return osvDisk{}, fmt.Errorf("disk: %w", err)
	}
	defer f.Close()
	var r io.ReaderAt = f
	if d.Format == "qcow2" {
		if r, err = qcow2.Open(f); err != nil {
			return osvDisk{}, fmt.Errorf("disk %s: %w", d.Path, err)
		}
	}
	out, err := readOSvDisk(r)
	if err != nil {
		return osvDisk{}, fmt.Errorf("disk %s: %w", d.Path, err)
	}
	return out, nil
}

// readOSvDisk looks for the boot sector's signature, the command line and the loader.
func readOSvDisk(r io.ReaderAt) (osvDisk, error) {
	head := make([]byte, osvCmdlineAt+osvCmdlineRoom)
	if n, err := r.ReadAt(head, 0); n < len(head) {
		if errors.Is(err, io.EOF) {
			return osvDisk{}, fmt.Errorf("it has %d bytes, which is no OSv image: give usr.img", n)
		}
		return osvDisk{}, err
	}
	if binary.LittleEndian.Uint16(head[510:]) != 0xaa55 {
		return osvDisk{}, errors.New("it has no boot sector: give an OSv image (usr.img), or name the kernel too")
	}
	line, _, ended := bytes.Cut(head[osvCmdlineAt:], []byte{0})
	if !ended {
		return osvDisk{}, errors.New("no command line ends where OSv's images have theirs: give an OSv image (usr.img)")
	}
	segs, err := elfSegments(io.NewSectionReader(r, osvLoaderAt, osvMaxLoader))
	if err != nil {
		return osvDisk{}, fmt.Errorf("where OSv's images have their loader: %w: give an OSv image (usr.img)", err)
	}
	for i := range segs {
		segs[i].Stage = probe.StageDecompress
	}
	boot := probe.Segment{Lo: bootSectorAt, Hi: bootSectorAt + 512, Stage: probe.StageImage}
	out := append([]probe.Segment{boot}, segs[:min(len(segs), maxSegments-2)]...)
	return osvDisk{cmdline: string(line), segments: append(out, osvText)}, nil
}
