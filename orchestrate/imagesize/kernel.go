// SPDX-License-Identifier: Apache-2.0

package imagesize

import (
	"bufio"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/ukprobe/ukprobe/internal/bzimage"
	"github.com/ukprobe/ukprobe/internal/regular"
)

// kernel measures the file that is booted: a Linux kernel, or a unikernel.
func (m *measurer) kernel(path string) error {
	f, err := regular.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	head := make([]byte, bzimage.PayloadHeadSize)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if bzimage.Is(head[:n]) {
		return m.bzImage(f, head[:n], st.Size())
	}
	return m.booted(f, st.Size(), "")
}

// bzImage measures a compressed Linux kernel by its parts, and the kernel in it.
func (m *measurer) bzImage(f *os.File, head []byte, size int64) error {
	p, err := bzimage.Parse(head, size)
	m.value("bzimage_setup_bytes", p.Setup)
	if err != nil {
		m.noVmlinux(err)
		return nil
	}
	m.value("bzimage_payload_bytes", p.Length)
	m.value("bzimage_decompressor_bytes", size-p.Setup-p.Length)
	vmlinux := filepath.Join(m.scratch, "vmlinux")
	how, err := m.unpackTo(vmlinux, io.NewSectionReader(f, p.Payload, p.Length))
	if how != "" {
		m.out.Facts["kernel_compression"] = how
	}
	if m.ctx.Err() != nil {
		return m.ctx.Err()
	}
	if err != nil {
		m.noVmlinux(err)
		return nil
	}
	v, err := os.Open(vmlinux)
	if err != nil {
		return err
	}
	defer v.Close()
	st, err := v.Stat()
	if err != nil {
		return err
	}
	return m.booted(v, st.Size(), "kernel_")
}

func (m *measurer) noVmlinux(err error) {
	m.lacks(KernelBytes, "the bzImage could not be unpacked: %v", err)
	m.opaque("the bzImage could not be unpacked: %v", err)
}

// unpackTo unpacks a kernel's payload to a file. What follows the compressed data, its
// size of four bytes, is not looked at.
func (m *measurer) unpackTo(dest string, payload *io.SectionReader) (how string, err error) {
	magic := make([]byte, 6)
	if _, err := payload.ReadAt(magic, 0); err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	length := payload.Size()
	if packerOf(magic) != "gzip" && length > 4 { // whose last four bytes are its own
		length -= 4
	}
	in, how, err := unpacked(m.ctx, bufio.NewReader(io.NewSectionReader(payload, 0, length)))
	if err != nil {
		return how, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := os.OpenFile(dest, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return how, err
	}
	_, err = io.Copy(out, regular.NewReader(m.ctx, in))
	return how, errors.Join(err, out.Close())
}

// booted measures what runs in the guest. prefix says what it is; "" to find out.
func (m *measurer) booted(f *os.File, size int64, prefix string) error {
	e, err := elf.NewFile(f)
	if prefix == "" {
		prefix = "unikernel_"
		if err == nil && m.apart(e) {
			prefix = "kernel_"
		}
	}
	m.value(prefix+"bytes", size)
	m.unpacked += size
	m.stripped += size
	if err != nil {
		m.lacks(prefix+"text_bytes", "not an ELF file: %v", err)
		m.out.Facts[prefix+"stripped"] = NotKnown
		return nil
	}
	m.sections(prefix, e)
	less := sectionsOf(e).strippable(e)
	m.value(prefix+"stripped_bytes", size-less)
	m.stripped -= less
	return nil
}

// apart tells a kernel whose application is a file of its own: Linux, by where it is
// linked (__START_KERNEL_map, arch/x86/include/asm/page_64_types.h), any that is given
// a program in the initrd's place, as HermiTux is, and OSv with a disk, where its
// applications are.
func (m *measurer) apart(e *elf.File) bool {
	for _, p := range e.Progs {
		if p.Type == elf.PT_LOAD && p.Vaddr >= 0xffffffff80000000 && p.Paddr != p.Vaddr {
			return true
		}
	}
	return m.img.Initrd != "" && isELF(m.img.Initrd) || m.img.System == "osv" && len(m.img.Disks) > 0
}

func isELF(path string) bool {
	f, err := regular.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	magic := make([]byte, len(elf.ELFMAG))
	_, err = io.ReadFull(f, magic)
	return err == nil && string(magic) == elf.ELFMAG
}

// initrd measures what is loaded beside the kernel: an archive, or a program.
func (m *measurer) initrd(path string) error {
	if isELF(path) {
		return m.programFile(path)
	}
	f, err := regular.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	t, err := m.scratchTree("initrd")
	if err != nil {
		return err
	}
	defer t.root.Close()
	packed, err := t.initramfs(bufio.NewReader(regular.NewReader(m.ctx, f)))
	if m.ctx.Err() != nil {
		return m.ctx.Err()
	}
	if err != nil {
		why := fmt.Sprintf("the initrd could not be unpacked: %v", err)
		m.lacks(RootFSBytes, "%s", why)
		m.opaque("%s", why)
		return nil
	}
	if packed != "" {
		m.out.Facts["initrd_compression"] = packed
	}
	return m.rootfs(t.root.Name())
}

// programFile measures a program that is given alone.
func (m *measurer) programFile(path string) error {
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	m.unpacked += st.Size()
	m.stripped += st.Size() - m.strippable(path)
	m.value(AppBytes, st.Size())
	m.appSections(path)
	return nil
}
