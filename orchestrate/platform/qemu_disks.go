// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/ukprobe/ukprobe/internal/qcow2"
	"github.com/ukprobe/ukprobe/internal/regular"
	"github.com/ukprobe/ukprobe/orchestrate/system"
)

// disksWith are a guest's disks. Of one that finds its command line on the first, that
// disk is an overlay with this line, among the files of the sample; what the guest is
// told otherwise is told by QEMU.
func disksWith(b system.Boot, cmdline string) ([]system.Disk, map[string][]byte, error) {
	if b.DiskCmdline.Room == 0 || len(b.Disks) == 0 {
		return b.Disks, nil, nil
	}
	image, err := withCmdline(b.Disks[0], b.DiskCmdline, cmdline)
	if err != nil {
		return nil, nil, err
	}
	const name = "disk0.qcow2"
	disks := slices.Clone(b.Disks)
	disks[0] = system.Disk{Path: Dir + "/" + name, Format: "qcow2"}
	return disks, map[string][]byte{name: image}, nil
}

// withCmdline makes an overlay of a disk that has another command line.
func withCmdline(d system.Disk, at system.DiskCmdline, cmdline string) ([]byte, error) {
	f, err := regular.Open(d.Path)
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
