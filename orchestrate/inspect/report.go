// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/ukprobe/ukprobe/internal/regular"
	"github.com/ukprobe/ukprobe/internal/solo5"
	"github.com/ukprobe/ukprobe/orchestrate/system"
)

// Report is what a file is.
type Report struct {
	File   string `json:"file"`
	Size   int64  `json:"size"`             // bytes
	SHA256 string `json:"sha256,omitempty"` // "" for a folder
	Format string `json:"format"`           // in words

	Entry    Hex       `json:"entry,omitempty"`
	Segments []Segment `json:"load_segments,omitempty"`
	Sections []Section `json:"sections,omitempty"`

	Multiboot bool     `json:"multiboot,omitempty"` // version 1
	PVH       Hex      `json:"pvh_entry,omitempty"` // of the ELF note
	Linux     string   `json:"linux_boot_protocol,omitempty"`
	Solo5     *Solo5   `json:"solo5,omitempty"`
	Disk      *Disk    `json:"disk,omitempty"`
	Program   *Program `json:"program,omitempty"` // for Linux
	Layout    *Layout  `json:"oci_layout,omitempty"`

	Platforms []Verdict `json:"platforms"`

	elf    *elfFile
	format system.Format
}

// Hex is an address, shown in hexadecimal.
type Hex uint64

// MarshalText implements encoding.TextMarshaler.
func (h Hex) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "0x%x", uint64(h)), nil }

// Solo5 is what a Solo5 image's notes say.
type Solo5 struct {
	Target  string   `json:"target"`
	ABI     uint32   `json:"abi_version"`
	Devices []string `json:"devices,omitempty"` // "service0 (network device)"
}

// File inspects the file or folder at path.
func File(ctx context.Context, path string) (*Report, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	r := &Report{File: path, Size: st.Size()}
	switch {
	case st.IsDir():
		if err := r.readLayout(); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	case !st.Mode().IsRegular():
		return nil, fmt.Errorf("%s: not a regular file", path)
	default:
		if r.SHA256, _, err = regular.Digest(ctx, path); err != nil {
			return nil, err
		}
		if err := r.readFile(); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	r.judge()
	return r, nil
}

func (r *Report) readFile() error {
	if r.Size == 0 {
		r.Format = "empty file"
		return nil
	}
	f, err := regular.Open(r.File)
	if err != nil {
		return err
	}
	defer f.Close()
	if r.format, err = system.FormatOf(r.File); err != nil {
		return err
	}
	if r.elf, err = openELF(f); err != nil {
		return err
	}
	switch {
	case r.format.BzImage:
		r.describeBzImage()
	case r.elf != nil:
		return r.describeELF(f)
	case r.format.Multiboot:
		r.Multiboot, r.Format = true, "multiboot, no ELF file"
		r.Entry = Hex(r.format.MultibootEntry)
	default:
		return r.describeOther(f)
	}
	return nil
}

func (r *Report) describeBzImage() {
	mode := "32-bit"
	if r.format.Kernel64 {
		mode = "32-bit and 64-bit"
	}
	r.Format = "bzImage (compressed Linux kernel)"
	if v := r.format.KernelVersion; v != "" {
		r.Format += ": " + v
	}
	r.Linux = fmt.Sprintf("%d.%02d, %s entry", r.format.Protocol>>8, r.format.Protocol&0xff, mode)
}

// describeELF takes over what an ELF file says.
func (r *Report) describeELF(f *os.File) error {
	e := r.elf
	r.Format, r.Entry, r.Segments, r.Sections, r.PVH = e.words(), Hex(e.Entry), e.segments(), e.sections(), e.pvh
	if r.Multiboot = r.format.Multiboot; r.Multiboot {
		r.Format += ", multiboot header"
	}
	if r.format.Multiboot2 {
		r.Format += ", multiboot2 header"
	}
	if r.PVH != 0 {
		r.Format += ", PVH entry"
	}
	img, err := solo5.Read(f)
	switch {
	case err == nil:
		r.Solo5 = &Solo5{Target: img.Target.String(), ABI: img.ABIVersion}
		for _, d := range img.Devices {
			r.Solo5.Devices = append(r.Solo5.Devices, fmt.Sprintf("%s (%s)", d.Name, d.Type))
		}
		r.Format += ", Solo5 image for " + r.Solo5.Target
		return nil
	case !errors.Is(err, solo5.ErrNoNotes) && e.maySolo5():
		return err
	}
	if !e.isProgram() {
		return nil
	}
	r.Program, err = readProgram(r.File, r.Size, e)
	return err
}
