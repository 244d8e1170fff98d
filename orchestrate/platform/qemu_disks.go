// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/ukprobe/ukprobe/internal/qcow2"
	"github.com/ukprobe/ukprobe/orchestrate/system"
)

// takes says whether there is something to boot.
func (q qemu) takes(b system.Boot) error {
	switch {
	case b.Kernel != "":
		return nil
	case len(b.Disks) == 0:
		return fmt.Errorf("%w: platform %s boots kernels; this system is not one", system.ErrUnsupported, q.name)
	case q.microvm:
		return fmt.Errorf("%w: a microvm boots from no disk: name a kernel", system.ErrUnsupported)
	}
	return nil
}

// attachDisks gives the guest its disks, as virtio block devices. No image is written
// to: what the guest writes goes to a temporary file of QEMU's (snapshot=on), or to
// the sample's own overlay.
func (q qemu) attachDisks(l *Launch, b system.Boot, cmdline string) error {
	for i, d := range b.Disks {
		file, options := d.Path, "format="+d.Format
		if d.ReadOnly {
			options += ",readonly=on"
		} else {
			options += ",snapshot=on"
		}
		if i == 0 && b.DiskCmdline.Room > 0 {
			image, err := withCmdline(d, b.DiskCmdline, cmdline)
			if err != nil {
				return err
			}
			const name = "disk0.qcow2"
			l.Files = map[string][]byte{name: image}
			file, options = Dir+"/"+name, "format=qcow2"
		}
		device := "virtio-blk-pci"
		if q.microvm {
			device = "virtio-blk-device"
		}
		device += fmt.Sprintf(",drive=hd%d", i)
		if i == 0 && b.Kernel == "" {
			device += ",bootindex=0"
		}
		l.Argv = append(l.Argv, "-drive", fmt.Sprintf("file=%s,if=none,id=hd%d,%s", escaped(file), i, options), "-device", device)
	}
	return nil
}

// escaped doubles commas, which separate QEMU's options.
func escaped(s string) string { return strings.ReplaceAll(s, ",", ",,") }

// withCmdline makes an overlay of a disk that has another command line.
func withCmdline(d system.Disk, at system.DiskCmdline, cmdline string) ([]byte, error) {
	f, err := os.Open(d.Path)
	if err != nil {
		return nil, fmt.Errorf("disk: %w", err)
	}
	defer f.Close()
	var r io.ReaderAt = f
	var size int64
	if d.Format == "qcow2" {
		m, err := qcow2.Open(f)
		if err != nil {
			return nil, fmt.Errorf("disk %s: %w", d.Path, err)
		}
		r, size = m, m.Size
	} else {
		st, err := f.Stat()
		if err != nil {
			return nil, fmt.Errorf("disk: %w", err)
		}
		size = st.Size() &^ 511 // QEMU counts whole sectors
	}
	start := make([]byte, qcow2.OverlaySize)
	if n, err := r.ReadAt(start, 0); n < int(at.At)+at.Room {
		return nil, fmt.Errorf("disk %s: its first %d bytes cannot be read: %w", d.Path, len(start), err)
	}
	if len(cmdline) >= at.Room || strings.ContainsRune(cmdline, 0) {
		return nil, fmt.Errorf("disk %s has room for a command line of %d bytes without a zero byte, this has %d", d.Path, at.Room-1, len(cmdline))
	}
	copy(start[at.At:], cmdline+"\x00")
	image, err := qcow2.Overlay(d.Path, d.Format, size, start)
	if err != nil {
		return nil, fmt.Errorf("disk %s: %w", d.Path, err)
	}
	return image, nil
}
