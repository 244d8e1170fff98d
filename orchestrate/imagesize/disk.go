// SPDX-License-Identifier: Apache-2.0

package imagesize

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/ukprobe/ukprobe/internal/extfs"
	"github.com/ukprobe/ukprobe/internal/regular"
	"github.com/ukprobe/ukprobe/orchestrate/inspect"
	"github.com/ukprobe/ukprobe/orchestrate/system"
)

// disk measures a block device's image: the files of ext2, 3 and 4 without partitions.
// What is in other file systems is not seen.
func (m *measurer) disk(d system.Disk) error {
	if m.img.Kernel == "" && !m.isLacking(KernelBytes) {
		m.lacks(KernelBytes, "the disk boots, and holds the kernel")
	}
	r, err := inspect.File(m.ctx, d.Path)
	if err != nil {
		return err
	}
	if r.Disk != nil {
		m.add("disk_virtual_bytes", int64(r.Disk.Virtual))
	}
	dir, why, err := m.filesOf(d.Path)
	if err != nil {
		return err
	}
	if why == "" {
		return m.rootfs(dir)
	}
	why = fmt.Sprintf("disk %s: %s", d.Path, why)
	for _, name := range []string{RootFSBytes, AppBytes, LibrariesBytes, RestBytes} {
		if _, has := m.out.Values[name]; !has && !m.isLacking(name) {
			m.lacks(name, "%s", why)
		}
	}
	m.opaque("%s", why)
	return nil
}

// filesOf takes the files out of a disk's file system; why says why that cannot be.
func (m *measurer) filesOf(path string) (dir, why string, err error) {
	f, err := regular.Open(path)
	if err != nil {
		return "", "", err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return "", "", err
	}
	e, err := extfs.Open(f, st.Size())
	if errors.Is(err, extfs.ErrNone) {
		return "", "no file system that ukprobe looks into (ext2, ext3, ext4 without partitions)", nil
	}
	if err != nil {
		return "", err.Error(), nil
	}
	m.add("disk_used_bytes", e.Used())
	if dir, err = os.MkdirTemp(m.scratch, "disk-"); err != nil {
		return "", "", err
	}
	t, err := openTree(m.ctx, dir)
	if err != nil {
		return "", "", err
	}
	defer t.root.Close()
	if err := t.extFiles(e); err != nil {
		if m.ctx.Err() != nil {
			return "", "", m.ctx.Err()
		}
		return "", err.Error(), nil
	}
	return dir, "", nil
}

// extFiles unpacks a file system. All its files together have no more bytes than it
// has: blocks that several share are damage, and holes none that this is for.
func (t *tree) extFiles(e *extfs.FS) error {
	names := map[uint64]string{}
	left := e.Size()
	return e.Walk(func(x extfs.Entry) error {
		switch x.Mode {
		case fs.ModeDir:
			return t.folder(x.Name)
		case fs.ModeSymlink:
			return t.link(x.Name, x.Target)
		case 0:
			if other, has := names[x.Inode]; has {
				return t.hard(x.Name, other)
			}
			names[x.Inode] = x.Name
			if left -= x.Size; left < 0 {
				return fmt.Errorf("its files have more than the %d bytes of the file system", e.Size())
			}
			return t.put(x.Name, x.Content)
		}
		return nil // devices and pipes take no room
	})
}
