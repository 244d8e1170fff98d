// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/ukprobe/ukprobe/internal/regular"
)

// Disk is a disk image.
type Disk struct {
	Format   string `json:"format"`       // raw or qcow2
	Virtual  uint64 `json:"virtual_size"` // bytes that the guest sees
	Backing  bool   `json:"backing_file"` // it needs another file
	BootSign bool   `json:"boot_sector"`  // 0x55aa at its end: a BIOS boots it
	Contents string `json:"contents,omitempty"`
}

// packers are the magics of files that have to be unpacked first.
var packers = []struct{ magic, name string }{
	{"\x1f\x8b", "gzip"}, {"\xfd7zXZ", "xz"}, {"\x28\xb5\x2f\xfd", "zstd"}, {"BZh", "bzip2"}, {"\x04\x22\x4d\x18", "lz4"},
}

// headSize is as much as the magics below need: ext4's lies in the second KiB.
const headSize = 2048

// describeOther tells apart what is no kernel.
func (r *Report) describeOther(f *os.File) error {
	head := make([]byte, headSize)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return err
	}
	head = head[:n]
	for _, p := range packers {
		if bytes.HasPrefix(head, []byte(p.magic)) {
			r.Format = "compressed with " + p.name
			return nil
		}
	}
	switch {
	case bytes.HasPrefix(head, []byte("070701")), bytes.HasPrefix(head, []byte("070702")):
		r.Format = "cpio archive (an initrd)"
	case bytes.HasPrefix(head, []byte("MZ")):
		r.Format = "EFI application or DOS program"
	case bytes.HasPrefix(head, []byte("QFI\xfb")):
		r.describeQcow2(head)
	case len(head) >= 262 && string(head[257:262]) == "ustar":
		r.Format = "tar archive"
	case r.Size%512 == 0 && looksLikeDisk(head) != "":
		r.Format = "raw disk image"
		r.Disk = &Disk{Format: "raw", Virtual: uint64(r.Size), BootSign: bootSign(head), Contents: looksLikeDisk(head)}
	default:
		r.Format = fmt.Sprintf("unknown (it begins with %x)", head[:min(8, len(head))])
	}
	return nil
}

// describeQcow2 reads the header of QEMU's docs/interop/qcow2.rst.
func (r *Report) describeQcow2(head []byte) {
	r.Format = "qcow2 disk image"
	if len(head) < 32 {
		r.Format = "damaged qcow2 disk image: it ends in its header"
		return
	}
	r.Disk = &Disk{Format: "qcow2", Virtual: binary.BigEndian.Uint64(head[24:]), Backing: binary.BigEndian.Uint64(head[8:]) != 0}
	r.Format += fmt.Sprintf(", version %d", binary.BigEndian.Uint32(head[4:]))
}

func bootSign(head []byte) bool { return len(head) >= 512 && head[510] == 0x55 && head[511] == 0xaa }

// looksLikeDisk names what a raw disk begins with; "" if it is nothing known.
func looksLikeDisk(head []byte) string {
	switch {
	case len(head) >= 1082 && binary.LittleEndian.Uint16(head[1080:]) == 0xef53: // s_magic of ext2, 3 and 4
		return "ext2, ext3 or ext4 file system"
	case bytes.HasPrefix(head, []byte("hsqs")):
		return "squashfs"
	case len(head) >= 520 && string(head[512:520]) == "EFI PART":
		return "GPT partition table"
	case bootSign(head):
		return "boot sector"
	}
	return ""
}

// Layout is an OCI image layout.
type Layout struct {
	Images []LayoutImage `json:"images"`
}

// LayoutImage is a manifest of a layout.
type LayoutImage struct {
	Reference string `json:"reference,omitempty"`
	Digest    string `json:"digest"`
	OS        string `json:"os,omitempty"`
	Arch      string `json:"architecture,omitempty"`
}

// maxIndex bounds an index.json, in bytes.
const maxIndex = 4 << 20

// readLayout reads a folder as an OCI layout (image-layout.md of the image
// specification).
func (r *Report) readLayout() error {
	f, err := regular.Open(filepath.Join(r.File, "index.json"))
	if err != nil {
		return fmt.Errorf("a folder, and no OCI layout: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxIndex))
	if err != nil {
		return err
	}
	var index struct {
		Manifests []struct {
			Digest      string            `json:"digest"`
			Annotations map[string]string `json:"annotations"`
			Platform    struct {
				OS   string `json:"os"`
				Arch string `json:"architecture"`
			} `json:"platform"`
		} `json:"manifests"`
	}
	if err := json.Unmarshal(text, &index); err != nil {
		return fmt.Errorf("OCI layout: index.json: %w", err)
	}
	r.Layout = &Layout{}
	for _, m := range index.Manifests {
		r.Layout.Images = append(r.Layout.Images, LayoutImage{m.Annotations["org.opencontainers.image.ref.name"], m.Digest, m.Platform.OS, m.Platform.Arch})
	}
	r.Format, r.Size = "OCI image layout", folderSize(r.File)
	return nil
}

// folderSize adds the files up; what cannot be read counts nothing.
func folderSize(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if st, err := d.Info(); err == nil {
				n += st.Size()
			}
		}
		return nil
	})
	return n
}
