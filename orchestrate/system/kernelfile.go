// SPDX-License-Identifier: Apache-2.0

package system

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/ukprobe/ukprobe/internal/regular"
	"github.com/ukprobe/ukprobe/probe"
)

// maxSegments is how many spans an image may have: a watch takes eight, of which
// one is the platform's own (its option ROM).
const maxSegments = 7

// headSize is as much of a file as any of the formats wants to be looked through:
// a multiboot2 header lies in the first 32 KiB (its specification, section 3.1.1).
const headSize = 32 << 10

// kernelFile is an opened image whose format is being found out.
type kernelFile struct {
	f    *os.File
	path string
	size int64  // bytes
	head []byte // the first headSize bytes, or all
}

// segmentsOf reads from a kernel file which guest addresses are its own, and what
// runs there. It knows bzImage, multiboot with addresses in its header, and ELF
// (multiboot, PVH, entry in 64-bit mode), looked for in QEMU's order
// (its x86_load_linux). Anything else is an error.
func segmentsOf(path string) ([]probe.Segment, error) {
	f, err := regular.Open(path)
	if err != nil {
		return nil, fmt.Errorf("image: %w", err)
	}
	defer f.Close()
	k := kernelFile{f: f, path: path}
	if err := k.read(); err != nil {
		return nil, fmt.Errorf("image %s: %w", path, err)
	}
	segs, err := k.segments()
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", path, err)
	}
	return segs[:min(len(segs), maxSegments)], nil
}

func (k *kernelFile) read() error {
	st, err := k.f.Stat()
	if err != nil {
		return err
	}
	k.size = st.Size()
	k.head = make([]byte, headSize)
	n, err := io.ReadFull(k.f, k.head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	k.head = k.head[:n]
	return nil
}

func (k *kernelFile) segments() ([]probe.Segment, error) {
	if isBzImage(k.head) {
		return bzImageSegments(k.head, k.size)
	}
	// An ELF file has to be sound and for this machine even when its multiboot
	// header says, with addresses of its own, where it is loaded.
	var fromELF []probe.Segment
	isELF := bytes.HasPrefix(k.head, []byte(elf.ELFMAG))
	if isELF {
		var err error
		if fromELF, err = elfSegments(k.f); err != nil {
			return nil, err
		}
	}
	mb, at, isMultiboot := findMultiboot(k.head)
	switch {
	case isMultiboot && mb.Flags&multibootAddresses != 0:
		return mb.segments(at, k.size)
	case isELF:
		return fromELF, nil
	case isMultiboot:
		return nil, errors.New("a multiboot image that is no ELF file and whose header has no addresses: nothing says where it is loaded; link it as ELF")
	case hasMultiboot2(k.head):
		return nil, errors.New("a multiboot2 image that is no ELF file: no VMM loads it without a boot loader such as GRUB; give the ELF file it was made from")
	}
	return nil, k.unknown()
}

// packers are the magics of compressed files, which are given by mistake.
var packers = []struct{ magic, name string }{
	{"\x1f\x8b", "gzip"}, {"\xfd7zXZ", "xz"}, {"\x28\xb5\x2f\xfd", "zstd"}, {"BZh", "bzip2"}, {"\x04\x22\x4d\x18", "lz4"},
}

func (k *kernelFile) unknown() error {
	for _, p := range packers {
		if bytes.HasPrefix(k.head, []byte(p.magic)) {
			return fmt.Errorf("compressed with %s: unpack it, and give the kernel image inside", p.name)
		}
	}
	return fmt.Errorf("neither an ELF file nor a bzImage nor multiboot (it begins with %x): give a kernel image", k.head[:min(4, len(k.head))])
}
