// SPDX-License-Identifier: Apache-2.0

package system

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/ukprobe/ukprobe/internal/qcow2"
	"github.com/ukprobe/ukprobe/internal/regular"
)

// imageOf measures a file, and stamps it.
func imageOf(ctx context.Context, path string) (Image, regular.Stamp, error) {
	sum, stamp, err := regular.Digest(ctx, path)
	switch {
	case errors.Is(err, regular.ErrNotRegular):
		return Image{}, stamp, fmt.Errorf("image %w: give the file itself", err)
	case err != nil:
		return Image{}, stamp, fmt.Errorf("image: %w", err)
	case stamp.Size == 0:
		return Image{}, stamp, fmt.Errorf("image %s: is empty", path)
	}
	return Image{Path: path, SHA256: sum, Size: stamp.Size}, stamp, nil
}

// What a part of an image is.
const (
	PartKernel  = "kernel" // or the unikernel
	PartInitrd  = "initrd"
	PartDisk    = "disk"
	PartProgram = "program" // of a process
	PartConfig  = "config"
)

// Part is one of the files of an image.
type Part struct {
	Kind string
	Image
}

// measure measures a file of a boot and keeps its stamp.
func (b *Boot) measure(ctx context.Context, kind, path string) (Image, error) {
	img, stamp, err := imageOf(ctx, path)
	if err == nil {
		b.Files = append(b.Files, stamp)
		b.Parts = append(b.Parts, Part{kind, img})
	}
	return img, err
}

// Key tells images apart by all their files, the same in every run: the checksum of an
// image of one file, else one over kinds and checksums of all. It is "" if there is no
// checksum.
func (b Boot) Key() string {
	if len(b.Parts) < 2 {
		return b.Image.SHA256
	}
	h := sha256.New()
	for _, p := range b.Parts {
		fmt.Fprintf(h, "%s %s\n", p.Kind, p.SHA256)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// examine fills in what is known of a boot's files, and checks that they are there.
// The image is the kernel, or the disk that is booted from.
func (b *Boot) examine(ctx context.Context) (err error) {
	b.Files, b.Parts = nil, nil
	if b.Initrd != "" {
		if _, err := b.measure(ctx, PartInitrd, b.Initrd); err != nil {
			return fmt.Errorf("initrd: %w", err)
		}
	}
	for i, d := range b.Disks {
		img, err := b.measure(ctx, PartDisk, d.Path)
		if err != nil {
			return fmt.Errorf("disk: %w", err)
		}
		if err := d.checkAlone(); err != nil {
			return fmt.Errorf("disk %s: %w", d.Path, err)
		}
		if i == 0 {
			b.Image = img
		}
	}
	if b.Kernel == "" {
		return nil
	}
	if b.Image, err = b.measure(ctx, PartKernel, b.Kernel); err != nil {
		return err
	}
	b.Segments, err = segmentsOf(b.Kernel)
	return err
}

// checkAlone refuses a disk of which a part is in a file that its image names: QEMU,
// as root, would open any, and no checksum would know.
func (d Disk) checkAlone() error {
	if d.Format != "qcow2" {
		return nil
	}
	f, err := regular.Open(d.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	return qcow2.CheckAlone(f)
}

// writeOnce writes a file of the run's folder, unless another cell has done so: to write
// it again would change what that cell has measured.
func writeOnce(path string, data []byte) error {
	have, err := os.ReadFile(path)
	if err == nil && bytes.Equal(have, data) {
		return nil
	}
	return os.WriteFile(path, data, 0o644)
}

// Unchanged returns an error if a file that Prepare has measured is no longer the same:
// what the results say of the image would not be what is booted.
func (b Boot) Unchanged() error {
	for _, f := range b.Files {
		if err := f.Check(); err != nil {
			return fmt.Errorf("image: %w: since the run has measured it; run again, and leave images alone meanwhile", err)
		}
	}
	return nil
}

// diskFormat tells qcow2, by its magic, from raw.
func diskFormat(path string) string {
	f, err := regular.Open(path)
	if err != nil {
		return "raw" // Prepare says that it cannot be opened
	}
	defer f.Close()
	magic := make([]byte, len(qcow2.Magic))
	if _, err := io.ReadFull(f, magic); err == nil && string(magic) == qcow2.Magic {
		return "qcow2"
	}
	return "raw"
}
