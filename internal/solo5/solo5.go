// SPDX-License-Identifier: Apache-2.0

// Package solo5 reads what a Solo5 image says of itself: the target that it is
// built for and the devices that it declares, from the two ELF notes that Solo5's
// tool chain puts into each image since 0.6.0.
//
// It knows files and nothing of tenders or VMMs. The formats are Solo5's
// include/elf_abi.h (note ABI1) and include/mft_abi.h (note MFT1); which files are
// taken and which refused follows tenders/common/elf.c and mft.c, since it is those
// that will load the image.
package solo5

import (
	"errors"
	"fmt"
	"io"

	"github.com/ukprobe/ukprobe/internal/regular"
)

// Target is what an image is built for.
type Target uint32

// The targets, numbered as in enum abi_target.
const (
	HVT Target = iota + 1
	SPT
	Virtio
	Muen
	Genode
	Xen
)

var targetNames = map[Target]string{HVT: "hvt", SPT: "spt", Virtio: "virtio", Muen: "muen", Genode: "genode", Xen: "xen"}

// String is the target's name, as it ends the names of images.
func (t Target) String() string {
	if s, ok := targetNames[t]; ok {
		return s
	}
	return fmt.Sprintf("number %d", uint32(t))
}

// DeviceType is what kind of device an image declares.
type DeviceType uint32

// The types of devices, numbered as in enum mft_type.
const (
	Block DeviceType = iota + 1
	Net
)

// String names the type in words.
func (t DeviceType) String() string {
	switch t {
	case Block:
		return "block device"
	case Net:
		return "network device"
	}
	return fmt.Sprintf("device of type %d", uint32(t))
}

// Device is one device of a manifest. A tender starts an image only with all of
// them attached.
type Device struct {
	Name string // letters and digits, 1 to 67; unique in its manifest
	Type DeviceType
}

// Image is what an image says of itself.
type Image struct {
	Target     Target
	ABIVersion uint32   // of the target's interface; a tender takes exactly its own
	Devices    []Device // in the manifest's order
}

// Of returns the devices of one type, in order.
func (i Image) Of(t DeviceType) []Device {
	var out []Device
	for _, d := range i.Devices {
		if d.Type == t {
			out = append(out, d)
		}
	}
	return out
}

// ErrNoNotes says that a file is a 64-bit x86 program without Solo5's notes:
// no Solo5 image, or one from before 0.6.0, when there was no manifest.
var ErrNoNotes = errors.New("no Solo5 notes in it: it is no Solo5 image, or one from before Solo5 0.6.0 (2019)")

// ReadFile reads the notes of the image at path.
func ReadFile(path string) (Image, error) {
	f, err := regular.Open(path)
	if err != nil {
		return Image{}, fmt.Errorf("image: %w", err)
	}
	defer f.Close()
	img, err := Read(f)
	if err != nil {
		return Image{}, fmt.Errorf("image %s: %w", path, err)
	}
	return img, nil
}

// Read reads the notes of an image. An error wraps [ErrNoNotes] if there are none.
func Read(r io.ReaderAt) (Image, error) {
	notes, err := readNotes(r)
	if err != nil {
		return Image{}, err
	}
	if notes.abi == nil && notes.manifest == nil {
		return Image{}, ErrNoNotes
	}
	var img Image
	if img.Target, img.ABIVersion, err = parseABI(notes.abi); err != nil {
		return Image{}, err
	}
	if img.Devices, err = parseManifest(notes.manifest); err != nil {
		return Image{}, err
	}
	return img, nil
}
