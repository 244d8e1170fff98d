// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"debug/elf"
	"fmt"
	"strings"
)

// Answers of a verdict.
const (
	Yes     = "yes"
	No      = "no"
	Perhaps = "perhaps" // the file does not say
)

// Verdict says whether a platform takes a file.
type Verdict struct {
	Platform string `json:"platform"`
	Can      string `json:"can"` // yes, no or perhaps
	Why      string `json:"why"`
}

// judge asks each platform. The order is that of tables.
func (r *Report) judge() {
	qemu := r.qemu()
	for _, name := range []string{"qemu", "qemu1nic", "qemumicrovm"} {
		v := qemu
		if v.Platform = name; name == "qemumicrovm" && r.Disk != nil && v.Can != No {
			v.Can, v.Why = No, "a microvm has no BIOS that boots from a disk: it needs a kernel beside it"
		}
		r.Platforms = append(r.Platforms, v)
	}
	for _, p := range []struct {
		name string
		ask  func() (string, string)
	}{
		{"firecracker", r.firecracker},
		{"solo5-hvt", func() (string, string) { return r.solo5("hvt") }},
		{"solo5-spt", func() (string, string) { return r.solo5("spt") }},
		{"solo5-virtio", func() (string, string) { return r.solo5("virtio") }},
		{"uhyve", r.uhyve},
		{"docker", r.docker},
		{"process", r.process},
	} {
		can, why := p.ask()
		r.Platforms = append(r.Platforms, Verdict{p.name, can, why})
	}
}

// foreign says why a file is nothing for any VMM; "" if it may be.
func (r *Report) foreign() string {
	switch {
	case r.elf != nil && !r.elf.x86():
		return "built for " + r.elf.Machine.String() + ": an x86 guest is needed"
	case r.elf != nil && r.elf.Type == elf.ET_REL:
		return "an object file: link it"
	case r.Program != nil:
		return "a program for Linux: it needs a kernel below it"
	case r.Layout != nil:
		return "a container's image"
	case strings.HasPrefix(r.Format, "compressed"):
		return r.Format + ": unpack it"
	case strings.HasPrefix(r.Format, "cpio"):
		return "an initrd: it needs a kernel beside it"
	case r.elf == nil && !r.format.BzImage && !r.format.Multiboot && r.Disk == nil:
		return "no kernel: " + r.Format
	}
	return ""
}

// qemu goes by the order in which QEMU looks: hw/i386/x86.c, x86_load_linux (bzImage,
// multiboot, ELF with a PVH note), and hw/i386/multiboot.c, load_multiboot.
func (r *Report) qemu() Verdict {
	yes := func(why string) Verdict { return Verdict{Can: Yes, Why: why} }
	no := func(why string) Verdict { return Verdict{Can: No, Why: why} }
	switch why := r.foreign(); {
	case why != "":
		return no(why)
	case r.Solo5 != nil && r.Solo5.Target != "virtio":
		return no("a Solo5 image for " + r.Solo5.Target + ": only its tender starts it")
	case r.format.BzImage && r.format.NoRealMode:
		return no("a bzImage with nothing at its real-mode entry, where QEMU's loader and qboot start it (OSv's vmlinuz.bin is such a one)")
	case r.format.BzImage:
		return yes("Linux boot protocol " + r.Linux)
	case r.Disk != nil && r.Disk.Format == "raw" && !r.Disk.BootSign:
		return no("the disk has no boot sector: it needs a kernel beside it")
	case r.Disk != nil:
		return Verdict{Can: Perhaps, Why: "a BIOS boots the disk, if what is on it can be booted"}
	case r.format.MultibootAddresses:
		return yes("multiboot, loaded by the addresses in its header")
	case r.format.Multiboot && r.elf.Class == elf.ELFCLASS64:
		return no("multiboot in a 64-bit ELF file without addresses in its header: QEMU takes multiboot from 32-bit ELF files only (hw/i386/multiboot.c)")
	case r.format.Multiboot:
		return yes("multiboot")
	case r.PVH != 0:
		return yes(fmt.Sprintf("PVH entry 0x%x", uint64(r.PVH)))
	case r.format.Multiboot2:
		return no("multiboot2 only: QEMU loads version 1; it needs a boot loader such as GRUB")
	}
	return no("an ELF file with neither a multiboot header nor a PVH note: QEMU would not know how to enter it")
}

// firecracker loads 64-bit ELF files: src/vmm/src/arch/x86_64/mod.rs. It enters them
// by PVH, since 1.12, if they have the note, else by Linux' 64-bit protocol.
func (r *Report) firecracker() (can, why string) {
	switch why := r.foreign(); {
	case why != "":
		return No, why
	case r.format.BzImage:
		return No, "a bzImage: Firecracker takes uncompressed kernels (vmlinux); only its newest sources take this too"
	case r.Disk != nil && r.Disk.Format == "qcow2":
		return No, "qcow2: Firecracker takes raw disks, and a kernel beside them"
	case r.Disk != nil:
		return No, "a disk: it needs a kernel beside it"
	case r.Solo5 != nil:
		return No, "a Solo5 image for " + r.Solo5.Target
	case r.elf == nil || r.elf.Class != elf.ELFCLASS64:
		return No, "not a 64-bit ELF file: Firecracker loads nothing else"
	case r.PVH != 0:
		return Yes, "64-bit ELF file with a PVH entry (used since Firecracker 1.12; before, the entry has to be Linux' 64-bit one)"
	case r.Multiboot:
		return No, "its entry expects multiboot: Firecracker enters by Linux' 64-bit protocol or PVH"
	case r.elf.isHermit():
		return Perhaps, "Hermit for uhyve: without its loader Firecracker does not start it"
	case r.isVmlinux():
		return Yes, "uncompressed Linux kernel, entered by Linux' 64-bit protocol"
	}
	return Perhaps, "64-bit ELF file: Firecracker enters it by Linux' 64-bit protocol; whether it expects that is not in the file"
}

// isVmlinux recognises Linux by where it is linked: __START_KERNEL_map of
// arch/x86/include/asm/page_64_types.h.
func (r *Report) isVmlinux() bool {
	for _, s := range r.Segments {
		if s.Virtual >= 0xffffffff80000000 && s.Physical != s.Virtual {
			return true
		}
	}
	return false
}

func (r *Report) solo5(target string) (can, why string) {
	switch {
	case r.Solo5 == nil:
		return No, "no Solo5 image"
	case r.Solo5.Target != target:
		return No, "a Solo5 image for " + r.Solo5.Target
	case len(r.Solo5.Devices) > 0:
		return Yes, "with the devices of its manifest: " + strings.Join(r.Solo5.Devices, ", ")
	}
	return Yes, "its manifest has no devices"
}

func (r *Report) uhyve() (can, why string) {
	if r.elf == nil || r.Program != nil || !r.elf.isHermit() {
		if r.Program != nil && r.Program.Interpreter == "" && r.elf.Class == elf.ELFCLASS64 {
			return Perhaps, "a static program: HermiTux' kernel can load it, if it makes no other system calls than those that HermiTux has"
		}
		return No, "no image of Hermit's or HermitCore's"
	}
	return Yes, "an image of Hermit's or HermitCore's"
}

func (r *Report) docker() (can, why string) {
	switch {
	case r.Layout != nil:
		for _, i := range r.Layout.Images {
			if i.OS == "linux" || i.OS == "" {
				return Yes, "OCI image layout"
			}
		}
		return No, "no image for linux in the layout"
	case r.Format == "tar archive":
		return Perhaps, "if the archive is one of docker save or an OCI layout"
	}
	return No, "no container's image"
}

func (r *Report) process() (can, why string) {
	switch p := r.Program; {
	case p == nil:
		return No, "no program for Linux"
	case r.elf.Machine != elf.EM_X86_64:
		return No, "built for " + r.elf.Machine.String()
	case len(p.missing()) > 0:
		return No, "libraries that are not there: " + strings.Join(p.missing(), ", ")
	}
	return Yes, "a program for Linux on x86-64"
}
